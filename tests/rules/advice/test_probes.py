"""What a report tells people to type: complete, harmless, and right for the transport."""

from __future__ import annotations

import shlex

import pytest

from systrace.messages.http import HttpRequest
from systrace.model import Endpoint, Exited, Process, Record, Socket, Step
from systrace.rules.advice.probes import ask_again, complete, knock, number, watch

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


def process(command: str, ended: bool) -> Process:
    found = Process(7, argv=(command,) if command else ())
    if ended:
        found.exit_event = Exited(
            Record(0, 1, 7, None, None, "", b"", None, None, "", b""), 1, None, whole=True, final=True
        )
    return found


def test_a_process_that_has_ended_is_looked_for_by_its_name() -> None:
    assert number(process("job.sh", ended=False)) == "7"
    assert number(process("my job", ended=True)) == "$(pgrep -nf 'my job')"
    assert watch(process("job.sh", ended=False), "x").command == "systrace attach --passive 7"
    assert watch(process("job.sh", ended=True), "x").command == "systrace attach --passive --name job.sh"
    for unknown in (None, process("", ended=True)):
        assert number(unknown) == "PID"
        assert not watch(unknown, "x").command
        assert complete([watch(unknown, "x")])


@pytest.mark.parametrize(
    ("command", "why", "kept"),
    [
        ("nc -vz -w5 HOST 80", "", False),
        ("ss -tn 'sport = :PORT'", "", False),
        ("ls /proc/PID/fd", "", False),
        ("ss -tn", "on HOST: its side", False),
        ("curl -sv 'http://api.example/HOST/PORT?id=PID' | head", "", True),  # the words of a request
        ("ls -l /srv/HOST/x.sock", "", True),
        ("nc -vz -w5 192.0.2.7 80", "on 192.0.2.7", True),
    ],
)
def test_nobody_has_to_fill_in_a_command(command: str, why: str, kept: bool) -> None:
    assert bool(complete([Step(command, why)])) == kept
