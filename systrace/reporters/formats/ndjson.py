"""One JSON object a line, for log pipelines: the recording with its verdict, then findings, connections and exchanges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from systrace import __version__
from systrace.model import Analysis, Keep
from systrace.reporters import Reporter, reporter
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.shapes.plain import encodable, parts

_ROWS = {"findings": "finding", "sockets": "connection", "transactions": "exchange"}
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@reporter
class NdjsonReport(Reporter):
    """`--format ndjson`: rows have the fields of `--format json`, and `row` and `recording` before them."""

    name = "ndjson"
    suffixes = (".ndjson", ".jsonl")
    keep = Keep(requests=True)

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write a row at a time."""
        name = analysis.evidence.source.files[0] if analysis.evidence.source.files else ""
        for kind, row in _rows(analysis):
            out.write(_encode(encodable({"row": kind, "recording": name, **row})).encode() + b"\n")


def _rows(analysis: Analysis) -> Iterator[tuple[str, dict[str, Any]]]:
    whole: dict[str, Any] = {}
    rows: list[tuple[str, Iterator[dict[str, Any]]]] = []
    for name, part in parts(analysis):
        if isinstance(part, Iterator):
            if name in _ROWS:
                rows.append((_ROWS[name], part))
        else:
            whole[name] = part
    yield "recording", {"systrace_version": __version__, **whole}
    for kind, found in rows:
        for row in found:
            yield kind, row
