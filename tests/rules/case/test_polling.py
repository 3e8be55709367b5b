"""Loops of sleeps and looks: what they wait for is said where the log knows it."""

from __future__ import annotations

from systrace.model import Input, Verdict
from systrace.pipeline import analyze

NAP = "9 {at:.4f} nanosleep({{tv_sec=0, tv_nsec=100000000}}, NULL) = 0 <0.1001>"
LOOK = "9 {at:.4f} wait4(77, 0x7ffe, WNOHANG, NULL) = 0 <0.000010>"


def judged(*forms: str, end: str = "") -> Verdict:
    lines = [form.format(at=1_700_000_000 + n / 5) for n in range(100) for form in forms]
    return analyze([Input("log", [f"{line}\n".encode() for line in [*lines, *([end] if end else [])]])]).verdict


def test_a_child_is_polled_for() -> None:
    verdict = judged(LOOK, NAP)
    assert (verdict.outcome, verdict.cause) == ("degraded", "not-network")
    assert "its child 77" in verdict.headline


def test_what_is_slept_for_may_be_unknown() -> None:
    assert "does not show" in judged(NAP).headline


def test_a_job_that_went_on_and_ended_well_is_healthy() -> None:
    assert judged(LOOK, NAP, end="9 1700000030.000000 +++ exited with 0 +++").outcome == "healthy"
