"""Markdown for a ticket: the verdict, its proof, what to run and change; short, and nothing in it is a link or a mention."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from systrace import __version__
from systrace.model import Analysis, Step
from systrace.reporters import Reporter, reporter
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.views.answer import Card, about_job, answer, cards
from systrace.reporters.views.course import course_rows
from systrace.reporters.words.outcomes import WORDS
from systrace.words import cut, cut_middle, encoded, safe

_MOMENTS, _CAUSES, _STEPS, _OTHERS = 14, 3, 4, 3  # lines: a ticket is read on one page
_TEXT = 400  # columns of one
_LINE = 160  # columns in a code block
_MARKS = re.compile(r"[\\`*_<>\[\]#@|~&]|(?<=\w):(?=//)|(?<=www)\.|^[-+](?= )|^\d+[.)]", re.MULTILINE)


@reporter
class MarkdownReport(Reporter):
    """`--format markdown` (CommonMark)."""

    name = "markdown"
    suffixes = (".md", ".markdown")
    for_people = True

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write it."""
        out.write(encoded("\n".join(_lines(analysis, layout)) + "\n"))


def _lines(analysis: Analysis, layout: Layout) -> Iterator[str]:
    word = WORDS.get(analysis.verdict.outcome, analysis.verdict.outcome.upper())
    sentence, more = answer(analysis)
    about = ", ".join(about_job(analysis, layout))
    yield f"## {plain(f'{word}: {about}' if about else word)}"
    yield ""
    yield f"**{plain(sentence)}** {plain(more)}".rstrip()
    told = cards(analysis, layout)
    verdict = analysis.verdict.finding is not None and analysis.verdict.finding < len(analysis.findings)
    first, others = (told[0], told[1:]) if verdict else (None, told)
    if first is not None:
        yield from _card(first, analysis, layout)
    if others:
        yield ""
        yield from (f"- Also: {plain(each.title)} ({plain(each.kind)}; {each.sure})" for each in others[:_OTHERS])
        if len(others) > _OTHERS:
            yield f"- and {len(others) - _OTHERS} more"
    yield ""
    yield f"_{plain(_versions(analysis))}_"


def _card(card: Card, analysis: Analysis, layout: Layout) -> Iterator[str]:
    yield from _course(analysis, layout)
    yield from _list("Most likely", card.causes[:_CAUSES])
    yield from _commands(card.steps[:_STEPS])
    yield from _list("Change", card.remedy[:_CAUSES])
    if card.wrong_if:
        yield ""
        yield f"Wrong if: {plain(card.wrong_if)}"


def _course(analysis: Analysis, layout: Layout) -> Iterator[str]:
    """What happened, in place of the proof: it is that, and what came before and after it."""
    rows = []
    for moment, text, place in course_rows(analysis, layout.utc)[:_MOMENTS]:
        rows.append(f"{moment}{'  ' if moment else ''}{cut_middle(text, _LINE)}{f'  ({place})' if place else ''}")
    if rows:
        yield from _block("What happened", "text", rows)


def _commands(steps: Sequence[Step]) -> Iterator[str]:
    rows = []
    for step in steps:
        command, why = safe(step.command), safe(step.why)
        rows += [f"# {why}"] if why else []
        rows += [command] if command else []
    if rows:
        yield from _block("Check", "sh", rows)


def _block(title: str, kind: str, rows: Sequence[str]) -> Iterator[str]:
    """Code in a fence that is longer than any in it."""
    longest = max((len(each) for row in rows for each in re.findall("`+", row)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from ("", f"**{title}**", "", f"{fence}{kind}", *rows, fence)


def _list(title: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        yield from ("", f"**{title}**", "", *(f"- {plain(item)}" for item in items))


def _versions(analysis: Analysis) -> str:
    facts, health = analysis.evidence.source.facts, analysis.evidence.health
    by = facts.get("tracer") or (f"strace {facts['strace_version']}" if facts.get("strace_version") else "strace")
    kernel = f", Linux {facts['kernel']}" if facts.get("kernel") else ""
    masked = "secrets shown" if analysis.evidence.masks.shown else "secrets masked"
    unread = f", {health.unparsed} not understood" if health.unparsed else ""
    return f"systrace {__version__}, recorded by {by}{kernel}; {health.lines} lines{unread}; {masked}"


def plain(text: str) -> str:
    r"""As Markdown's plain text.

    >>> plain("a_b <i> @all http://x.example")
    'a\\_b \\<i\\> \\@all http\\://x.example'
    """
    return _MARKS.sub(lambda mark: f"{mark[0][:-1]}\\{mark[0][-1]}", cut(safe(text), _TEXT))
