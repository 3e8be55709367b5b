"""Answers for people: the verdict, then a line for each probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from systrace.observations import Observation
from systrace.probes.concluding import Conclusion
from systrace.words import columns, safe, wrap

_WORDS = {0: "fine", 1: "found", 2: "unknown"}


def lines(
    subject: str, answer: Conclusion, observations: Sequence[Observation], more: Sequence[str], width: int
) -> list[str]:
    """For one target.

    Args:
        subject: the target.
        answer: what it amounts to.
        observations: a row each.
        more: what to do.
        width: in columns.
    """
    told = wrap(f"{answer.cause}: {answer.text}", width, f"{safe(subject)}: ", "  ")
    rows = [(str(each.value.get("probe", each.kind)), safe(str(each.value.get("text", "")))) for each in observations]
    broad = max((columns(name) for name, _ in rows), default=0) + 4
    for name, text in rows:
        told += wrap(text, width, f"  {name:{broad - 2}}", " " * broad)
    for each in more:
        told += wrap(each, width, "- ", "  ")
    return told


def plain(subject: str, answer: Conclusion, observations: Sequence[Observation], more: Sequence[str]) -> dict[str, Any]:
    """The same as data."""
    verdict = {"outcome": _WORDS[answer.status], "cause": answer.cause, "subject": answer.subject, "text": answer.text}
    return {
        "target": subject,
        "verdict": verdict,
        "observations": [asdict(each) for each in observations],
        "advice": list(more),
    }
