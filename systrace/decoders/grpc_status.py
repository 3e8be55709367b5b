"""gRPC over HTTP/2: the status in the trailers, and the length-prefixed messages in the bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from systrace.decoders.bodies.body import Body
from systrace.decoders.bodies.problem import printable
from systrace.decoders.http_messages import HttpResponse
from systrace.model import Message

CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)


@dataclass(slots=True)
class GrpcStatus(Message):
    """How a call ended, as its server (or a proxy) said."""

    code: int = 0
    name: str = "OK"
    text: str = ""  # grpc-message, printable
    method: str = ""  # "/package.Service/Method", "" when the request is not known
    stream_id: int = 0

    @property
    def notable(self) -> bool:
        """Failed: kept in preference to others."""
        return self.code != 0


class GrpcFrame(NamedTuple):
    """One message of a stream."""

    compressed: bool
    declared: int
    received: int  # less than declared: the stream ended within it


def grpc_status(response: HttpResponse) -> GrpcStatus | None:
    """The status of a finished call; None when the response is no gRPC or its trailers are not known."""
    fields = [*response.headers, *(response.trailers or [])]
    code = next((value for name, value in reversed(fields) if name == "grpc-status"), "")
    if not code.isdigit() or len(code) > 5:
        return None
    number = int(code)
    raw = next((value for name, value in reversed(fields) if name == "grpc-message"), "")
    name = CODES[number] if number < len(CODES) else f"code {number}"
    text = printable(unquote(raw).encode("utf-8", "replace"))
    method = response.request.target if response.request is not None else ""
    return GrpcStatus(
        *("grpc", response.socket, response.direction, response.end_ns, response.end_ns),
        summary=f"{method} {name} {text}".strip(),
        complete=True,
        events=response.events[-1:],
        code=number,
        name=name,
        text=text,
        method=method,
        stream_id=response.stream_id,
    )


def grpc_frames(body: Body) -> list[GrpcFrame]:
    """The messages in a body, as far as its bytes are known: flag, four bytes of length, content."""
    data = body.raw()
    frames: list[GrpcFrame] = []
    at = 0
    while at + 5 <= len(data) and len(frames) < 10_000:
        declared = int.from_bytes(data[at + 1 : at + 5], "big")
        at += 5
        frames.append(GrpcFrame(bool(data[at - 5] & 1), declared, min(declared, body.received - at)))
        at += declared
    return frames
