"""One row an HTTP request with its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from systrace.fleet.tables import NUMBER, TEXT, WHOLE, YES_NO, Shapes, table
from systrace.model import Analysis

COLUMNS = (
    ("socket", TEXT, "sockets.id in the same recording"),
    ("role", TEXT, "client, server: what the traced process is"),
    ("pid", WHOLE, "the process"),
    ("command", TEXT, "the process's command"),
    ("method", TEXT, "NULL: encrypted, or not in the log"),
    ("url", TEXT, "secrets in it are hidden"),
    ("status", WHOLE, "of the answer"),
    ("reason", TEXT, "of the answer"),
    ("time_s", NUMBER, "when it began, seconds since the recording's start_s"),
    ("dns_s", NUMBER, "look-up of the host, before the first request of a connection, seconds"),
    ("connect_s", NUMBER, "of the connection, at its first request, seconds"),
    ("tls_s", NUMBER, "ClientHello until ServerHello, seconds"),
    ("first_byte_s", NUMBER, "request until the answer's first byte, seconds"),
    ("transfer_s", NUMBER, "the answer's first byte until its last, seconds"),
    ("total_s", NUMBER, "the request's first byte until the answer's last, seconds"),
    ("reused", YES_NO, "an earlier request went over this connection"),
    ("request_bytes", WHOLE, "bytes of the body as transferred"),
    ("response_bytes", WHOLE, "bytes of the body as transferred"),
    ("content_type", TEXT, "of the answer"),
    ("complete", YES_NO, "the answer is proven to be whole"),
    ("error", TEXT, "why there is no whole answer"),
    ("file", TEXT, "of the log"),
    ("line", WHOLE, "where the request, else its answer, begins"),
    ("server", TEXT, "what the server's own log says of it"),
)


@table("exchanges", COLUMNS)
def rows(shapes: Shapes, _analysis: Analysis) -> Iterator[Mapping[str, Any]]:
    """An HTTP request and its answer; requests within TLS count as one for a connection."""
    yield from shapes["transactions"]
