"""The bounded sample of a body."""

from __future__ import annotations

from collections.abc import Callable

from systrace.messages.body import HEAD_LIMIT, TAIL_LIMIT, Body, Gap
from systrace.messages.piece import Piece
from systrace.model import RETURNED, Received, Record

Make = Callable[..., Body]


def moved(data: bytes) -> Piece:
    """What a call received."""
    record = Record(0, 1, 1, 0, 1000, "read", b"", len(data), None, RETURNED, b"")
    return Piece.of(Received(record, 3, len(data), b"", None, lambda _record: [(data, len(data))]))


def test_empty_is_not_unknown(make: Make) -> None:
    assert make(b"").kind() == "empty"
    assert make(b"", missing=9).kind() == "unknown"


def test_the_sample_is_bounded_and_says_what_it_lacks() -> None:
    body = Body()
    size = 0
    for at in range(100):
        chunk = bytes([at]) * 10_000
        body.add_piece(moved(chunk))
        size += len(chunk)
    assert body.received == size
    assert HEAD_LIMIT <= len(body.raw()) < HEAD_LIMIT + 10_000
    assert TAIL_LIMIT <= len(body.tail()) < TAIL_LIMIT + 10_000
    assert body.gaps == [Gap(len(body.raw()), size - len(body.raw()) - len(body.tail()))]
    assert not body.whole
    assert body.tail().endswith(b"\x63")
    body.shrink(1000)
    assert (body.held, body.received, len(body.raw()), body.tail()) == (1000, size, 1000, b"")


def test_gaps_merge(make: Make) -> None:
    body = make(b"ab", missing=2)
    body.add(b"", 3)
    body.add(b"cd", 0)
    body.add(b"ef", 1)
    assert body.parts == [(b"ab", 5), (b"cdef", 1)]
    assert body.gaps == [Gap(2, 5), Gap(11, 1)]
    assert (body.raw(), body.tail(), body.received) == (b"ab", b"", 12)
