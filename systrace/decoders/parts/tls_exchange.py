"""What can be told of requests and answers within TLS without its keys: records have their type and size in clear.

What a client sends after its Finished is a request, but for alerts. A server of TLS 1.3 sends session tickets then, unasked
(RFC 8446 4.6.1), in records that look like those of an answer. They come at once and together, and two are of one size, as
they differ in nothing but their secrets.
"""

from __future__ import annotations

from systrace.decoders import returned_ns
from systrace.messages.tls import TlsExchange
from systrace.model import Transfer

ALERT, HANDSHAKE, APPLICATION = 21, 22, 23
# Sizes of sealed records in TLS 1.3: its type takes a byte, the authentication tag 16 (RFC 8446 5.2).
_FINISHED = frozenset((53, 69))  # a header of 4, the hash: SHA-256 or SHA-384
_NO_CERTIFICATE = 25  # an empty list of them: whoever has none to show must say so (RFC 8446 4.4.2)
_LEAST = 20  # an alert has two bytes, and is smaller (RFC 8446 6)
_TICKETS = range(48, 4096)  # life, age, nonce, the ticket: an identifier at least, or the session itself, sealed
_FLIGHT_NS = 1_000_000_000  # from the last word of the client, or from the ticket before; later something else comes


class Exchange:
    """The last request of one connection, and what came since; `told` goes into both sides' messages."""

    __slots__ = ("_at_ns", "_bare", "_finished", "_first", "_over", "_size", "_tickets", "hello", "old", "told")

    def __init__(self) -> None:
        self.told = TlsExchange()
        self.hello = False  # the handshake is in the log
        self.old = False  # before TLS 1.3
        self._finished = False  # the client's part of the handshake is over
        self._bare = False  # ... in which it had no certificate to show
        self._over = False  # the server has said so: no answer is due any more
        self._first = True  # what comes may be tickets
        self._tickets = 0  # records that may be some
        self._size = 0  # of each of them
        self._at_ns: int | None = None

    def record(self, from_client: bool, kind: int, length: int, event: Transfer | None) -> None:
        """A sealed record."""
        if not self.hello:
            return
        is_alert = kind == ALERT or (kind == APPLICATION and not self.old and length < _LEAST)
        if from_client and not self._finished:
            self._ends_handshake(kind, length, event)
        elif is_alert and not from_client:
            self.told.refused |= self._bare and self._finished and self._first and not self._tickets
            self._over = True  # not silence, whatever it says
            self._answered()
        elif kind == APPLICATION and not is_alert:
            if from_client:
                self._asked(length, event)
            elif self._finished:
                self._came(length, event)

    def hole(self) -> None:
        """The log hides records of one side: an answer may have been among them."""
        if self._finished:
            self._answered()

    def _answered(self) -> None:
        self._first, self.told.answered, self.told.doubtful = False, True, False

    def _ends_handshake(self, kind: int, length: int, event: Transfer | None) -> None:
        if kind == HANDSHAKE or self.old:
            self._finished = self.old = True  # the type is in clear (RFC 5246 6.2.3)
            if kind == APPLICATION:
                self._asked(length, event)
        elif length in _FINISHED:
            self._finished = True
        else:
            self._bare |= length == _NO_CERTIFICATE
        self._at_ns = returned_ns(event) if event is not None else None

    def _asked(self, length: int, event: Transfer | None) -> None:
        told = self.told
        if self._over:
            return
        if told.answered or told.tickets:  # whoever goes on has heard what came
            self._first = self._first and not told.asked
            told.asked, told.tickets, told.request = 0, 0, event
            told.answered = told.doubtful = False
        told.asked += length
        self._at_ns = returned_ns(event) if event is not None else None

    def _came(self, length: int, event: Transfer | None) -> None:
        now = returned_ns(event) if event is not None else None
        late = now is not None and self._at_ns is not None and now - self._at_ns > _FLIGHT_NS
        alike = length in _TICKETS and self._size in (0, length)
        if self.old or late or not self._first or not alike:
            self._answered()
            return
        self._tickets, self._size, self._at_ns = self._tickets + 1, length, now
        if self.told.asked:
            self.told.tickets += 1
            self.told.doubtful = self._tickets == 1  # one by itself may be an answer, too
