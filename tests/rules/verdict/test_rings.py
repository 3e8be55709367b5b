"""io_uring: what goes through a ring is in no recording of calls, so nothing is healthy for want of a fault."""

from __future__ import annotations

import pytest

from tests.rules.verdict.short_logs import REFUSED, STREAM, TO, judged

SETUP = "8 1.0 io_uring_setup(64, {flags=0, sq_thread_cpu=0, sq_thread_idle=0, sq_entries=64}) = 3 <0.0001>"
ENTER = "8 1.0 io_uring_enter(3, 1, 1, IORING_ENTER_GETEVENTS, NULL, 8) = 1 <0.0001>"
EXEC = '8 0.5 execve("/usr/bin/fetch", ["fetch"], 0x7ffd /* 9 vars */) = 0 <0.001>'


@pytest.mark.parametrize("line", [SETUP, ENTER, SETUP.replace(") = 3 ", ") = 3<anon_inode:[io_uring]> ")])
@pytest.mark.parametrize("status", [0, 1])
def test_a_ring_hides_network_work(line: str, status: int) -> None:
    analysis = judged(EXEC, line, f"8 2.0 +++ exited with {status} +++")
    assert analysis.verdict.outcome == "inconclusive"
    said = "fetch[8] used io_uring: network work through a ring is invisible to tracers of system calls"
    assert said in analysis.evidence.health.limits
    assert said in analysis.verdict.headline


@pytest.mark.parametrize("error", ["ENOSYS (Function not implemented)", "EPERM (Operation not permitted)"])
def test_a_ring_that_was_refused_hides_nothing(error: str) -> None:
    analysis = judged(EXEC, SETUP.replace("= 3 ", f"= -1 {error} "), "8 2.0 +++ exited with 0 +++")
    assert analysis.verdict.outcome == "healthy"
    assert not any("io_uring" in each for each in analysis.evidence.health.limits)


def test_what_failed_in_sight_is_told_all_the_same() -> None:
    fails = [f"8 1.5 socket({STREAM}) = 4 <0.0001>", f"8 1.6 connect(4, {TO % (80, 7)}) = {REFUSED}"]
    analysis = judged(EXEC, SETUP, *fails, "8 2.0 +++ exited with 1 +++")
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("failed", "connect-refused")
    assert any("io_uring" in each for each in analysis.evidence.health.limits)


def test_a_child_with_a_ring_counts_when_it_is_forgotten() -> None:
    lines = [EXEC]
    for child in range(3000):
        lines += [
            f"8 {child + 1}.1 fork() = {child + 100} <0.0001>",
            f"{child + 100} {child + 1}.2 io_uring_setup(8, {{}}) = 3 <0.0001>" if child == 0 else "",
            f"{child + 100} {child + 1}.3 +++ exited with 0 +++",
        ]
    analysis = judged(*filter(None, lines), "8 9000.0 +++ exited with 0 +++")
    assert analysis.verdict.outcome == "inconclusive"


RECORDED = '# systrace: {"rings_recorded": true}'
STANDS_IN = '# systrace: {"thread": {"pid": 4194304, "of": 8, "stands_for": "io_uring"}}'
RING = [RECORDED, EXEC, SETUP, STANDS_IN, f"4194304 1.1 socket({STREAM}) = 4 <0.0001>"]


def test_a_ring_that_was_recorded_hides_nothing() -> None:
    well = f"4194304 1.2 connect(4, {TO % (80, 7)}) = 0 <0.0001>"
    analysis = judged(*RING, well, "8 2.0 +++ exited with 0 +++")
    assert analysis.verdict.outcome == "healthy"
    analysis = judged(*RING, f"4194304 1.2 connect(4, {TO % (80, 7)}) = {REFUSED}", "8 2.0 +++ exited with 1 +++")
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("failed", "connect-refused")
    assert [process.pid for process in analysis.evidence.processes.values()] == [8]


def test_what_a_ring_did_unseen_is_said() -> None:
    unseen = '# systrace: {"ring_unseen": {"pid": 8, "operation": 27}}'
    analysis = judged(*RING, unseen, "8 2.0 +++ exited with 0 +++")
    assert analysis.verdict.outcome == "inconclusive"
    assert "used io_uring" in analysis.verdict.headline


@pytest.mark.parametrize(
    "line",
    [
        '# systrace: {"thread": {"pid": "x", "of": 8}}',
        '# systrace: {"thread": {"pid": 4194304, "of": 99}}',
        '# systrace: {"thread": {"pid": 8, "of": 8}}',
        '# systrace: {"thread": 3}',
        '# systrace: {"lost": {"calls": -3}}',
        '# systrace: {"lost": {"calls": "many"}}',
    ],
)
def test_lines_that_somebody_else_made_do_no_harm(line: str) -> None:
    assert judged(EXEC, line, "8 2.0 +++ exited with 0 +++").verdict.outcome == "healthy"


def test_calls_that_were_lost_are_said_and_nothing_is_healthy_then() -> None:
    lost = ['# systrace: {"lost": {"calls": 3, "time": "1.5"}}', '# systrace: {"lost": {"calls": 4, "time": "1.6"}}']
    analysis = judged(EXEC, *lost, "8 2.0 +++ exited with 0 +++")
    assert analysis.verdict.outcome == "inconclusive"
    assert "7 calls were lost, for the tracer's buffer was full" in analysis.evidence.health.limits
