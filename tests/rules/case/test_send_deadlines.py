"""Sends that the peer took no more of: given up by the program, or by nobody."""

from __future__ import annotations

import pytest

from systrace.model import Analysis
from tests.rules.verdict.short_logs import STREAM, TO, judged

STANDS = [f"9 1.0 socket({STREAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (80, 7)}) = 0 <0.0001>"]
ALARM = "--- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---"
PART = '9 1.3 write(3, "xxxx"..., 1000000) = 69504 <3.0>'


def told(analysis: Analysis) -> tuple[str, str, str | None]:
    """Outcome and cause, and the variant of what is blamed."""
    verdict = analysis.verdict
    variant = analysis.findings[verdict.finding].variant if verdict.finding is not None else None
    return verdict.outcome, verdict.cause, variant


def test_an_alarm_that_cuts_a_send_short_is_its_limit() -> None:
    """A send that has moved a part returns that when a signal comes, and no EINTR (signal(7))."""
    analysis = judged(*STANDS, "9 1.2 alarm(3) = 0 <0.0001>", PART, f"9 4.301 {ALARM}", "9 4.4 +++ exited with 255 +++")
    assert told(analysis) == ("failed", "send-blocked", "limit")
    assert "its own limit of 3.00 s ended the wait (SIGALRM)" in analysis.verdict.headline


def test_a_signal_that_comes_later_cut_nothing_short() -> None:
    """The alarm interrupts something else."""
    later = ["9 6.0 nanosleep({tv_sec=9, tv_nsec=0}, NULL) = ? ERESTART_RESTARTBLOCK (Interrupted by signal) <1.0>"]
    analysis = judged(
        *STANDS, "9 1.2 alarm(6) = 0 <0.0001>", PART, *later, f"9 7.1 {ALARM}", "9 7.2 +++ exited with 1 +++"
    )
    assert "SIGALRM" not in analysis.verdict.headline


@pytest.mark.parametrize("end", ["9 4.5 close(3) = 0 <0.0001>", "9 4.5 exit_group(1) = ?"])
def test_whoever_leaves_by_itself_did_not_hang(end: str) -> None:
    """The limit is another thread's: the wait has none, and ends as the program closes or exits."""
    woken = "9 1.4 poll([{fd=3, events=POLLOUT}, {fd=4, events=POLLIN}], 2, -1) = 1 ([{fd=4, revents=POLLIN}]) <3.0>"
    short = '9 1.3 write(3, "xxxx"..., 1000000) = 69504 <0.0001>'
    assert told(judged(*STANDS, short, woken, end, "9 4.6 +++ exited with 1 +++")) == (
        "failed",
        "send-blocked",
        "limit",
    )


def test_whoever_is_killed_in_it_did_hang() -> None:
    """The same send, and somebody else's SIGTERM."""
    term = "--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---"
    analysis = judged(*STANDS, PART, f"9 4.301 {term}", "9 4.4 +++ killed by SIGTERM +++")
    assert told(analysis) == ("hung", "send-blocked", "hung")


def test_a_tick_after_which_the_rest_went_is_no_limit() -> None:
    """The handler did nothing, and the program sent what was left."""
    rest = '9 4.4 write(3, "xxxx"..., 930496) = 930496 <0.01>'
    analysis = judged(*STANDS, PART, f"9 4.301 {ALARM}", rest, "9 4.5 close(3) = 0", "9 4.6 +++ exited with 0 +++")
    assert analysis.verdict.outcome == "healthy"
