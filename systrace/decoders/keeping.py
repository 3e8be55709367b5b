"""Which messages of a trace are kept: of each conversation the first, the last and the notable ones, within a budget."""

from __future__ import annotations

from collections import deque

from systrace.decoders.weight import LARGE, discard, lighten, weigh
from systrace.model import Message, Socket

FIRST, NOTABLE, LAST = 8, 16, 24  # messages kept a socket: the first, the notable in between, the last
FEW = (1, 2, 3)  # the same once MANY messages are kept in all
MANY = 3_000
BUDGET = 64 << 20  # bytes that all large messages may cost; beyond, the oldest of them are lightened


class Shelf:
    """The kept messages of one conversation."""

    __slots__ = ("between", "messages", "socket")

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.messages: list[Message] | None = None  # the socket's; None until it has one
        self.between = 0  # notable ones behind the first


class Store:
    """The kept messages of all sockets."""

    def __init__(self) -> None:
        self._sockets: dict[str, Socket] = {}  # those with messages
        self._kept = 0
        self._cost = 0  # bytes of the large ones
        self._large: deque[Message] = deque()

    def add(self, shelf: Shelf, message: Message) -> None:
        """Keep a message, and drop an older one when the socket or the trace has too many."""
        messages = shelf.messages
        if messages is None:
            self._sockets[shelf.socket.uid] = shelf.socket
            messages = shelf.messages = shelf.socket.messages = []
        messages.append(message)
        self._kept += 1
        weight = weigh(message)
        if weight > LARGE:
            self._afford(message, weight)
        first, notable, last = (FIRST, NOTABLE, LAST) if self._kept < MANY else FEW
        while len(messages) > first + shelf.between + last:
            at = first + shelf.between
            if shelf.between < notable and messages[at].notable:
                shelf.between += 1
                continue
            dropped = messages.pop(at)
            shelf.socket.dropped_messages += 1
            self._kept -= 1
            if self._large and (weight := weigh(dropped)) > LARGE:
                self._cost -= weight
                discard(dropped)

    def _afford(self, message: Message, weight: int) -> None:
        """A message that costs much memory: when all of them cost too much, the oldest are lightened."""
        self._cost += weight
        self._large.append(message)
        while weigh(self._large[0]) <= LARGE:  # dropped since
            self._large.popleft()
        while self._cost > BUDGET:
            old = self._large.popleft()
            self._cost -= weigh(old)
            lighten(old, LARGE)

    def forget(self, socket: Socket) -> None:
        """Nobody will ask for this socket any more."""
        if self._sockets.pop(socket.uid, None) is not None:
            self._kept -= len(socket.messages)

    def in_order(self) -> list[Message]:
        """All of them, in order of their start."""
        messages = [message for socket in self._sockets.values() for message in socket.messages]
        messages.sort(key=order)
        return messages


def order(message: Message) -> tuple[int, int]:
    """By start, then by line."""
    record = message.events[0].record if message.events else None
    start = message.start_ns if message.start_ns is not None else 0
    return start, record.lineno if record is not None else 0
