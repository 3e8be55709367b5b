"""One JSON object by the contract `systrace-report/1` (`systrace.reporters.shapes.shape`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from systrace.model import Analysis
from systrace.reporters import Reporter, reporter
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.shapes.plain import encodable, parts

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_BLOCK = 1 << 16  # characters written at once


@reporter
class JsonReport(Reporter):
    """`--format json`."""

    name = "json"
    suffixes = (".json",)

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write one object and a newline, piece by piece: of 100,000 sockets it is larger than all else together."""
        pieces: list[str] = []
        size = 0
        for piece in _pieces(analysis):
            pieces.append(piece)
            size += len(piece)
            if size > _BLOCK:
                out.write("".join(pieces).encode())
                pieces, size = [], 0
        out.write("".join(pieces).encode())


def _pieces(analysis: Analysis) -> Iterator[str]:
    before = "{"
    for name, part in parts(analysis):
        yield f'{before}"{name}":'
        before = ","
        if not isinstance(part, Iterator):
            yield _encode(encodable(part))
            continue
        between = "["
        for each in part:
            yield between + _encode(encodable(each))
            between = ","
        yield "[]" if between == "[" else "]"
    yield "}\n"
