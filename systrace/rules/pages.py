"""The page of each cause, from its rule's docstring: what `systrace explain` prints and the catalogue is made of."""

from __future__ import annotations

import inspect
import re

from systrace.dataclass import dataclass
from systrace.rules import RULES

HEADINGS = ("What it is", "Why it matters", "What proves it", "Not this", "What to do", "Source")

# Verdicts that no rule finds, because they are said where rules find nothing.
_VERDICTS = {
    "healthy": """The log shows no fault on a socket that the job did not get over.

    What it is: no finding is of severity error or fatal.
    Why it matters: what ails the job is not in its system calls: look at what it computes, prints and stores.
    What proves it: every connection was answered, every wait ended with data, every message was complete.
    Not this: a log that hides what matters says inconclusive; see the limits under the report.
    What to do: nothing; keep the recording to compare a bad run with (systrace run --save).
    Source: the rules of this catalogue
    """,
    "inconclusive": """The log cannot show what went wrong, if anything did.

    What it is: no calls, or the ones that would tell are missing: strace's options hid them, it was started too late,
        or it was ended before the job was. Variant `snapshot`: of a running process (attach) not all could be read.
    Why it matters: silence of a log is no proof of health.
    What proves it: the limits named under the report: no waits (-e trace=network), no clock (-ttt), no children (-f).
    Not this: a fault that is certain from what is there is named all the same.
    What to do: record again with systrace run --save FILE -- JOB, or: strace -f -ttt -T -yy -s 4096 -o FILE JOB
    Source: strace(1)
    """,
}


_EPOCH_S = 1_700_000_000  # when the examples' clocks begin
_STAMP = re.compile(r"^(\d+) (\d{1,8})\.(\d+) ", re.MULTILINE)
_TOOK = re.compile(r"<(\d+)\.(\d{1,5})>$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One cause explained: a sentence, and a text for each of `HEADINGS` that its author wrote."""

    cause: str
    summary: str
    sections: dict[str, str]


def pages() -> dict[str, Page]:
    """Cause -> page, in alphabetical order."""
    texts = {cause: rule.page for cause, rule in RULES.items()} | _VERDICTS
    return {cause: page(cause, texts[cause]) for cause in sorted(texts)}


def page(cause: str, docstring: str) -> Page:
    """The page in a docstring: first its sentence, then paragraphs that begin with `Heading:`."""
    summary: list[str] = []
    sections: dict[str, list[str]] = {}
    current = summary
    for line in inspect.cleandoc(docstring).splitlines():
        heading, colon, text = line.partition(":")
        if colon and heading in HEADINGS:
            current = sections.setdefault(heading, [])
            line = text
        current.append(line.strip())
    return Page(cause, _joined(summary), {heading: _joined(lines) for heading, lines in sections.items()})


def _joined(lines: list[str]) -> str:
    return " ".join(line for line in lines if line)


def full_trace(example: str) -> str:
    """A rule's example as `strace -f -ttt -T` prints it; `9 1.5 ` is its short form of thread 9 after 1.5 s."""
    text = _STAMP.sub(lambda m: f"{m[1]} {_EPOCH_S + int(m[2])}.{m[3]:0<6} ", example)
    return _TOOK.sub(lambda m: f"<{m[1]}.{m[2]:0<6}>", text).strip() + "\n"
