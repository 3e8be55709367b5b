"""The shared buffer, against a list of single bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from systrace.decoders.buffer import Buffer, Line
from systrace.messages.piece import Piece
from systrace.model import RETURNED, Received, Record, Transfer

_PART = st.tuples(st.binary(max_size=4).map(lambda b: b.replace(b"\xff", b"\n")), st.sampled_from([0, 0, 0, 3]))
_ADD = st.tuples(st.just("add"), st.lists(_PART, min_size=1, max_size=3))
_OTHER = st.tuples(st.sampled_from(["take", "parts", "skip", "find", "pieces", "skip_call"]), st.integers(0, 9))


def _call(parts: list[tuple[bytes, int]]) -> Transfer:
    size = sum(len(known) + missing for known, missing in parts)
    record = Record(0, 1, 1, None, None, "read", b"", size, None, RETURNED, b"")
    payload = [(known, len(known) + missing) for known, missing in parts]
    return Received(record, 3, size, b"", None, lambda _record: payload)


@given(st.lists(st.one_of(_ADD, _OTHER), max_size=40))
def test_it_behaves_like_a_list_of_bytes(steps: list[tuple[str, list[tuple[bytes, int]] | int]]) -> None:
    buffer = Buffer()
    wait: list[tuple[int | None, Transfer]] = []
    for step, value in steps:
        if isinstance(value, list):
            event = _call(value)
            if event.size:
                buffer.add(Piece.of(event))
                wait += [(byte, event) for k, m in value for byte in [*k, *([None] * m)]]
            continue
        _check(buffer, step, value, wait)
        assert buffer.size == len(wait)
        assert buffer.here is (wait[0][1] if wait else None)


def _check(buffer: Buffer, step: str, n: int, wait: list[tuple[int | None, Transfer]]) -> None:
    values = [byte for byte, _ in wait]
    known = values.index(None) if None in values else len(values)
    if step == "take":
        data, missing = buffer.take(n)
        assert len(data) + missing == len(values[:n])
        assert list(data) == values[: min(n, known)]
        if wait[:n]:
            assert buffer.last is wait[:n][-1][1]
        del wait[:n]
    elif step == "parts":
        assert [b for k, m in buffer.take_parts(n) for b in [*k, *([None] * m)]] == values[:n]
        del wait[:n]
    elif step == "skip" and n <= len(wait):
        buffer.skip(n)
        del wait[:n]
    elif step == "find":
        assert buffer.known == known
        assert buffer.stuck == (known < len(values))
        assert buffer.find(b"\n") == bytes(v for v in values[:known] if v is not None).find(b"\n")
    elif step == "pieces":
        got = [(b, piece.event) for piece in buffer.pieces() for k, m in piece.parts for b in [*k, *([None] * m)]]
        assert got == wait
        wait.clear()
    elif step == "skip_call":
        n = sum(1 for _, event in wait if event is wait[0][1])
        assert buffer.skip_call() == n
        del wait[:n]


def test_skip_counts_through_what_has_not_come_and_decodes_nothing(call: Callable[..., Transfer]) -> None:
    buffer = Buffer()
    buffer.add(Piece.of(call(False, [(b"abc", 0)])))
    buffer.skip(1003)
    unread = call(False, [(b"x" * 1000, 0)])
    unread.pieces = lambda _record: 1 / 0  # type: ignore[assignment, return-value]
    buffer.add(Piece.of(unread))
    assert (buffer.size, buffer.taken, buffer.owed) == (0, 1003, 0)
    buffer.add(Piece.of(call(False, [(b"next", 0)])))
    assert buffer.peek(10) == b"next"


def test_lines(call: Callable[..., Transfer]) -> None:
    buffer = Buffer()
    buffer.add(Piece.of(call(False, [(b"220 hi\r\nbare\ncu", 40)])))
    buffer.add(Piece.of(call(False, [(b"next line\r\npart", 0)])))
    assert buffer.line() == Line(b"220 hi", b"\r\n", False)
    assert buffer.line() == Line(b"bare", b"\n", False)
    assert buffer.line() == Line(b"cu", b"", True)
    assert buffer.line() == Line(b"next line", b"\r\n", False)
    assert buffer.line() is None
    assert buffer.line(limit=3) == Line(b"par", b"", True)


def test_a_partial_write_moves_only_what_it_returned(call: Callable[..., Transfer]) -> None:
    event = call(True, [(b"abcdef", 0)])
    event.size = 4
    assert Piece.of(event).parts == [(b"abcd", 0)]
    vector = call(True, [(b"ab", 3), (b"cdef", 0)])
    vector.size = 7
    assert Piece.of(vector).parts == [(b"ab", 3), (b"cd", 0)]
    unseen = call(False, [(b"", 0)])
    unseen.size = 9
    assert (Piece.of(unseen).data, Piece.of(unseen).missing) == (b"", 9)


def test_byte_by_byte_is_linear(call: Callable[..., Transfer]) -> None:
    def cost(n: int) -> float:
        buffer = Buffer()
        event = call(False, [(b"x", 0)])
        start = time.process_time()
        for _ in range(n):
            buffer.add(Piece.of(event))
            buffer.find(b"\n")
        return time.process_time() - start

    cost(1000)
    small, large = min(cost(5_000) for _ in range(3)), min(cost(50_000) for _ in range(3))
    assert large < small * 40 + 0.05
