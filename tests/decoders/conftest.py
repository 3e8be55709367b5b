"""Fakes for the decoders' tests: calls made by hand, and conversations fed in several ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count

import pytest

from systrace.decoders import Decoder
from systrace.messages.piece import Piece
from systrace.model import RETURNED, Message, Received, Record, Sent, Socket, Transfer

Said = tuple[bool, bytes, int]  # by the client?, known bytes, missing bytes after them
_linenos = count(1)


def call(sent: bool, parts: Sequence[tuple[bytes, int]], at_ms: int | None = None, flags: bytes = b"") -> Transfer:
    """A call that moved these (known bytes, missing bytes after them)."""
    size = sum(len(known) + missing for known, missing in parts)
    time_ns = None if at_ms is None else at_ms * 1_000_000
    name = "sendto" if sent else "recvfrom"
    lineno = next(_linenos)
    record = Record(0, lineno, 1, time_ns, None if at_ms is None else 500_000, name, b"", size, None, RETURNED, b"")
    payload = [(known, len(known) + missing) for known, missing in parts]
    return (Sent if sent else Received)(record, 3, size, flags, None, lambda _record: payload)


def stream_socket(role: str = "client", **more: str) -> Socket:
    """A TCP socket."""
    return Socket("S1", "inet", "stream", role=role, **more)  # type: ignore[arg-type]


def talk(
    cls: Callable[[Socket], Decoder],
    said: Iterable[Said],
    how: str = "eof",
    step: int = 0,
    socket: Socket | None = None,
) -> list[Message]:
    """Feed a conversation to a decoder: each entry by one call, or `step` bytes a call; then both sides end."""
    decoder = cls(socket or stream_socket())
    out: list[Message] = []
    at = 0
    for client, data, missing in said:
        cuts = range(0, len(data), step) if step else range(1)
        for start in cuts:
            chunk = data[start : start + step] if step else data
            hole = missing if not step or start + step >= len(data) else 0
            at += 1
            out += decoder.feed(client, Piece.of(call(client, [(chunk, hole)], at)))
            if decoder.handed_over:
                return out
    out += decoder.end(False, how)
    out += decoder.end(True, how)
    return out


@pytest.fixture(name="call", scope="session")
def call_fixture() -> Callable[..., Transfer]:
    """`call`."""
    return call


@pytest.fixture(name="talk", scope="session")
def talk_fixture() -> Callable[..., list[Message]]:
    """`talk`."""
    return talk
