"""Attached to a pipeline: who waits for a pipe whose other end another process of the job holds is not where it hangs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from systrace.look.lines import lines_of
from systrace.look.nouns import Call, End, Look, ProcessState, SocketState, Thread
from systrace.model import Analysis, Endpoint, Input
from systrace.pipeline import analyze
from tests.rules.look.test_sockets import IDLE, SENT

NOW = 1_700_000_000
FUTEX = "futex(0x7f00, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>"
READS, WRITES = "read(0<pipe:[{}]>,  <unfinished ...>", 'write(1<pipe:[{}]>, "y"..., 4096 <unfinished ...>'
SHELL = "wait4(-1,  <unfinished ...>"


def attached(
    calls: dict[int, str], pipes: dict[int, tuple[list[int], list[int]]], sockets: tuple[SocketState, ...] = ()
) -> Analysis:
    """A job, 8, and its children, each in the one call that three seconds show of it; pipes by inode: writers, readers."""
    processes = []
    for pid, call in calls.items():
        name = call.partition("(")[0]
        waits = tuple((s.fd, "rw") for s in sockets if s.pid == pid)
        thread = Thread(pid, pid, "p", "S", "", Call(0, name, (), fds=waits), 90 * 10**9)
        processes.append(ProcessState(pid, 8 if pid != 8 else 1, "p", (f"p{pid}",), "S", 0, 1, "x86_64", (thread,)))
    holders = {
        inode: (*(End(pid, "p", False, True) for pid in writers), *(End(pid, "p", True, False) for pid in readers))
        for inode, (writers, readers) in pipes.items()
    }
    look = Look(8, NOW * 10**9, 0, "6.1", tuple(processes), sockets, (), holders, {}, ())
    head = [b"# systrace: " + json.dumps({"attached": 8, "calls": ["read"]}).encode(), *lines_of(look)]
    timed = [f"{pid} {NOW + 0.1:.6f} {call}".encode() for pid, call in calls.items()]
    end = b"# systrace: " + json.dumps({"end": NOW + 3.1, "ended": False}).encode()
    return analyze([Input("log", [line + b"\n" for line in [*head, *timed, end]])])


def accused(analysis: Analysis) -> list[int | None]:
    """Who hangs, or the end of the job would have seemed to hang."""
    return [each.pid for each in analysis.findings if each.severity in ("fatal", "error")]


def test_readers_give_way_to_what_the_writer_waits_for() -> None:
    """`worker | gzip | tee`: the worker waits for another thread of its own."""
    calls = {8: SHELL, 9: READS.format(1), 10: READS.format(2), 11: FUTEX}
    analysis = attached(calls, {1: ([10], [9]), 2: ([11], [10])})
    assert accused(analysis) == [11]


def test_writers_give_way_to_what_the_last_reader_waits_for() -> None:
    """`head | gzip | nc`: nothing arrives at the peer any more, which is all that the kernel says of it."""
    peer = Endpoint("inet", "192.0.2.2", 7004)
    sends = replace(IDLE, pid=11, fd=3, peer=peer, unsent=4096, timer="on", timer_ms=9000, tcp=SENT)
    calls = {
        8: SHELL,
        9: WRITES.format(1),
        10: WRITES.format(2),
        11: "poll([{fd=3, events=POLLIN|POLLOUT}], 1, -1 <unfinished ...>",
    }
    analysis = attached(calls, {1: ([9], [10]), 2: ([10], [11])}, (sends,))
    assert analysis.verdict.peer == "192.0.2.2:7004"
    assert accused(analysis) == [11]


@pytest.mark.parametrize(
    ("calls", "pipes"),
    [
        ({8: SHELL, 9: WRITES.format(1)}, {1: ([9], [8])}),  # the parent waits for its end instead of reading
        ({8: SHELL, 9: WRITES.format(1), 10: WRITES.format(2)}, {1: ([9], [10]), 2: ([10], [9])}),  # both write
        ({8: SHELL, 9: READS.format(1)}, {1: ([77], [9])}),  # of the writer nothing is known
        ({8: SHELL, 9: READS.format(1)}, {}),
    ],
)
def test_circles_and_strangers_are_still_told(
    calls: dict[int, str], pipes: dict[int, tuple[list[int], list[int]]]
) -> None:
    analysis = attached(calls, pipes)
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("hung", "not-network")
    assert "keyboard" not in analysis.verdict.headline


def test_a_writer_that_sleeps_on_purpose_is_no_hang() -> None:
    sleeps = "clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=400, tv_nsec=0},  <unfinished ...>"
    analysis = attached({8: READS.format(1), 9: sleeps}, {1: ([9], [8])})
    assert analysis.verdict.outcome == "healthy"
