"""One table of what is measured, for all outlets."""

from __future__ import annotations

import re

from systrace.telemetry import JobRun
from systrace.telemetry.measures import MEASURES


def test_names_are_those_of_each_place(failed: JobRun) -> None:
    """Prometheus' with a base unit (https://prometheus.io/docs/practices/naming/), CloudWatch's as it writes them."""
    assert len({each.name for each in MEASURES}) == len({each.member for each in MEASURES}) == len(MEASURES)
    for each in MEASURES:
        assert re.fullmatch(r"[a-z]+(?:_[a-z]+)*", each.name)
        assert re.fullmatch(r"(?:[A-Z][a-z]+)+", each.member)
        assert each.name.endswith("_seconds") is (each.unit == "Seconds")
        assert each.help.endswith(".")
        assert each.value(failed) is not None
        assert set(each.labels) <= set(JobRun.__slots__)
