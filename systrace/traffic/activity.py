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
    """Those of one connection, flat: five numbers each; the last one is still open, and by itself."""

    __slots__ = ("calls", "end", "numbers", "pause_ns", "received", "sent", "start")

    def __init__(self, start: int, end: int, sent: int, received: int) -> None:
        self.start, self.end, self.sent, self.received, self.calls = start, end, sent, received, 1
        self.numbers = array("q")
        self.pause_ns = -1  # once there were too many: what is shorter parts no blocks, whatever the direction

    def add(self, start: int, end: int, sent: int, received: int) -> None:
        pause = start - self.end
        if pause <= self.pause_ns or (
            pause <= _TOGETHER_NS and (self.sent == 0) is (sent == 0) and (self.received == 0) is (received == 0)
        ):
            if end > self.end:
                self.end = end
            self.sent += sent
            self.received += received
            self.calls += 1
            return
        self.numbers.extend((self.start, self.end, self.sent, self.received, self.calls))
        self.start, self.end, self.sent, self.received, self.calls = start, end, sent, received, 1
        if len(self.numbers) >= MOST * _WIDTH:
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
        self.start, self.end, self.sent, self.received, self.calls = start, end, sent, received, calls

    def __iter__(self) -> Iterator[Block]:
        numbers = self.numbers
        for at in range(0, len(numbers), _WIDTH):
            yield Block(*numbers[at : at + _WIDTH])
        yield Block(self.start, self.end, self.sent, self.received, self.calls)


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
        record, flags = event.record, event.flags
        start = record.time_ns
        if start is None or (flags and b"MSG_PEEK" in flags):
            return
        end = start + (record.duration_ns or 0)
        if type(event) is Sent:
            sent, received = event.size, 0
        else:
            sent, received = 0, event.size
            start = end  # a call that waits for data gets it at its end
        blocks = self._blocks.get(socket.uid)
        if blocks is None:
            self._blocks[socket.uid] = _Blocks(start, end, sent, received)
        else:
            blocks.add(start, end, sent, received)

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """Nothing went over it."""

    def forgotten(self, socket: Socket) -> None:
        """See `streams.books.Listener`."""
        self.left_out += self._blocks.pop(socket.uid, None) is not None
