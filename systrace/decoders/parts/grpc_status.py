"""gRPC over HTTP/2: the status in the trailers, and the length-prefixed messages in the bodies."""

from __future__ import annotations

from urllib.parse import unquote

from systrace.messages.grpc import GrpcStatus
from systrace.messages.http import HttpResponse
from systrace.messages.problem import printable

CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)


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
