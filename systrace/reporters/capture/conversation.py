"""Moves and connections become packets: sequence numbers across holes, beginnings and ends from what the calls returned."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from systrace.calls.errnos import UNREACHABLE
from systrace.dataclass import dataclass
from systrace.model import Attempt, Endpoint
from systrace.reporters.capture.packets import ACK, FIN, MOST, PSH, RST, SYN, Address, Packet, tcp, udp, unreachable
from systrace.traffic.tape import Connection, Move

_FIRST_PORT = 1024  # made up where the log does not show the local one
_WITHOUT_GAP = 16 * MOST  # unknown bytes: more than a call mostly moves
_NET, _HOST = 0, 1  # codes of ICMP
_PORT = 3


class Stamped(NamedTuple):
    """A packet of the capture."""

    time_ns: int
    packet: Packet
    comment: str


@dataclass(slots=True)
class _Ends:
    """The state of one connection."""

    connection: Connection
    ours: Address
    theirs: Address
    seq: int = 1  # of our next byte; 0 was the SYN
    ack: int = 1  # of their next
    open: bool = False
    over: bool = False
    ours_made_up: bool = False

    @property
    def note(self) -> str:
        """What of its addresses is not in the log."""
        return "; the local address is not in the log: made up" if self.ours_made_up else ""


class _Moment(NamedTuple):
    """Something that is no move: at the same time, these come first."""

    time_ns: int
    rank: int
    number: int
    kind: str
    attempt: Attempt | None = None
    line: int = 0


Shown = Callable[[Connection, bool, bytes, bool], bytes]
"""(connection, sent, bytes, whether nothing of them is cut) -> what may be shown: all of them, or the first."""
_Due = tuple[int, int, _Moment | Move]


class Capture:
    """The packets of a recording.

    Args:
        connections: those of the tape, by their numbers there, then those over which nothing went.
        moves: the tape, in order of time.
        commands: names of processes.
        masked: see `Shown`.
    """

    def __init__(
        self,
        connections: list[Connection],
        moves: Iterable[Move],
        commands: dict[int, str],
        masked: Shown,
    ) -> None:
        self._moves = moves
        self._masked = masked
        self._commands = commands
        self._ends: dict[int, _Ends] = {}
        self.left_out = 0  # connections whose other end is in the capture, or whose addresses nobody knows
        self._port = _FIRST_PORT
        seen: set[tuple[Address, Address]] = set()
        for number, connection in enumerate(connections):
            ends = self._ends_of(connection)
            if ends is None or (connection.role == "server" and (ends.theirs, ends.ours) in seen):
                self.left_out += 1
                continue
            self._ends[number] = ends
            if connection.role != "server":
                seen.add((ends.ours, ends.theirs))

    def _ends_of(self, connection: Connection) -> _Ends | None:
        theirs = _address(connection.peer)
        if theirs is None and connection.attempts:
            theirs = _address(connection.attempts[-1].peer)
        if theirs is None:
            return None
        ours = _address(connection.local)
        made_up = ours is None or not ours.port or len(ours.packed) != len(theirs.packed)
        if made_up:
            known = ours is not None and len(ours.packed) == len(theirs.packed)
            ours = Address(ours.packed if ours is not None and known else b"\0" * len(theirs.packed), self._next_port())
        assert ours is not None
        return _Ends(connection, ours, theirs, open=connection.inherited, ours_made_up=made_up)

    def _next_port(self) -> int:
        self._port = self._port + 1 if self._port < 65_535 else _FIRST_PORT
        return self._port

    def packets(self) -> Iterator[Stamped]:
        """All of them, in order of time."""
        moments = sorted(
            (moment for number, ends in self._ends.items() for moment in _moments(number, ends.connection)),
            key=lambda moment: moment[:3],
        )
        marked: Iterator[_Due] = ((moment.time_ns, moment.rank, moment) for moment in moments)
        moved: Iterator[_Due] = ((move.end_ns, 1, move) for move in self._moves)
        for time_ns, _rank, what in heapq.merge(marked, moved, key=lambda each: each[:2]):
            if isinstance(what, Move):
                ends = self._ends.get(what.connection)
                if ends is not None:
                    yield from self._move(ends, what)
            else:
                yield from _moment(self._ends[what.number], what, time_ns)

    def _move(self, ends: _Ends, move: Move) -> Iterator[Stamped]:
        if ends.connection.type != "stream":
            ours, theirs = _pair(ends, move.peer)
            for data, size in self._pieces(ends, move):
                pair, length = (ours, theirs) if move.sent else (theirs, ours), min(size, MOST)
                yield Stamped(move.end_ns, udp(*pair, data[:length], length), self._comment(move, ends))
            return
        if not ends.open:  # bytes went over it, so it stood
            yield from (
                _accepted(ends, move.end_ns, "") if ends.connection.role == "server" else _made(ends, move.end_ns)
            )
        for data, size in self._pieces(ends, move):
            comment = self._comment(move, ends)
            for known, length, carried in _segments(data, size):
                yield Stamped(move.end_ns, _segment(ends, move.sent, ACK | PSH, known, length, carried), comment)
                comment = ""

    def _pieces(self, ends: _Ends, move: Move) -> Iterator[tuple[bytes, int]]:
        return ((self._masked(ends.connection, move.sent, data, size == len(data)), size) for data, size in move.pieces)

    def _comment(self, move: Move, ends: _Ends) -> str:
        command = self._commands.get(ends.connection.pid or -1, "")
        took = move.end_ns - move.start_ns
        slow = f", a call of {took / 1e9:.3f} s" if took >= 1_000_000_000 else ""
        return f"{command}[{move.tid}] {move.call}, line {move.line}, {ends.connection.uid}{slow}{ends.note}"


def _address(endpoint: Endpoint | None) -> Address | None:
    try:
        found = Address.of(endpoint.host, endpoint.port) if endpoint is not None and endpoint.port is not None else None
    except ValueError:
        return None
    return found.v4() if found is not None and found.v4_in_6 else found


def _pair(ends: _Ends, peer: Endpoint | None) -> tuple[Address, Address]:
    """Our end and the one that an attempt or a datagram was for: a socket may have had several."""
    theirs = _address(peer) or ends.theirs
    if len(theirs.packed) == len(ends.ours.packed):
        return ends.ours, theirs
    return Address(b"\0" * len(theirs.packed), ends.ours.port), theirs


def _segments(data: bytes, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Known bytes, how far the sequence goes on, and what the packet carries.

    Long unknown parts are one packet and a gap: a damaged log tells of sizes that would fill any disk with packets.
    """
    at, known = 0, min(len(data), size)
    until = size if size - known <= _WITHOUT_GAP else known
    while at < until:
        length = min(MOST, size - at)
        yield data[at : at + length], length, length
        at += length
    if at < size:
        yield b"", size - at, min(MOST, size - at)


def _moments(number: int, connection: Connection) -> Iterator[_Moment]:
    """Beginnings and ends, with the times at which the calls told of them."""
    stream = connection.type == "stream"
    for attempt in connection.attempts:
        if attempt.start_ns is not None:
            yield _Moment(attempt.start_ns, 0, number, "syn", attempt, _line(attempt))
            if attempt.end_ns is not None:
                yield _Moment(max(attempt.end_ns, attempt.start_ns), 0, number, "settled", attempt, _line(attempt))
    if stream and connection.role == "server" and connection.opened_ns is not None and not connection.inherited:
        yield _Moment(connection.opened_ns, 0, number, "accepted")
    for fault in connection.faults:
        record = fault.event.record
        if record.time_ns is not None:
            kind = "eof" if fault.kind == "eof" else fault.errno or ""
            yield _Moment(record.time_ns + (record.duration_ns or 0), 2, number, kind, None, record.lineno)
    if stream and connection.closed_ns is not None:
        yield _Moment(connection.closed_ns, 3, number, "closed")


def _line(attempt: Attempt) -> int:
    return attempt.events[0].record.lineno if attempt.events else 0


def _moment(ends: _Ends, moment: _Moment, ns: int) -> Iterator[Stamped]:
    told = f"line {moment.line}, {ends.connection.uid}" if moment.line else ends.connection.uid
    if ends.connection.type != "stream":
        if moment.attempt is not None:
            ends.ours, ends.theirs = _pair(ends, moment.attempt.peer)
        elif moment.kind == "ECONNREFUSED":  # an ICMP error came for an earlier datagram
            sent = udp(ends.ours, ends.theirs, b"", 0)
            yield Stamped(ns, unreachable(ends.theirs, ends.ours, _PORT, sent), f"ECONNREFUSED, {told}")
        return
    if moment.attempt is not None and not ends.open:
        ends.ours, ends.theirs = _pair(ends, moment.attempt.peer)
    if moment.kind == "syn":
        if not ends.open:
            yield Stamped(ns, tcp(ends.ours, ends.theirs, 0, 0, SYN), f"connect, {told}{ends.note}")
    elif moment.kind == "settled" and moment.attempt is not None:
        yield from _settled(ends, moment.attempt, ns, told)
    elif moment.kind == "accepted":
        if not ends.open:
            yield from _accepted(ends, ns, f"accept, {told}")
    elif ends.open and not ends.over:
        yield from _ended(ends, moment.kind, ns, told)


def _settled(ends: _Ends, attempt: Attempt, ns: int, told: str) -> Iterator[Stamped]:
    if attempt.outcome == "connected":
        if not ends.open:
            yield from _answered(ends, ns)
    elif attempt.errno == "ECONNREFUSED":
        yield Stamped(ns, tcp(ends.theirs, ends.ours, 0, 1, RST | ACK), f"ECONNREFUSED, {told}")
    elif attempt.errno in UNREACHABLE and ns > (attempt.start_ns or 0) + 1_000_000:  # at once: this host's own routes
        sent = tcp(ends.ours, ends.theirs, 0, 0, SYN)
        yield Stamped(
            ns,
            unreachable(ends.ours, ends.ours, _NET if attempt.errno == "ENETUNREACH" else _HOST, sent),
            f"{attempt.errno}, {told}",
        )


def _accepted(ends: _Ends, ns: int, comment: str) -> Iterator[Stamped]:
    yield Stamped(ns, tcp(ends.theirs, ends.ours, 0, 0, SYN), comment)
    yield Stamped(ns, tcp(ends.ours, ends.theirs, 0, 1, SYN | ACK), "")
    yield Stamped(ns, tcp(ends.theirs, ends.ours, 1, 1, ACK), "")
    ends.open = True


def _made(ends: _Ends, ns: int) -> Iterator[Stamped]:
    yield Stamped(ns, tcp(ends.ours, ends.theirs, 0, 0, SYN), "")
    yield from _answered(ends, ns)


def _answered(ends: _Ends, ns: int) -> Iterator[Stamped]:
    yield Stamped(ns, tcp(ends.theirs, ends.ours, 0, 1, SYN | ACK), "")
    yield Stamped(ns, tcp(ends.ours, ends.theirs, 1, 1, ACK), "")
    ends.open = True


def _ended(ends: _Ends, kind: str, ns: int, told: str) -> Iterator[Stamped]:
    if kind == "eof":
        yield Stamped(ns, _segment(ends, False, FIN | ACK, b"", 1, 0), f"end of file, {told}")
    elif kind in ("ECONNRESET", "EPIPE"):
        ends.over = True
        yield Stamped(ns, _segment(ends, False, RST | ACK, b"", 0, 0), f"{kind}, {told}")
    elif kind == "closed":
        ends.over = True
        yield Stamped(ns, _segment(ends, True, FIN | ACK, b"", 1, 0), f"closed, {told}")


def _segment(ends: _Ends, sent: bool, flags: int, data: bytes, size: int, carried: int) -> Packet:
    """A segment of either side; the sequence moves on by `size`, of which FIN is one that carries nothing."""
    if sent:
        packet = tcp(ends.ours, ends.theirs, ends.seq, ends.ack, flags, data, carried)
        ends.seq += size
    else:
        packet = tcp(ends.theirs, ends.ours, ends.ack, ends.seq, flags, data, carried)
        ends.ack += size
    return packet
