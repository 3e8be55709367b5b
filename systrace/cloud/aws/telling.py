"""Ways for people, and for programs: the verdict, then every step with what decides it.

As JSON, one object a peer, by the contract `systrace-aws/1` (`systrace.reporters.shapes.shape`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from systrace.cloud.aws.facts import advice, conclude, words
from systrace.cloud.aws.steps import Way
from systrace.observations import Observation
from systrace.words import clean, columns, safe, wrap

_TEXT = 600


def lines(way: Way, width: int) -> list[str]:
    """For people, in so many columns."""
    answer = conclude(way)
    name = f" ({safe(way.question.name)})" if way.question.name and way.question.name != way.question.peer else ""
    told = wrap(answer.text, width, f"{safe(way.question.subject)}{name}: ", "  ")
    if way.source:
        told += wrap(f"from {clean(way.source_text, _TEXT)}", width, "  ", "    ")
    rows = [(step.outcome, f"{words(step.name)}: {clean(step.text, _TEXT)}") for step in way.steps]
    rows += [("limit", clean(each, _TEXT)) for each in _limits(way)]
    rows += [("flow logs", clean(each, _TEXT)) for each in (one.text for one in way.flows)]
    broad = max((columns(outcome) for outcome, _ in rows), default=0) + 4
    for outcome, text in rows:
        told += wrap(text, width, f"  {outcome:{broad - 2}}", " " * broad)
    for each in advice(way):
        told += wrap(each, width, "- ", "  ")
    return told


def _limits(way: Way) -> list[str]:
    from systrace.cloud.aws.facts import limit_text

    return [limit_text(each) for each in way.limits]


def plain(way: Way, found: Sequence[Observation], queries: dict[str, str]) -> dict[str, Any]:
    """The same as data."""
    answer, step = conclude(way), way.deciding
    steps: list[dict[str, Any]] = [
        {"name": each.name, "outcome": each.outcome, "at": clean(each.at, _TEXT), "text": clean(each.text, _TEXT)}
        | {"share": each.share, "change": clean(each.change, _TEXT), "ask": clean(each.ask, _TEXT)}
        for each in way.steps
    ]
    verdict = {"outcome": answer.outcome, "cause": answer.cause, "step": step.name if step else "", "text": answer.text}
    return {
        "schema": "systrace-aws/1",
        "target": safe(way.question.subject),
        "name": safe(way.question.name),
        "source": {"interface": clean(way.source, _TEXT), "text": clean(way.source_text, _TEXT)},
        "verdict": verdict,
        "steps": steps,
        "limits": [asdict(each) | {"at": clean(each.at, _TEXT)} for each in way.limits],
        "observations": [asdict(each) for each in found],
        "advice": advice(way),
        "flow_logs": {"seen": [asdict(each) for each in way.flows]} | queries,
    }
