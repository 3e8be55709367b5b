"""The answer of a report, and its findings as cards."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input, Step
from systrace.pipeline import analyze
from systrace.reporters.layout import Layout
from systrace.reporters.views.answer import answer, cards, headline_lines, job_of, named
from systrace.rules import RULES
from systrace.rules.pages import full_trace


def analysed(cause: str) -> Analysis:
    return analyze([Input("job.strace", full_trace(RULES[cause].fires).encode().splitlines(keepends=True))])


@pytest.mark.parametrize("cause", list(RULES))
def test_cards_say_each_thing_once_and_the_answer_first(cause: str) -> None:
    analysis = analysed(cause)
    found = cards(analysis, Layout())
    assert len(found) == len(analysis.findings)
    if analysis.verdict.finding is not None:
        assert found[0].finding is analysis.findings[analysis.verdict.finding]
        assert found[0].title == analysis.verdict.headline
        sentence, more = answer(analysis)
        assert f"[{found[0].kind}; {found[0].sure}]" in sentence
        assert sentence.partition(" [")[0].partition(" (")[0] in analysis.verdict.headline
        assert more in analysis.verdict.headline
    for part in ("causes", "steps", "remedy"):
        said = [item for card in found for item in getattr(card, part)]
        assert len(said) == len(set(said))
    assert headline_lines(analysis, Layout())[0].partition(":")[0].isupper()


def test_a_commands_log_is_the_recording() -> None:
    assert (
        named(Step("systrace follow LOG --socket S1", ""), "a.strace").command == "systrace follow a.strace --socket S1"
    )
    assert named(Step("grep LOG x", ""), "a.strace").command == "grep LOG x"


def test_the_job_is_what_was_recorded() -> None:
    line = b'900 1700000100.000000 execve("/bin/x", ["x", "y"], 0x1 /* 3 vars */) = 0 <0.001>\n'
    assert job_of(analyze([Input("t", [line])])) == "x"
    assert job_of(analyze([Input("t", [b'# systrace: {"command": ["x", "y"]}\n', line])])) == "x y"
    assert job_of(analyze([])) == ""
