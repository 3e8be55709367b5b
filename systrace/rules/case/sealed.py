"""Conversations within TLS, of which only records are seen: whether a request is open, and what was only a farewell."""

from __future__ import annotations

from systrace.messages.tls import TlsExchange, TlsRecords
from systrace.model import Received, Sent, Socket, Span
from systrace.rules.case.farewells import is_farewell

_NONE = TlsExchange()


def exchange_of(socket: Socket) -> TlsExchange:
    """The last request within TLS and what came since, as far as records tell; an empty one where there is none."""
    records = (m.exchange for m in reversed(socket.messages) if isinstance(m, TlsRecords))
    return next((exchange for exchange in records if exchange is not None), _NONE)


def is_sealed(socket: Socket) -> bool:
    """TLS from the first byte, and nobody has the keys: what came may be an answer, a part of one, or none."""
    opened = any(isinstance(m, TlsRecords) and m.opened for m in socket.messages)
    return socket.app_protocol == "tls" and not opened and all(m.protocol == "tls" for m in socket.messages)


def parted_after(socket: Socket) -> Span | None:
    """The last wait within TLS, where its limit ran out and all that followed was our close_notify (RFC 8446 6.1): that is no
    request, and no sign that anything had come.
    """
    span = socket.waits[-1] if socket.waits else None
    if span is None or not span.timed_out or span.ended_by != "data" or not exchange_of(socket).asked:
        return None
    since = span.events[-1].record.lineno
    moved = [e for e in socket.timeline if isinstance(e, Sent | Received) and e.size and e.record.lineno > since]
    return span if moved and all(isinstance(e, Sent) and is_farewell(e) for e in moved) else None
