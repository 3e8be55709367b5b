"""A block of a conversation as a hexdump, and what is said where bytes or time are missing."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.masking.fields import within
from systrace.reporters.words.blocks import SILENCE_NS, Block, Flow
from systrace.words import duration

_ROW = 16  # bytes of a row
_PRINTABLE = bytes(byte if 32 <= byte < 127 else 46 for byte in range(256))


def hex_rows(sign: str, whole: Flow, block: Block) -> Iterator[str]:
    """Rows of 16 bytes; the offset counts all bytes of the direction, unknown ones too."""
    offset = block.offset
    before: int | None = None
    for part in block.parts:
        yield from silence(before, part.time_ns)
        before = part.time_ns
        for start in range(part.start, part.end, _ROW):
            end = min(start + _ROW, part.end)
            row = whole.masked(block.sent, start, end)
            hidden = within(whole.secrets[block.sent], start, end)
            yield f"{sign} {_row(offset, row, hidden)}"
            offset += len(row)
        if part.missing:
            yield f"--- {offset:08x}  {hole(part.missing, part.kept)}"
            offset += part.missing


def _row(offset: int, row: bytes, hidden: list[tuple[int, int]]) -> str:
    codes, chars = row.hex(" "), row.translate(_PRINTABLE).decode("ascii")
    for start, end in hidden:
        codes = codes[: 3 * start] + "** " * (end - start) + codes[3 * end :]
    codes = codes.rstrip()
    return f"{offset:08x}  {codes[:23]:<23}  {codes[24:]:<23}  |{chars}|"


def silence(before: int | None, now: int | None) -> list[str]:
    """A line that tells of a second without a byte, or none."""
    if before is None or now is None or now - before < SILENCE_NS:
        return []
    return [f"--- nothing for {duration(now - before)}"]


def hole(missing: int, kept: bool = True) -> str:
    """Bytes that happened and cannot be shown; `kept` says whether the log or the transcript lacks them."""
    why = "are not known: the log has no more of them (strace -s)" if kept else "are not shown: --limit keeps more"
    return f"{missing} bytes happened here and {why}"
