"""The first and the last of what went over each connection, bounded however much it was: for reports that show it."""

from __future__ import annotations

from collections import deque
from dataclasses import field
from typing import NamedTuple

from systrace.dataclass import dataclass
from systrace.model import Sent, Socket, Transfer

OF_EACH = 16 << 10  # bytes, one half first, one half last
_LEAST = 4 << 10  # ... where there are very many connections
_OF_ALL = 12 << 20
_CALL = 64  # bytes: one of a single byte costs more than that byte
_SHOWN_WITHIN = ("inet", "inet6", "unix", "vsock")


class Said(NamedTuple):
    """What one call moved, as far as it is known and kept."""

    sent: bool
    start_ns: int | None
    end_ns: int | None
    line: int
    known: bytes
    missing: int  # bytes that follow, and that the log does not hold
    left_out: int  # bytes that follow, and that are not kept


@dataclass(frozen=True, slots=True)
class Conversation:
    """First and last calls; between them bytes sent and received are left out."""

    first: list[Said]
    last: list[Said]
    sent: int = 0  # bytes left out between
    received: int = 0
    calls: int = 0


@dataclass(slots=True)
class _Kept:
    """Of one connection: the calls themselves; their bytes are read when somebody asks."""

    first: list[Transfer] = field(default_factory=list)
    last: deque[Transfer] = field(default_factory=deque)
    held: int = 0  # bytes of the first
    tail: int = 0  # ... of the last
    full: bool = False
    sent: int = 0
    received: int = 0
    calls: int = 0


class Conversations:
    """A listener that keeps the beginning and the end of each conversation."""

    def __init__(self, of_each: int = OF_EACH, of_all: int = _OF_ALL) -> None:
        self._kept: dict[str, _Kept] = {}
        self._half = of_each // 2
        self._most = of_each // 4  # of one call, so that what stands before and after it is seen, too
        self._of_all = of_all
        self._held = 0
        self.left_out = 0  # connections that ended well and are no longer kept

    def of(self, socket: Socket) -> Conversation:
        """What is kept of a connection; empty where that is nothing."""
        kept = self._kept.get(socket.uid)
        if kept is None:
            return Conversation([], [])
        first = [_said(event, self._most) for event in kept.first]
        last = [_said(event, self._most) for event in kept.last]
        return Conversation(first, last, kept.sent, kept.received, kept.calls)

    def moved(self, socket: Socket, event: Transfer) -> None:
        """See `streams.books.Listener`; it hears of every transfer, so it calls nobody as long as there is room."""
        size, flags = event.size, event.flags
        if not size or (flags and b"MSG_PEEK" in flags):
            return
        kept = self._kept.get(socket.uid)
        if kept is None:
            if socket.kind != "socket" or socket.family not in _SHOWN_WITHIN:
                return
            kept = self._kept[socket.uid] = _Kept()
        most = self._most
        cost = (size if size < most else most) + _CALL
        self._held += cost
        if not kept.full and (kept.held + cost <= self._half or not kept.first):
            kept.first.append(event)
            kept.held += cost
        else:
            kept.full = True
            kept.last.append(event)
            kept.tail += cost
            if kept.tail > self._half:
                self._shorten(kept)
        if self._held > self._of_all:
            self._make_room()

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """The socket itself knows."""

    def forgotten(self, socket: Socket) -> None:
        """See `streams.books.Listener`."""
        kept = self._kept.pop(socket.uid, None)
        if kept is not None:
            self._held -= kept.held + kept.tail
            self.left_out += 1

    def _cost(self, event: Transfer) -> int:
        return min(event.size, self._most) + _CALL

    def _shorten(self, kept: _Kept) -> None:
        """The last calls, as many as fit into a half."""
        while kept.tail > self._half and len(kept.last) > 1:
            old = kept.last.popleft()
            cost = self._cost(old)
            kept.tail -= cost
            self._held -= cost
            _leave_out(kept, old)

    def _make_room(self) -> None:
        """Less of each; where that is little already, nothing of the oldest."""
        if self._half > _LEAST // 2:
            self._half //= 2
            self._most //= 2
            for kept in self._kept.values():
                self._cut(kept)
            return
        for kept in self._kept.values():
            if self._held <= self._of_all * 3 // 4:
                break
            self._held -= kept.held + kept.tail
            for event in (*kept.first, *kept.last):
                _leave_out(kept, event)
            kept.first, kept.last, kept.held, kept.tail, kept.full = [], deque(), 0, 0, True

    def _cut(self, kept: _Kept) -> None:
        """To the half that there is now; costs are counted anew."""
        self._held -= kept.held + kept.tail
        held, fitting = 0, 0
        for event in kept.first:
            held += self._cost(event)
            if held > self._half and fitting:
                break
            fitting += 1
        moved, kept.first = kept.first[fitting:], kept.first[:fitting]
        kept.last.extendleft(reversed(moved))
        kept.full = kept.full or bool(moved)
        kept.held = sum(self._cost(event) for event in kept.first)
        kept.tail = sum(self._cost(event) for event in kept.last)
        self._held += kept.held + kept.tail
        self._shorten(kept)


def _leave_out(kept: _Kept, event: Transfer) -> None:
    kept.calls += 1
    if type(event) is Sent:
        kept.sent += event.size
    else:
        kept.received += event.size


def _said(event: Transfer, most: int) -> Said:
    """The beginning of what a call moved."""
    record, known = event.record, bytearray()
    for piece, length in event.payload():
        known += piece[: min(length, event.size - len(known))]
        if len(piece) < length:  # what follows stands elsewhere in the stream
            break
    end = record.end_ns if record.end_ns is not None else record.time_ns
    kept = bytes(known[:most])
    sent = type(event) is Sent
    start = record.time_ns if sent else end
    missing = event.size - len(known)
    return Said(sent, start, end, record.lineno, kept, missing, len(known) - len(kept))
