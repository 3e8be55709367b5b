"""Everything that went over the network, in order, in a file of its own that has no name: for packet captures.

Secrets are masked on the way in, as `systrace redact` masks them; what only later turns out to be one is masked by who
reads the tape. Nothing but the places of connections is held in memory.
"""

from __future__ import annotations

import struct
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, NamedTuple

from systrace.dataclass import dataclass
from systrace.masking.calls import CallMasks
from systrace.masking.masks import Masks
from systrace.model import Attempt, Endpoint, Fault, Sent, Socket, Transfer

_IN_MEMORY = 8 << 20  # bytes
_ROW = struct.Struct("<I?QQIIBIH")
_PIECE = struct.Struct("<IQ")
_NOWHERE = 0  # index of the address of calls that have none
_U16, _U32, _U64 = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


class Move(NamedTuple):
    """One call that moved bytes."""

    connection: int  # index into `Tape.connections`
    sent: bool
    start_ns: int  # of a log without a clock: the line's number, as microseconds
    end_ns: int
    tid: int
    line: int
    call: str
    pieces: list[tuple[bytes, int]]  # known bytes, true length; of datagrams one each
    peer: Endpoint | None = None  # the call's own, of datagrams


@dataclass(frozen=True, slots=True)
class Connection:
    """What a capture needs of a socket; the tape outlives those that are forgotten."""

    uid: str
    type: str
    role: str
    local: Endpoint | None
    peer: Endpoint | None
    pid: int | None
    attempts: tuple[Attempt, ...]
    faults: tuple[Fault, ...]
    opened_ns: int | None
    closed_ns: int | None
    inherited: bool
    protocol: str

    @staticmethod
    def of(socket: Socket) -> Connection:
        """As it is now."""
        return Connection(
            socket.uid,
            socket.type,
            socket.role,
            socket.local,
            socket.peer,
            socket.pid,
            tuple(socket.attempts),
            tuple(socket.faults),
            socket.opened_ns,
            socket.closed_ns,
            socket.inherited,
            socket.app_protocol or "",
        )


class Tape:
    """A listener that writes down what it hears."""

    def __init__(self, masks: Masks) -> None:
        import tempfile  # here: reports without a capture need it not

        self._calls = CallMasks(masks)
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._numbers: dict[str, int] = {}
        self._sockets: list[Socket | Connection] = []
        self._names: dict[str, int] = {}  # of calls
        self._peers: dict[Endpoint | None, int] = {None: _NOWHERE}  # a resolver asks several through one socket
        self.moves = 0

    @property
    def connections(self) -> list[Connection]:
        """Those over which something went, in order of their first bytes."""
        return [each if isinstance(each, Connection) else Connection.of(each) for each in self._sockets]

    def moved(self, socket: Socket, event: Transfer) -> None:
        """See `streams.books.Listener`."""
        if not socket.is_network or b"MSG_PEEK" in event.flags:
            return
        number = self._numbers.get(socket.uid)
        if number is None:
            number = self._numbers[socket.uid] = len(self._sockets)
            self._sockets.append(socket)
        record = event.record
        args = self._calls.args(record)
        pieces = event.pieces(record if args is record.args else replace(record, args=args))
        start = record.time_ns if record.time_ns is not None else record.lineno * 1000
        name = self._names.setdefault(record.syscall, len(self._names))
        address = event.address() if event.address is not None and socket.type != "stream" else None
        peer = self._peers.setdefault(address, len(self._peers))
        write = self._file.write
        start, end = _within(start, _U64), _within(start + (record.duration_ns or 0), _U64)
        tid, line = _within(record.tid, _U32), _within(record.lineno, _U32)
        pieces = pieces[:_U16]
        write(_ROW.pack(number, type(event) is Sent, start, end, tid, line, name & 0xFF, peer, len(pieces)))
        for known, length in pieces:
            write(_PIECE.pack(len(known), _within(length, _U64)))
            write(known)
        self.moves += 1

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """The socket itself knows."""

    def forgotten(self, socket: Socket) -> None:
        """See `streams.books.Listener`."""
        number = self._numbers.pop(socket.uid, None)
        if number is not None:
            self._sockets[number] = Connection.of(socket)

    def play(self) -> Iterator[Move]:
        """All moves in order of their ends."""
        names, peers = list(self._names), list(self._peers)
        self._file.seek(0)
        read = self._file.read
        while row := read(_ROW.size):
            number, sent, start, end, tid, line, name, peer, count = _ROW.unpack(row)
            pieces = []
            for _ in range(count):
                size, length = _PIECE.unpack(read(_PIECE.size))
                pieces.append((read(size), length))
            yield Move(number, sent, start, end, tid, line, names[name], pieces, peers[peer])
        self._file.seek(0, 2)


def _within(number: int, most: int) -> int:
    """What a damaged log says may be beyond anything that exists."""
    return min(max(number, 0), most)
