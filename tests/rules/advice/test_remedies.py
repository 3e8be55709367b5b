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
