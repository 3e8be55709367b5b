"""A tracer that comes for some seconds meets healthy jobs in the middle of a wait: nothing of them hangs."""

from __future__ import annotations

import json

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

NOW = 1_700_000_000
PEER = "192.0.2.2:6379"
SOCKET = {"pid": 9, "fd": 4, "inode": 77, "family": "inet", "type": "stream", "protocol": "tcp",
          "local": "192.0.2.1:4000", "peer": PEER, "state": "established", "last_word": "both"}  # fmt: skip
IN_POLL = {
    "pid": 9,
    "tid": 9,
    "state": "S",
    "since": NOW - 1.0,
    "call": "poll",
    "fd": 4,
    "fds": [[4, "r"]],
    "limit": 5.0,
}
ASK = '9 {} sendto(4, "*3\\r\\n$5\\r\\nBRPOP\\r\\n$4\\r\\njobs\\r\\n$1\\r\\n2\\r\\n", 32, 0, NULL, 0) = 32 <0.0001>'
NOTHING = '9 {} recvfrom(4, "*-1\\r\\n", 4096, 0, NULL, NULL) = 5 <0.0001>'
READY = "9 {} poll([{{fd=4, events=POLLIN}}], 1, 5000) = 1 ([{{fd=4, revents=POLLIN}}]) <{}>"
WAITS = "9 {} poll([{{fd=4, events=POLLIN}}], 1, 5000 <detached ...>"


def attached(
    thread: dict[str, object], *calls: str, end: float, processes: list[tuple[int, int]] | None = None
) -> Analysis:
    """Processes (pid, parent), of which one has a thread that the look met waiting; calls with seconds since then."""
    listed = [{"pid": pid, "ppid": parent, "argv": ["job"]} for pid, parent in processes or [(9, 1)]]
    look = {"pid": 9, "time": NOW, "processes": listed, "threads": [thread], "sockets": [SOCKET]}
    head = [{"attached": 9, "calls": ["read"]}, {"snapshot": look}]
    timed = [f"{tid} {NOW + float(at):.6f} {call}" for tid, at, call in (each.split(" ", 2) for each in calls)]
    facts = [f"# systrace: {json.dumps(each)}" for each in head]
    lines = [*facts, *timed, f"# systrace: {json.dumps({'end': NOW + end, 'ended': False})}"]
    return analyze([Input("log", [line.encode() + b"\n" for line in lines])])


@pytest.mark.parametrize(("end", "outcome"), [(4.5, "healthy"), (9.0, "hung")])
def test_a_wait_no_longer_than_those_that_were_answered(end: float, outcome: str) -> None:
    """A worker asks for the next item, and is told after two seconds that there is none; the third time it is not."""
    analysis = attached(
        IN_POLL, READY.format(0.2, 0.9), NOTHING.format(1.1), ASK.format(1.2), READY.format(1.3, 2.0), NOTHING.format(3.3),
        ASK.format(3.4), WAITS.format(3.5), end=end,
    )  # fmt: skip
    assert analysis.verdict.outcome == outcome
    if outcome == "hung":
        assert (analysis.verdict.cause, analysis.verdict.peer) == ("hung-read", PEER)


def test_how_long_others_waited_for_the_same_peer_counts_too() -> None:
    """Each item is asked for by a program of its own."""
    new = [
        "9 3.1 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 5 <0.0001>",
        '9 3.2 connect(5, {sa_family=AF_INET, sin_port=htons(6379), sin_addr=inet_addr("192.0.2.2")}, 16) = 0 <0.0001>',
        ASK.format(3.3).replace("(4", "(5"), "9 3.4 recvfrom(5,  <detached ...>",
    ]  # fmt: skip
    first = [READY.format(0.2, 0.9), NOTHING.format(1.1), ASK.format(1.2), READY.format(1.3, 1.5), NOTHING.format(2.8),
             "9 3.0 close(4) = 0 <0.0001>"]  # fmt: skip
    assert attached(IN_POLL, *first, *new, end=4.5).verdict.outcome == "healthy"
    assert attached(IN_POLL, *new, end=8.0).verdict.outcome == "hung"


def test_the_timer_of_an_event_loop_is_no_limit_of_a_connection_kept_for_later() -> None:
    """A client's pool closes what has rested for some seconds."""
    loop = {**IN_POLL, "call": "epoll_wait", "fd": 3, "limit": 3.0}
    calls = [
        "9 0.2 epoll_wait(3, [], 1024, 3000) = 0 <2.8>",
        "9 3.1 epoll_ctl(3, EPOLL_CTL_DEL, 4, 0x7ffd) = 0 <0.0001>",
        "9 3.2 close(4) = 0 <0.0001>",
        "9 3.3 epoll_wait(3,  <detached ...>",
    ]
    analysis = attached(loop, *calls, end=5.0)
    assert (analysis.verdict.outcome, analysis.findings) == ("healthy", [])


def test_a_helper_thread_has_nothing_to_do_while_the_loop_waits() -> None:
    """Pools wait in futex(2)."""
    pool = {**IN_POLL, "tid": 10, "call": "futex", "fd": None, "fds": [], "limit": None}
    rests = "10 0.1 futex(0x7f00, FUTEX_WAIT_PRIVATE, 0, NULL <detached ...>"
    loop = ["9 0.2 epoll_wait(3, [], 1024, 2000) = 0 <2.0>", "9 2.3 epoll_wait(3,  <detached ...>"]
    assert attached(pool, rests, *loop, end=5.0).verdict.outcome == "healthy"
    assert attached(pool, rests, end=5.0).verdict.outcome != "healthy"


def test_a_pipe_that_is_read_byte_by_byte_is_no_wait_since_the_look() -> None:
    """`curl ... | while read line`: what the look saw the shell wait for came soon after."""
    reads = {**IN_POLL, "call": "read", "fd": 0, "fds": [], "limit": None}
    calls = [
        '9 0.1 read(0<pipe:[8]>, ":", 1) = 1 <0.4>',
        '9 0.6 read(0<pipe:[8]>, "\\n", 1) = 1 <0.0001>',
        "9 3.0 read(0<pipe:[8]>,  <detached ...>",
    ]
    assert attached(reads, *calls, end=3.6).verdict.cause != "not-network"
    assert attached(reads, calls[-1], end=3.6).verdict.cause == "not-network"


def test_a_shell_waits_for_a_child_that_is_at_work() -> None:
    waits = {**IN_POLL, "call": "wait4", "fd": None, "fds": [], "limit": None}
    child = [
        '8 1.0 recvfrom(6<TCP:[192.0.2.1:4001->192.0.2.3:80]>, "data: 1\\n", 4096, 0, NULL, NULL) = 8 <1.0>',
        "8 2.1 recvfrom(6<TCP:[192.0.2.1:4001->192.0.2.3:80]>,  <detached ...>",
    ]
    shell = "9 0.1 wait4(-1,  <detached ...>"
    both = [(9, 1), (8, 9)]
    assert attached(waits, shell, *child, end=2.9, processes=both).verdict.outcome == "healthy"
    alone = attached(waits, shell, end=2.9, processes=both).verdict
    assert alone.outcome != "healthy"
