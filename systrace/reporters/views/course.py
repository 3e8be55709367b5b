"""The course of events as lines: when, then or therefore, who, what, and where that stands."""

from __future__ import annotations

from pathlib import PurePath

from systrace.model import Analysis, Moment
from systrace.reporters.layout import Layout
from systrace.reporters.words.clock import Clock
from systrace.words import safe, wrap


def course_rows(analysis: Analysis, utc: bool = False) -> list[tuple[str, str, str]]:
    """(moment, what happened, where it stands) of each."""
    clock = Clock.of(analysis.evidence.source, utc)
    return [(clock.moment(each.time_ns), _told(each), _place(each)) for each in analysis.course]


def _told(moment: Moment) -> str:
    return " ".join(word for word in (moment.link, safe(moment.who), safe(moment.text)) if word)


def _place(moment: Moment) -> str:
    if not moment.line:
        return safe(moment.file)
    return f"{safe(PurePath(moment.file).name or moment.file)}:{moment.line}"


def tells_more(analysis: Analysis) -> bool:
    """Whether others than the log have a part in it."""
    return any(not each.line for each in analysis.course)


def course_lines(analysis: Analysis, layout: Layout) -> list[str]:
    """A block of the table."""
    rows = course_rows(analysis, layout.utc)
    stamps = max((len(moment) for moment, _text, _place_of in rows), default=0)
    out = ["What happened"] if rows else []
    for moment, text, place in rows:
        out += wrap(f"{text} ({place})" if place else text, layout.width, f"  {moment:<{stamps}}  ", " " * (stamps + 4))
    return out
