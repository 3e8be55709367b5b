"""Waits that a signal ended: for a lock by the program's own timer, for a FIFO or an end by whoever stopped it."""

from __future__ import annotations

import pytest

from systrace.model import Analysis
from tests.rules.verdict.short_logs import STREAM, TO, judged

FORK = "8 0.9 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 9 <0.0001>"
LOCK = "9 1.2 flock(4</run/job>, LOCK_EX) = ? ERESTARTSYS (To be restarted if SA_RESTART is set) <3.0>"
FIFO = LOCK.replace("flock(4</run/job>, LOCK_EX)", 'open("/run/job", O_RDONLY)')
ALARM = "9 4.2001 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---"
TERM = "9 4.2001 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=8, si_uid=0} ---"


def locked(*later: str, lock: str = LOCK, status: int = 5) -> Analysis:
    """A child that wants a lock, and a job that ends with this status."""
    return judged(FORK, "9 1.1 alarm(3) = 0 <0.0001>", lock, *later, f"8 4.9 +++ exited with {status} +++")


def test_a_lock_that_its_own_timer_gave_up_is_why_it_failed() -> None:
    """The job's status is the child's."""
    analysis = locked(ALARM, "9 4.3 +++ exited with 5 +++")
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("failed", "not-network")
    assert analysis.findings[0].variant == "lock"
    assert "(/run/job) for 3.00 s, until its own timer ended that" in analysis.verdict.headline


@pytest.mark.parametrize(
    ("later", "lock", "status"),
    [
        ([ALARM, "9 4.3 +++ exited with 5 +++"], LOCK, 7),
        ([TERM, "9 4.3 +++ killed by SIGTERM +++"], LOCK, 124),
        ([TERM, "9 4.3 +++ killed by SIGTERM +++"], FIFO, 124),
    ],
    ids=["the job failed of something else", "stopped", "a FIFO"],
)  # fmt: skip
def test_a_wait_that_was_broken_off_is_told_where_nothing_explains_the_end(
    later: list[str], lock: str, status: int
) -> None:
    """It need not be why the job failed."""
    verdict = locked(*later, lock=lock, status=status).verdict
    assert verdict.outcome != "healthy"
    assert "process[9]: it waited for a file" in verdict.headline
    assert "(/run/job) for 3.00 s, until " in verdict.headline


def test_a_tick_after_which_the_lock_came_is_no_failure() -> None:
    """SA_RESTART: the kernel goes on with the call."""
    got = LOCK.replace("1.2 ", "4.2005 ").replace("? ERESTARTSYS (To be restarted if SA_RESTART is set)", "0")
    assert locked(ALARM, got, "9 7.3 +++ exited with 0 +++", status=0).verdict.outcome == "healthy"


@pytest.mark.parametrize(("slices", "cause"), [(1, "inconclusive"), (4, "hung-read")])
def test_an_idle_wait_with_a_limit_that_strace_left_will_end(slices: int, cause: str) -> None:
    """One call has a limit of its own; that of a slice is none of the whole."""
    ask = '"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n", 46, 0, NULL, 0) = 46 <0.001>'
    got = '"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok", 4096, 0, NULL, NULL) = 40 <0.001>'
    waits = [f"9 {n + 2}.0 poll([{{fd=3, events=POLLIN}}], 1, 1000) = 0 (Timeout) <1.0>" for n in range(slices - 1)]
    verdict = judged(
        f"9 1.0 socket({STREAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (80, 7)}) = 0 <0.0001>",
        f"9 1.2 sendto(3, {ask}", f"9 1.3 recvfrom(3, {got}", *waits,
        f"9 {slices + 1}.1 poll([{{fd=3, events=POLLIN}}], 1, 1000 <detached ...>",
    ).verdict  # fmt: skip
    assert verdict.cause == cause


@pytest.mark.parametrize(("option", "cause"), [("close", "hung-read"), ("keep-alive", "inconclusive")])
def test_an_end_that_was_asked_for_is_owed(option: str, cause: str) -> None:
    """The answer is whole, and the server was asked to close (RFC 9112 9.6); a kept connection stays silent by right."""
    head = f"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: {option}\\r\\n\\r\\n"
    size = len(head.encode().decode("unicode_escape"))
    got = '"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok", 4096, 0, NULL, NULL) = 40 <0.001>'
    verdict = judged(
        FORK,
        f"9 1.0 socket({STREAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (80, 7)}) = 0 <0.0001>",
        f'9 1.2 sendto(3, "{head}", {size}, 0, NULL, 0) = {size} <0.0001>', f"9 1.3 recvfrom(3, {got}",
        "9 1.4 poll([{fd=3, events=POLLIN}], 1, 60000 <unfinished ...>", "9 5.4 <... poll resumed>) = ? <unavailable>",
        "9 5.5 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=8, si_uid=0} ---", "9 5.6 +++ killed by SIGTERM +++",
        "8 5.7 +++ exited with 124 +++",
    ).verdict  # fmt: skip
    assert verdict.cause == cause
