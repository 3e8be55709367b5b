"""A log that shows less makes a verdict vaguer, never another accusation.

Every recording of the samples and every rule's two examples are stripped of columns, ends, threads and calls; what is then
said must be what was said of the whole log, or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.model import Analysis, Finding, Input
from systrace.pipeline import analyze
from systrace.rules import RULES
from systrace.rules.pages import full_trace
from tests.stripping import OPERATIONS, Lines, foreign

SAMPLES = Path(__file__).parents[2] / "samples"
COLUMNS = ("no-clock", "no-duration", "no-annotations", "short-strings")  # these leave every call where it is
CONFIDENCE = ("possible", "likely", "confirmed")
WAITS = {"hung-read", "read-timeout", "idle-timeout", "slow-transfer"}
CONTENT = {cause for cause, rule in RULES.items() if rule.content} | {"http-error-status", "redirect-problem"}


def _logs() -> dict[str, Lines]:
    """Name -> lines, without what our own recordings know of themselves."""
    found = {path.parent.name: path.read_bytes() for path in sorted(SAMPLES.glob("*/trace.strace"))}
    for cause, rule in sorted(RULES.items()):
        found[f"{cause} fires"] = full_trace(rule.fires).encode()
        found[f"{cause} is silent"] = full_trace(rule.silent).encode()
    return {name: foreign(text.splitlines(keepends=True)) for name, text in found.items()}


LOGS = _logs()


def judged(lines: Sequence[bytes]) -> Analysis:
    return analyze([Input("log", list(lines))])


@cache
def whole(name: str) -> Analysis:
    return judged(LOGS[name])


def main_finding(analysis: Analysis) -> Finding | None:
    return None if analysis.verdict.finding is None else analysis.findings[analysis.verdict.finding]


def says_less(before: Analysis, after: Analysis) -> bool:
    """Whether the second verdict says the same as the first, or less."""
    old, new = before.verdict, after.verdict
    if new.outcome in ("healthy", "inconclusive") or new.cause == "blocked-unknown":
        return (
            True  # the last names nobody: where who attached, and for how long, is gone, a blocked call is all there is
        )
    told = {(finding.cause, finding.peer) for finding in before.findings}
    if (new.cause, new.peer) in told:
        return True
    if old.outcome in ("healthy", "inconclusive"):
        return False
    was, now = main_finding(before), main_finding(after)
    if now is not None and (now.cause, now.variant) == ("not-network", "child"):
        return True
    if new.peer not in (None, old.peer):
        return False
    if new.cause == old.cause or {old.cause, new.cause} <= WAITS:
        return True
    if old.cause in CONTENT and new.cause in CONTENT | {"parse-crash"}:
        return True  # what was wrong with the answer is no longer to be seen
    return was is not None and now is not None and CONFIDENCE.index(now.confidence) < CONFIDENCE.index(was.confidence)


def told(name: str, how: str, after: Analysis) -> str:
    return f"{name}, {how}: {whole(name).verdict.headline}\n-> {after.verdict.headline}"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_stripped_log_accuses_nobody_else(operation: str) -> None:
    """Each way of showing less, on every log."""
    wrong = []
    for name, lines in LOGS.items():
        after = judged(OPERATIONS[operation](lines))
        if not says_less(whole(name), after):
            wrong.append(told(name, operation, after))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("operation", COLUMNS)
def test_a_column_less_makes_no_failure_healthy(operation: str) -> None:
    """All calls are there, the failing exit or the wait without an end, too."""
    wrong = []
    for name in (path.parent.name for path in SAMPLES.glob("*/trace.strace")):
        after = judged(OPERATIONS[operation](LOGS[name]))
        if whole(name).verdict.outcome in ("failed", "hung") and after.verdict.outcome == "healthy":
            wrong.append(told(name, operation, after))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name.startswith("tail-cut-")])
def test_a_tail_less_makes_no_failure_healthy(operation: str) -> None:
    """What the job failed of, or how long it hung, may be in what is missing."""
    wrong = []
    for name, lines in LOGS.items():
        after = judged(OPERATIONS[operation](lines))
        if whole(name).verdict.outcome in ("failed", "hung") and after.verdict.outcome == "healthy":
            wrong.append(told(name, operation, after))
    assert not wrong, "\n".join(wrong)


@settings(max_examples=400, derandomize=True)
@given(name=st.sampled_from(sorted(LOGS)), chosen=st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=2, max_size=4))
def test_so_does_one_that_is_stripped_in_several_ways(name: str, chosen: list[str]) -> None:
    """Excerpts that people post lack a clock, and names, and the begin, and the other threads."""
    lines = LOGS[name]
    for operation in chosen:
        lines = OPERATIONS[operation](lines)
    after = judged(lines)
    assert says_less(whole(name), after), told(name, ", ".join(chosen), after)
