"""What a message carries: how many bytes happened, and a bounded sample of those that are known."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

from systrace.messages.codings import Decoded, decode_content
from systrace.messages.piece import Piece
from systrace.messages.sniffing import sniff

HEAD_LIMIT = 256 << 10  # bytes kept of a body's beginning
TAIL_LIMIT = 64 << 10  # bytes kept of its end
_head_limit: ContextVar[int] = ContextVar("head_limit", default=HEAD_LIMIT)


@contextlib.contextmanager
def sample_size(head_limit: int) -> Iterator[None]:
    """Bodies made within keep so many bytes of their beginning."""
    token = _head_limit.set(head_limit)
    try:
        yield
    finally:
        _head_limit.reset(token)


class Gap(NamedTuple):
    """Bytes of a body that happened and are not known: cut by `-s`, or more than the sample holds."""

    offset: int
    length: int


class Body:
    """A body as transferred, chunk framing already taken off: a sample from its beginning and one from its end.

    `received` bytes happened. Content and transfer encodings are undone when `decoded()` is asked for; the payload of
    whole calls stays undecoded in the log's text until then.
    """

    __slots__ = (
        "_decoded",
        "_head",
        "_head_limit",
        "_head_size",
        "_parts",
        "_tail",
        "_tail_size",
        "complete",
        "ended",
        "fields",
        "lost_at",
        "received",
    )

    def __init__(self, fields: bytes = b"") -> None:
        self.fields = fields  # the message's head, or "\nname: value" lines like it
        self.received = 0
        self.lost_at: int | None = None  # so many bytes are in their places; of the rest not even the number is known
        self.complete = False  # the protocol says that all of it came
        self.ended = True  # nothing more will come: it is complete, or its sender ended the connection or stream
        self._head: list[Piece | tuple[bytes, int]] = []
        self._head_limit = _head_limit.get()
        self._head_size = 0
        self._tail: deque[Piece | tuple[bytes, int]] | None = None
        self._tail_size = 0
        self._parts: list[tuple[bytes, int]] | None = None
        self._decoded: Decoded | None = None

    # ------------------------------------------------------------------------------------------ filled by the decoder

    def add(self, data: bytes, missing: int) -> None:
        """Bytes that came, and how many unknown ones after them."""
        if self.lost_at is not None:
            data, missing = b"", len(data) + missing
        self._put((data, missing), len(data) + missing)

    def add_piece(self, piece: Piece) -> None:
        """All that a call moved; looked at only when somebody asks."""
        self._put(piece if self.lost_at is None else (b"", piece.size), piece.size)

    def lose(self) -> None:
        """From here on a hole hides the framing: what is added after this is at most counted."""
        if self.lost_at is None:
            self.lost_at = self.received

    def _put(self, item: Piece | tuple[bytes, int], size: int) -> None:
        self.received += size
        if self._head_size < self._head_limit:
            self._head.append(item)
            self._head_size += size
            return
        tail = self._tail = deque() if self._tail is None else self._tail
        tail.append(item)
        self._tail_size += size
        while self._tail_size - _size(tail[0]) >= TAIL_LIMIT:
            self._tail_size -= _size(tail.popleft())

    # ------------------------------------------------------------------------------------------------- asked by rules

    @property
    def content_type(self) -> str:
        """Content-Type as declared, parameters included; "" when it is not."""
        return field(self.fields, b"\ncontent-type:")

    @property
    def encodings(self) -> tuple[str, ...]:
        """Content codings, then transfer codings other than chunked, in the order in which they were applied."""
        transfer = codings(field(self.fields, b"\ntransfer-encoding:"))
        content = codings(field(self.fields, b"\ncontent-encoding:"))
        return content + tuple(name for name in transfer if name not in ("chunked", "identity"))

    @property
    def held(self) -> int:
        """About how many bytes of memory the sample costs."""
        return self._head_size + self._tail_size

    def shrink(self, limit: int) -> None:
        """Keep at most `limit` known bytes of the beginning, to save memory; the others count as not known."""
        known = self.raw()[:limit] if limit else b""  # looking for them decodes them
        gap = self.received - len(known)
        self._head = [(known, gap)]
        self._head_size = len(known)
        self._tail = None
        self._tail_size = 0
        self._parts = [(known, gap)]
        self._decoded = None

    @property
    def parts(self) -> list[tuple[bytes, int]]:
        """[(known bytes, unknown bytes that follow)], merged; the sum of all is `received`."""
        if self._parts is None:
            middle = self.received - self._head_size - self._tail_size
            self._parts = _merge([*self._head, (b"", middle), *(self._tail or ())])
        return self._parts

    @property
    def placed(self) -> list[tuple[bytes, int]]:
        """`parts` up to where the framing is known: their sum is how many bytes happened at least."""
        if self.lost_at is None:
            return self.parts
        placed, left = [], self.lost_at
        for known, missing in self.parts:
            known = known[:left]
            missing = min(missing, left - len(known))
            left -= len(known) + missing
            if known or missing:
                placed.append((known, missing))
        return placed

    @property
    def size(self) -> str:
        """How many bytes happened, for people."""
        return f"{self.received} bytes" if self.lost_at is None else f"at least {self.lost_at} bytes"

    @property
    def gaps(self) -> list[Gap]:
        """Where bytes are not known."""
        gaps, offset = [], 0
        for known, missing in self.parts:
            offset += len(known)
            if missing:
                gaps.append(Gap(offset, missing))
            offset += missing
        return gaps

    @property
    def whole(self) -> bool:
        """Every byte that happened is known. (Whether all that was due happened is another question: `complete`.)"""
        return self.lost_at is None and all(not missing for _, missing in self.parts)

    def raw(self) -> bytes:
        """Known bytes up to the first gap, as transferred."""
        return self.parts[0][0] if self.parts else b""

    def tail(self) -> bytes:
        """Known bytes after the last gap; empty when the end is not known."""
        return self.parts[-1][0] if self.parts and not self.parts[-1][1] else b""

    def decoded(self) -> Decoded:
        """Content codings undone, as far as bytes are known and the sample's size allows."""
        if self._decoded is None:
            self._decoded = decode_content(self.raw(), self.encodings, whole=self.whole)
        return self._decoded

    def data(self) -> bytes:
        """The content from its beginning, codings undone, up to the first unknown or damaged byte."""
        return self.decoded().data

    @property
    def data_whole(self) -> bool:
        """`data()` is all the content that came: no gap, no damage, no coding that could not be undone."""
        decoded = self.decoded()
        return self.whole and decoded.problem is None and not decoded.limited

    @property
    def data_final(self) -> bool:
        """`data()` is all the content that came, and no more will: only then can it be truncated."""
        return self.ended and self.data_whole

    def kind(self) -> str:
        """What the content looks like, whatever was declared: see `sniffing.sniff`."""
        return sniff(self.data(), empty=self.received == 0)


def field(head: bytes, key: bytes) -> str:
    r"""The first value of the field `key` (written b"\nname:") in a head, "" when it is not there."""
    low = head.lower()
    start = low.find(key)
    if start < 0:
        return ""
    start += len(key)
    end = low.find(b"\n", start)
    return head[start : end if end >= 0 else len(head)].strip().decode("latin-1")


def codings(value: str) -> tuple[str, ...]:
    """A list of codings, in the order in which they were applied."""
    return tuple(name for part in value.split(",") if (name := part.strip().lower()))


def _size(item: Piece | tuple[bytes, int]) -> int:
    return item.size if isinstance(item, Piece) else len(item[0]) + item[1]


def _merge(items: list[Piece | tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """Neighbouring known runs and neighbouring holes become one."""
    merged: list[tuple[bytes, int]] = []
    run: list[bytes] = []
    hole = 0
    for item in items:
        for known, missing in item.parts if isinstance(item, Piece) else (item,):
            if known:
                if hole:
                    merged.append((b"".join(run), hole))
                    run, hole = [], 0
                run.append(known)
            hole += missing
    if run or hole:
        merged.append((b"".join(run), hole))
    return merged
