"""The course of events: in order, and what happened of it comes last."""

from __future__ import annotations

import pytest

from systrace.course import course
from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.rules import RULES
from systrace.rules.pages import full_trace


def analysed(cause: str) -> Analysis:
    return analyze([Input("job.strace", full_trace(RULES[cause].fires).encode().splitlines(keepends=True))])


@pytest.mark.parametrize("cause", list(RULES))
def test_it_is_in_order_and_each_moment_is_told_once(cause: str) -> None:
    analysis = analysed(cause)
    moments = analysis.course
    times = [each.time_ns for each in moments if each.time_ns is not None]
    assert times == sorted(times)
    assert len({(each.file, each.line, each.text) for each in moments}) == len(moments)
    assert [each.link for each in moments[:1]] in ([""], [])
    assert {each.link for each in moments[1:]} <= {"then", "therefore"}
    if analysis.verdict.finding is not None:
        proof = {(line.file, line.line) for line in analysis.findings[analysis.verdict.finding].lines}
        shown = {(each.file, each.line) for each in moments}
        assert proof <= shown or len(moments) == 14


def test_the_end_is_the_consequence() -> None:
    moments = analysed("connect-refused").course
    assert "could not connect" in moments[-2].text or "connect" in moments[0].text
    assert (moments[-1].link, moments[-1].text.partition(" with")[0]) == ("therefore", "ended")


def test_no_verdict_no_course() -> None:
    assert course(analyze([])) == []
