"""What a report tells people to type: complete, harmless, and right for the transport."""

from __future__ import annotations

import shlex

import pytest

from systrace.messages.http import HttpRequest
from systrace.model import Endpoint, Socket
from systrace.rules.advice.probes import ask_again, knock

PEER = Endpoint("inet", "192.0.2.7", 3128)


def request(method: str, target: str) -> HttpRequest:
    made = HttpRequest("http", "S1", "sent", None, None, "", True)
    made.head = f"{method} {target} HTTP/1.1\r\nHost: api.example\r\n\r\n".encode()
    made.method, made.target = method, target
    return made


@pytest.mark.parametrize(
    ("method", "target", "command"),
    [
        ("GET", "/rows", "curl -sv http://api.example/rows"),
        ("HEAD", "/rows", "curl -sv -I http://api.example/rows"),
        ("CONNECT", "api.example:443", "curl -sv -o /dev/null -x http://192.0.2.7:3128 https://api.example:443/"),
        ("GET", "/a?b='; rm -rf /'", "curl -sv"),
        ("POST", "/orders", None),  # it may have been done
        ("DELETE", "/orders/7", None),
    ],
)
def test_only_what_may_be_repeated_is_asked_again(method: str, target: str, command: str | None) -> None:
    steps = ask_again(Socket("S1", "inet", "stream", peer=PEER), request(method, target))
    if command is None:
        assert steps == []
        return
    (step,) = steps
    assert step.command.startswith(command)
    assert "rm" not in shlex.split(step.command)


def test_a_clock_is_asked_for() -> None:
    (step,) = ask_again(Socket("S1", "inet", "stream", peer=PEER), request("GET", "/rows"), clock="%{time_total}")
    assert step.command == "curl -so /dev/null -w '%{time_total}\\n' http://api.example/rows"


def test_datagrams_are_probed_by_datagrams() -> None:
    assert knock(PEER).command == "nc -vz -w5 192.0.2.7 3128"
    assert knock(PEER, datagrams=True).command == "nc -vzu -w5 192.0.2.7 3128"
    assert knock(None, port="0").command == "nc -vz -w5 HOST 0"
