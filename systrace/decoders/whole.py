"""Decoding that keeps more: all messages of one socket with whole bodies, or all requests of a trace."""

from __future__ import annotations

from collections import deque
from itertools import chain

from systrace.decoders.conversation import Conversation, Decoding
from systrace.decoders.keeping import order
from systrace.decoders.parts.tls_keys import KeyLog
from systrace.decoders.weight import LARGE, lighten, weigh
from systrace.messages.body import sample_size
from systrace.messages.dns import DnsMessage
from systrace.messages.http import HttpMessage
from systrace.messages.replies import Reply, Request
from systrace.model import Message, Socket, Transfer

_FIRST, _LAST = 10_000, 10_000  # messages
_REQUESTS = 200_000  # messages of a trace


class WholeDecoding(Decoding):
    """All messages of one socket: what `systrace follow` shows and saves.

    Args:
        limit: bytes that the bodies may cost together; beyond, the oldest are lightened.
        keylog: session keys of TLS connections.
    """

    def __init__(self, limit: int, keylog: KeyLog | None = None) -> None:
        super().__init__(keylog)
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


class RequestDecoding(Decoding):
    """Decoding that forgets no HTTP message, only bodies: what `systrace requests` lists.

    `others`: nor the requests and replies of other protocols, nor look-ups.
    """

    def __init__(self, keylog: KeyLog | None = None, others: bool = False) -> None:
        super().__init__(keylog)
        self._kinds = (HttpMessage, Request, Reply, DnsMessage) if others else (HttpMessage,)
        self._told: list[tuple[Socket, Message]] = []

    def finish(self) -> list[Message]:
        """See `Decoding.finish`; what its sockets could not keep is among the messages all the same."""
        kept = super().finish()
        known = {id(message) for message in kept}
        for socket, message in self._told:
            if id(message) not in known:
                socket.dropped_messages -= 1
                kept.append(message)
        kept.sort(key=order)
        return kept

    def _keep(self, conversation: Conversation, message: Message) -> None:
        super()._keep(conversation, message)
        if isinstance(message, self._kinds) and len(self._told) < _REQUESTS:
            self._told.append((conversation.socket, message))
