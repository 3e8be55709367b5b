"""All messages of one socket, with their bodies whole: what `systrace follow` shows and saves."""

from __future__ import annotations

from collections import deque
from itertools import chain

from systrace.decoders.bodies.body import sample_size
from systrace.decoders.conversation import Conversation, Decoding
from systrace.decoders.weight import LARGE, lighten, weigh
from systrace.model import Message, Socket, Transfer

_FIRST, _LAST = 10_000, 10_000  # messages


class WholeDecoding(Decoding):
    """Decoding of one socket that keeps everything.

    Args:
        limit: bytes that the bodies may cost together; beyond, the oldest are lightened.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._first: list[Message] = []
        self._last: deque[Message] = deque(maxlen=_LAST)
        self._heavy: deque[tuple[Message, int]] = deque()
        self._weight = 0

    def moved(self, socket: Socket, event: Transfer) -> None:
        """See `Listener.moved`."""
        with sample_size(self._limit):
            super().moved(socket, event)

    def finish(self) -> list[Message]:
        """The log ends: messages under way come out incomplete. All messages in order of their completion."""
        super().finish()
        return list(chain(self._first, self._last))

    def _keep(self, conversation: Conversation, message: Message) -> None:
        (self._first if len(self._first) < _FIRST else self._last).append(message)
        weight = weigh(message)
        if weight <= LARGE:
            return
        self._heavy.append((message, weight))
        self._weight += weight
        while self._weight > self._limit and len(self._heavy) > 1:
            old, weight = self._heavy.popleft()
            self._weight -= weight
            lighten(old, LARGE)
