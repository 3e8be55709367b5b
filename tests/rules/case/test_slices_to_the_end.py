"""A program that waits in slices of poll(2) still waits where our recording ends between two of them, or in one that it does
not show: eBPF prints a call when it has ended.
"""

from __future__ import annotations

import json

import pytest

from systrace.model import Input, Verdict
from systrace.pipeline import analyze

NOW = 1_700_000_000
PEER = "192.0.2.2:80"
SOCKET = {"pid": 9, "fd": 5, "inode": 77, "family": "inet", "type": "stream", "protocol": "tcp",
          "local": "192.0.2.1:4000", "peer": PEER, "state": "established", "last_word": "both"}  # fmt: skip
IN_POLL = {
    "pid": 9,
    "tid": 9,
    "state": "S",
    "since": NOW - 0.8,
    "call": "poll",
    "fd": 5,
    "fds": [[5, "r"]],
    "limit": 1.0,
}
IN_WAIT = {"pid": 8, "tid": 8, "state": "S", "since": NOW - 30, "call": "wait4", "fd": None, "fds": [], "limit": None}
IN_READ = {
    "pid": 7,
    "tid": 7,
    "state": "S",
    "since": NOW - 30,
    "call": "read",
    "fd": 0,
    "fds": [[0, "r"]],
    "limit": None,
}
JOB = [(8, 1), (9, 8), (7, 8)]
SHELL, GZIP = "8 0.10 wait4(-1,  <unfinished ...>", "7 0.10 read(0<pipe:[4]>,  <unfinished ...>"
FIRST = "9 0.10 poll([{fd=5, events=POLLIN}], 1, 1000) = 0 (Timeout) <0.1>"
SLICE = "9 {} poll([{{fd=5, events=POLLIN}}], 1, 1000) = 0 (Timeout) <{}>"
LOOK = "9 {} poll([{{fd=5, events=POLLIN|POLLPRI}}], 1, 0) = 0 (Timeout) <0.00001>"
AGAIN = "9 {} recvfrom(5, 0x55d0, 5, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.00001>"
SLICES = [FIRST, SLICE.format("0.30", "1.0"), LOOK.format("1.31"), SLICE.format("1.32", "1.0")]


def verdict(*calls: str, end: float = 2.7, **more: object) -> Verdict:
    """Of a shell, a client that the look met in poll(2), and what reads the client's output; calls with seconds since."""
    listed = [{"pid": pid, "ppid": parent, "argv": ["job"]} for pid, parent in JOB]
    look = {
        "pid": 8,
        "time": NOW,
        "processes": listed,
        "threads": [IN_WAIT, IN_POLL, IN_READ],
        "sockets": [SOCKET],
        **more,
    }
    facts = [{"attached": 8, "calls": ["read"]}, {"snapshot": look}]
    timed = [
        f"{tid} {NOW + float(at):.6f} {call}" for tid, at, call in (c.split(" ", 2) for c in (SHELL, GZIP, *calls))
    ]
    lines = [*(f"# systrace: {json.dumps(each)}" for each in facts), *timed]
    lines.append(f"# systrace: {json.dumps({'end': NOW + end, 'ended': False})}")
    return analyze([Input("log", [line.encode() + b"\n" for line in lines])]).verdict


def hung_read(found: Verdict) -> bool:
    return (found.outcome, found.cause, found.peer) == ("hung", "hung-read", PEER)


@pytest.mark.parametrize("last", [LOOK, AGAIN])
def test_the_recording_ends_between_two_slices(last: str) -> None:
    """The client is named, not its parent or the reader of its output, who wait for it."""
    found = verdict(*SLICES, last.format("2.33"))
    assert hung_read(found)
    assert "3.50 s" in found.headline  # to the end of the recording


def test_the_program_has_been_out_of_its_loop_for_longer_than_a_slice() -> None:
    assert not hung_read(verdict(*SLICES, end=3.5))


def test_one_slice_may_be_the_limit_of_the_program() -> None:
    assert not hung_read(verdict(FIRST.replace("<0.1>", "<1.0>"), end=1.3))


@pytest.mark.parametrize(
    "then",
    [
        "9 2.40 nanosleep({tv_sec=5, tv_nsec=0},  <unfinished ...>",
        "9 2.40 futex(0x7f00, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>",
        "9 2.40 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 6 <0.0001>",
        "9 2.40 close(5) = 0 <0.0001>",
        '9 2.40 sendto(5, "QUIT\\r\\n", 6, 0, NULL, 0) = 6 <0.0001>',
        "9 2.40 +++ exited with 0 +++",
    ],
)
def test_the_program_went_on_with_something_else(then: str) -> None:
    assert not hung_read(verdict(*SLICES, then))


def test_answers_that_took_as_long_came_before() -> None:
    """A queue that is asked for the next item, in slices: nothing is late."""
    came = [
        "9 1.31 poll([{fd=5, events=POLLIN}], 1, 1000) = 1 ([{fd=5, revents=POLLIN}]) <0.9>",
        '9 2.22 recvfrom(5, "item", 4096, 0, NULL, NULL) = 4 <0.0001>',
    ]
    again = [SLICE.format("2.30", "1.0"), SLICE.format("3.31", "1.0")]
    assert not hung_read(verdict(FIRST, SLICE.format("0.30", "1.0"), *came, *again, end=4.5))
    assert hung_read(verdict(*SLICES, SLICE.format("2.33", "1.0"), SLICE.format("3.34", "1.0"), end=4.5))


def test_the_timer_of_an_event_loop_is_no_slice() -> None:
    """It watches what is kept for later, too."""
    loop = {**IN_POLL, "call": "epoll_wait", "fd": 3}
    ticks = [
        f"9 {at} epoll_wait(3, [], 1024, 1000) = 0 <{lasted}>" for at, lasted in ((0.1, 0.1), (0.3, 1.0), (1.32, 1.0))
    ]
    epoll = [{"pid": 9, "fd": 3, "fds": [[5, "r"]]}]
    assert not hung_read(verdict(*ticks, threads=[IN_WAIT, loop], epoll=epoll))
