"""`--format ndjson`: the fields of the JSON report, a row each."""

from __future__ import annotations

import io
import json
from typing import Any

from systrace.model import Input
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS
from systrace.rules import RULES
from systrace.rules.pages import full_trace


def test_rows_are_those_of_the_report() -> None:
    trace = full_trace(RULES["html-instead-of-json"].fires).encode().splitlines(keepends=True)
    analysis = analyze([Input("job.strace", trace)])
    rows, whole = io.BytesIO(), io.BytesIO()
    REPORTERS["ndjson"].write(analysis, rows)
    REPORTERS["json"].write(analysis, whole)
    report = json.loads(whole.getvalue())
    found: dict[str, list[Any]] = {}
    for line in rows.getvalue().splitlines():
        row = json.loads(line)
        assert row.pop("recording") == "job.strace"
        found.setdefault(row.pop("row"), []).append(row)
    [recording] = found["recording"]
    assert recording["verdict"] == report["verdict"]
    assert recording["health"] == report["health"]
    for kind, name in (("finding", "findings"), ("connection", "sockets"), ("exchange", "transactions")):
        assert found[kind] == report[name]
        assert found[kind]
