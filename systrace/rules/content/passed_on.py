"""Answers that the log shows only where a program passed them on: TLS hides them on the socket, or the options their reads.

`curl https://… | jq`: what curl wrote to the pipe (or to a file) is the body of what it received.
"""

from __future__ import annotations

from collections.abc import Iterator

from systrace.messages.body import Body
from systrace.messages.codings import decode_content
from systrace.messages.http import HttpResponse
from systrace.messages.tls import TlsRecords
from systrace.model import MOST_OUTPUT, Output, Process, Sent, Socket
from systrace.rules.case.index import Case, once

_GZIP = b"\x1f\x8b"
_TELLING = 16  # bytes that are not the same by chance
OVERHEAD = 16 << 10  # bytes that heads, certificates and tickets may add to a body within TLS
HIDDEN_BY_TLS, HIDDEN_BY_OPTIONS = "TLS hides it on the socket", "the log does not show its reads"


@once
def _by_process(case: Case) -> dict[int, list[Socket]]:
    """The network sockets of each process that used them last, resolvers' left out."""
    found: dict[int, list[Socket]] = {}
    for socket in case.clients:
        process = case.process(socket) if socket.is_network and not case.is_dns(socket) else None
        if process is not None:
            found.setdefault(process.pid, []).append(socket)
    return found


def passed_on(case: Case, process: Process) -> Iterator[tuple[Socket, HttpResponse, str]]:
    """(socket, what was passed on in the place of an answer, why that is not known) of a process with one hidden peer.

    A process that received from several peers is left out: nobody can tell whose bytes it passed on.
    """
    sockets = _by_process(case).get(process.pid, [])
    hidden = [(socket, why) for socket in sockets if (why := _hidden(case, socket))]
    if len({str(socket.peer) for socket in sockets}) != 1 or not hidden:
        return
    socket, why = hidden[-1]
    outputs = _outputs(process)
    body = Body(b"\ncontent-type: ")
    for output in outputs:
        known = output.data[: output.event.size]
        body.add(known, output.event.size - len(known))
    if not outputs or (why == HIDDEN_BY_TLS and not 0 <= _sealed_bytes(sockets) - body.received <= OVERHEAD):
        return  # made of what came, not a copy of it
    first, last = outputs[0].event, outputs[-1].event
    body.complete = True
    response = HttpResponse(
        "http", socket.uid, "received", first.record.time_ns, last.record.end_ns, "passed on", True, [first, last]
    )
    response.body, response.received_length, response.framing = body, body.received, "unknown"
    yield socket, response, why


def unpacked(case: Case, body: Body) -> bool:
    """Whether somebody in the job wrote what is packed in this body (`curl | gunzip | jq`): then it was not taken for text."""
    codings = body.encodings or (("gzip",) if body.raw().startswith(_GZIP) else ())
    content = decode_content(body.raw(), codings, whole=body.whole).data if codings else b""
    if not content or content == body.raw():
        return False
    written = (output for process in case.evidence.processes.values() for output in process.output)
    return any(
        data == content or (len(data) >= _TELLING and data in content)
        for data in (output.data[: output.event.size] for output in written)
    )


def _hidden(case: Case, socket: Socket) -> str:
    """Why the contents of what this socket received are not known; "" where they are, or where nothing came."""
    for message in socket.messages:
        if isinstance(message, TlsRecords) and message.direction == "received":
            return HIDDEN_BY_TLS if message.sealed and message.application_bytes else ""
    connected = case.connected(socket) and not socket.faults
    return HIDDEN_BY_OPTIONS if connected and not socket.received.calls and not case.sees_read else ""


def _sealed_bytes(sockets: list[Socket]) -> int:
    """Bytes of application data that came within TLS."""
    return sum(
        message.application_bytes
        for socket in sockets
        for message in socket.messages
        if isinstance(message, TlsRecords) and message.direction == "received"
    )


def _outputs(process: Process) -> list[Output]:
    """All that it wrote to the one of its outputs that got most; nothing where the first of its writes are forgotten."""
    if len(process.output) == MOST_OUTPUT:
        return []
    groups: dict[tuple[int, str], list[Output]] = {}
    for output in process.output:
        if output.fd != 2 and isinstance(output.event, Sent) and output.path not in ("stderr", "/dev/tty"):
            groups.setdefault((output.fd, output.path), []).append(output)
    return max(groups.values(), key=lambda group: sum(output.event.size for output in group), default=[])
