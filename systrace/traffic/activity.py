"""When each connection was busy: blocks of time with the bytes in each direction, bounded however much went over it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from systrace.model import Sent, Socket, Transfer

MOST = 256  # blocks of one connection; past that, those with the shortest pauses between them become one
_TOGETHER_NS = 1_000_000  # pieces of one message come closer than that
_WIDTH = 5


class Block(NamedTuple):
    """Time in which bytes went over a connection."""

    start_ns: int
    end_ns: int
    sent: int  # bytes
    received: int
    calls: int


class _Blocks:
    """Those of one connection, flat: five numbers each."""

    __slots__ = ("numbers", "pause_ns")

    def __init__(self) -> None:
        self.numbers = array("q")
        self.pause_ns = -1  # once there were too many: what is shorter parts no blocks, whatever the direction

    def add(self, start: int, end: int, sent: int, received: int) -> None:
        numbers = self.numbers
        if numbers:
            pause = start - numbers[-4]
            alike = (numbers[-3] == 0) == (sent == 0) and (numbers[-2] == 0) == (received == 0)
            if pause <= self.pause_ns or (alike and pause <= _TOGETHER_NS):
                numbers[-4] = max(numbers[-4], end)
                numbers[-3] += sent
                numbers[-2] += received
                numbers[-1] += 1
                return
        numbers.extend((start, end, sent, received, 1))
        if len(numbers) > MOST * _WIDTH:
            self._merge()

    def _merge(self) -> None:
        """Half of them, where the pauses are shortest: a long silence stays one."""
        before = list(self)
        pauses = sorted(later.start_ns - block.end_ns for block, later in pairwise(before))
        self.pause_ns = max(self.pause_ns, pauses[len(pauses) // 2])
        self.numbers = array("q")
        start, end, sent, received, calls = before[0]
        for block in before[1:]:
            if block.start_ns - end <= self.pause_ns:
                end = max(end, block.end_ns)
                sent, received, calls = sent + block.sent, received + block.received, calls + block.calls
            else:
                self.numbers.extend((start, end, sent, received, calls))
                start, end, sent, received, calls = block
        self.numbers.extend((start, end, sent, received, calls))

    def __iter__(self) -> Iterator[Block]:
        numbers = self.numbers
        return (Block(*numbers[at : at + _WIDTH]) for at in range(0, len(numbers), _WIDTH))


class Activity:
    """A listener that notes when bytes went over each connection."""

    def __init__(self) -> None:
        self._blocks: dict[str, _Blocks] = {}
        self.left_out = 0  # connections that ended well and are no longer kept

    def of(self, socket: Socket) -> list[Block]:
        """In order of time; none where the log has no clock."""
        return list(self._blocks.get(socket.uid, ()))

    def moved(self, socket: Socket, event: Transfer) -> None:
        """See `streams.books.Listener`."""
        record = event.record
        if record.time_ns is None or b"MSG_PEEK" in event.flags:
            return
        blocks = self._blocks.get(socket.uid)
        if blocks is None:
            blocks = self._blocks[socket.uid] = _Blocks()
        end = record.time_ns + (record.duration_ns or 0)
        if type(event) is Sent:
            blocks.add(record.time_ns, end, event.size, 0)
        else:  # a call that waits for data gets it at its end
            blocks.add(end, end, 0, event.size)

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """Nothing went over it."""

    def forgotten(self, socket: Socket) -> None:
        """See `streams.books.Listener`."""
        self.left_out += self._blocks.pop(socket.uid, None) is not None
