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
