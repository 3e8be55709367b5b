"""HTTP messages as reporters see them: the shape of what the decoders made, without knowing the decoders."""

from __future__ import annotations

from typing import Protocol, cast

from systrace.model import Event, Message

_PROTOCOLS = ("http", "http2")


class DecodedView(Protocol):
    """Content with its codings undone."""

    data: bytes
    problem: object | None
    limited: bool
    undone: tuple[str, ...]


class BodyView(Protocol):
    """A body as transferred, chunk framing taken off."""

    received: int
    lost_at: int | None
    size: str
    parts: list[tuple[bytes, int]]
    placed: list[tuple[bytes, int]]
    encodings: tuple[str, ...]
    whole: bool

    def decoded(self) -> DecodedView:
        """Content codings undone."""


class HttpView(Protocol):
    """What requests and responses share."""

    protocol: str
    socket: str
    direction: str
    start_ns: int | None
    end_ns: int | None
    summary: str
    complete: bool
    events: list[Event]
    version: str
    head: bytes
    head_cut: bool
    body: BodyView | None
    framing: str
    received_length: int
    incomplete_reason: str
    detail: str
    content_type: str
    charset: str | None

    def header(self, name: str, default: str | None = None) -> str | None:
        """The first value of a field."""


class RequestView(HttpView, Protocol):
    """A request."""

    method: str
    target: str
    host: str
    path: str
    url: str
    answered: bool


class ResponseView(HttpView, Protocol):
    """A response."""

    status: int
    reason: str
    request: RequestView | None
    interim: bool


def as_request(message: Message) -> RequestView | None:
    """The message, if it is an HTTP request."""
    if message.protocol in _PROTOCOLS and hasattr(message, "method") and hasattr(message, "target"):
        return cast(RequestView, message)
    return None


def as_response(message: Message) -> ResponseView | None:
    """The message, if it is an HTTP response."""
    if message.protocol in _PROTOCOLS and hasattr(message, "status") and hasattr(message, "interim"):
        return cast(ResponseView, message)
    return None
