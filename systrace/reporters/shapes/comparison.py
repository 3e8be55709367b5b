"""A comparison as plain data, by the contract of `shape`: `systrace diff --format json`."""

from __future__ import annotations

from typing import cast

from systrace.compare.nouns import Comparison, Difference, Place, Run
from systrace.reporters.shapes.plain import encodable
from systrace.reporters.shapes.shape import ComparisonShape, DifferenceShape, PlaceShape, RunShape


def comparison_dict(told: Comparison) -> ComparisonShape:
    """All of it; the differences in their order."""
    whole: ComparisonShape = {
        "schema": "systrace-diff/1",
        "different": bool(told.differences),
        "good": _run(told.good),
        "bad": _run(told.bad),
        "alike": told.alike,
        "parted": told.parted,
        "differences": [_difference(each) for each in told.differences],
        "unseen": list(told.unseen),
    }
    return cast(ComparisonShape, encodable(whole))


def _run(run: Run) -> RunShape:
    return cast(
        RunShape,
        {
            "files": list(run.files),
            "job": run.job or None,
            "outcome": run.outcome,
            "cause": run.cause,
            "headline": run.headline,
            "steps": run.steps,
            "span_s": round(run.span_s, 9) if run.span_s is not None else None,
        },
    )


def _difference(each: Difference) -> DifferenceShape:
    return cast(
        DifferenceShape,
        {
            "kind": each.kind,
            "text": each.text,
            "step": each.step,
            "command": each.who or None,
            "peer": each.peer or None,
            "good": each.good or None,
            "bad": each.bad or None,
            "good_place": _place(each.good_place),
            "bad_place": _place(each.bad_place),
            "count": each.count,
            "of": each.of,
            "failed": each.failed,
        },
    )


def _place(place: Place | None) -> PlaceShape | None:
    return None if place is None or not place.line else {"file": place.file, "line": place.line, "time_s": place.time_s}
