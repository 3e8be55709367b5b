"""A wait for the other end of a UNIX socket: advice about processes of this host, not about networks."""

from __future__ import annotations

import json

import pytest

from systrace import Analysis, Input, analyze

SOCKET = {"pid": 9, "fd": 0, "inode": 77, "family": "unix", "type": "stream", "state": "established"}
THREAD = {"pid": 9, "tid": 9, "state": "S", "since": 90.0}
PROCESS = {"pid": 9, "ppid": 1, "argv": ["worker"]}
READ = "9 100.100000 recvfrom(0<socket:[77]>,  <detached ...>"
WRITE = '9 100.100000 sendto(0<socket:[77]>, "xxxx", 4, 0, NULL, 0 <detached ...>'


def attached(call: str, direction: str, line: str) -> Analysis:
    """The recording of an attach to a process that was blocked in `call` for ten seconds."""
    snapshot = {
        "pid": 9,
        "time": 100.0,
        "processes": [PROCESS],
        "threads": [{**THREAD, "call": call, "fd": 0, "fds": [[0, direction]]}],
        "sockets": [{**SOCKET, "held_by": ["pool[7]"]}],
    }
    lines = ["# systrace: " + json.dumps({"snapshot": snapshot}), line, '# systrace: {"end": 101.0}']
    return analyze([Input("log", [each.encode() for each in lines])])


@pytest.mark.parametrize(
    ("call", "direction", "line", "cause"),
    [("recvfrom", "r", READ, "hung-read"), ("sendto", "w", WRITE, "send-blocked")],
)
def test_the_process_at_the_other_end_is_what_to_look_at(call: str, direction: str, line: str, cause: str) -> None:
    finding = attached(call, direction, line).findings[0]
    assert finding.cause == cause
    assert "pool[7] (the other end of UNIX socket S1)" in finding.summary
    assert finding.causes[0].startswith("the process at the other end")
    assert any("ss -xp" in step.command for step in finding.next_steps)
    assert not any("keepalive" in each.lower() or "TCP" in each for each in finding.remedy)


def test_without_a_look_before_it_is_standard_input_that_somebody_gave() -> None:
    lines = [READ.replace("100.1", "90.1"), "9 101.000000 +++ exited with 0 +++"]
    assert analyze([Input("log", [each.encode() for each in lines])]).verdict.outcome == "healthy"


CALLS = """9 1700000000.9 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("%s")}, 16) = 0 <0.01>
9 1700000001.1 sendto(3, "%s / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.01>
9 1700000001.2 poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.005>
9 1700000006.4 +++ exited with 1 +++
"""
CURL = '9 1700000000.1 execve("/usr/bin/curl", ["curl", "a"], 0x7ff /* 3 vars */) = 0 <0.01>\n'


@pytest.mark.parametrize(("host", "remote"), [("192.0.2.7", True), ("127.0.0.1", False)])
def test_no_path_loses_what_stays_on_this_host(host: str, remote: bool) -> None:
    finding = analyze([Input("log", (CALLS % (host, "GET")).encode().splitlines(keepends=True))]).findings[0]
    assert finding.cause == "read-timeout"
    assert any("something on the path" in cause for cause in finding.causes) == remote
    assert any("that port leads on" in cause for cause in finding.causes) != remote
    assert not any(step.command.startswith("nc ") for step in finding.next_steps)  # the port had answered


@pytest.mark.parametrize(("method", "harmless"), [("GET", True), ("POST", False)])
def test_what_may_be_asked_again(method: str, harmless: bool) -> None:
    log = CURL + CALLS % ("192.0.2.7", method)
    remedies = analyze([Input("log", log.encode().splitlines(keepends=True))]).findings[0].remedy
    assert any("does no harm" in remedy for remedy in remedies) == harmless
    assert any("may have succeeded" in remedy for remedy in remedies) != harmless
