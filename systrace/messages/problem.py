"""How a body's content is wrong, and where."""

from __future__ import annotations

import re

from systrace.dataclass import dataclass
from systrace.words import safe

_SPACE = re.compile(r"\s")


@dataclass(slots=True, frozen=True)
class Problem:
    """One defect. `kind` is "truncated" (the rest would have made it right), "malformed", or named by its function."""

    kind: str
    offset: int  # of the first wrong byte in the decoded content, 0-based
    line: int  # 1-based; 0 where lines make no sense
    column: int  # 1-based, in characters; 0 where columns make no sense
    message: str  # one short sentence, printable

    def __str__(self) -> str:
        where = f"line {self.line} column {self.column} (byte {self.offset})" if self.line else f"byte {self.offset}"
        return f"{self.kind}: {self.message} at {where}"


def position(data: bytes, offset: int) -> tuple[int, int]:
    """(line, column) of a byte offset, both 1-based; the column counts UTF-8 characters."""
    start = data.rfind(b"\n", 0, offset) + 1
    column = len(data[start:offset].decode("utf-8", "replace")) + 1
    return data.count(b"\n", 0, offset) + 1, column


def printable(data: bytes, limit: int = 200) -> str:
    """Bytes as one printable line: what is no printable character becomes a space or an escape."""
    text = data[: limit * 4].decode("utf-8", "backslashreplace")[:limit]
    return text if text.isprintable() else safe(_SPACE.sub(" ", text))
