"""Steps over connections: HTTP requests, TLS handshakes, statements and commands, each with its answer."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from systrace.compare.nouns import REQUEST, Key, Place, Step
from systrace.compare.shapes import host_shape, statement_shape, url_shape
from systrace.compare.steps import Known, port_shape
from systrace.messages.grpc import GrpcStatus
from systrace.messages.replies import Greeting, Reply, Request, ServerError
from systrace.messages.tls import NotTls, TlsAlert, TlsHello
from systrace.messages.transactions import Transaction, exchanges
from systrace.model import Message

_UNKNOWN = ("", "clipped", "encrypted", "the answer is not kept")
_CUT = {
    "eof": "cut short: the server closed",
    "reset": "cut short by a reset",
    "closed": "given up halfway",
    "unfinished": "not ended",
}
_GUESSED = ("length-prefixed",)  # frames of an unknown protocol: nothing says what they are
_CHANGES = frozenset(
    ("POST", "PUT", "PATCH", "DELETE", "INSERT", "UPDATE", "DATA", "STOR", "PUBLISH", "RPUSH", "LPUSH")
)


def web(known: Known) -> Iterator[Step]:
    """HTTP requests, of which the log shows more than that they are encrypted."""
    for row, _request_sent, answer in exchanges(known.evidence):
        if row.url is not None and row.error != "encrypted":
            yield _request(known, row, cut=answer is not None and answer.head_cut)


def _request(known: Known, row: Transaction, cut: bool) -> Step:
    """`cut`: fields of the answer may be halves."""
    socket, url, server = known.evidence.sockets.get(row.socket), row.url or "", row.role == "server"
    name, port, shown = known.end(socket, server)
    host, own_port = _host(url)
    outcome, failed = _answered(row)
    times = {"connect": row.connect_ns, "TLS": row.tls_ns, "first byte": row.first_byte_ns, "transfer": row.transfer_ns}
    whole = row.complete is not False and not failed
    files = known.evidence.source.files
    return Step(
        Key(
            REQUEST,
            known.role(row.pid),
            "" if server else host_shape(host) or name,
            port if server else own_port or port,
            "http served" if server else "http",
            row.method or "",
            url_shape(url),
        ),
        f"{row.method} {url}",
        url,
        outcome,
        failed,
        Place(files[row.source] if row.source < len(files) else "", row.line or 0, known.since(row.start_ns)),
        who=row.command,
        peer=shown,
        socket=row.socket,
        times={name: ns for name, ns in times.items() if ns is not None and name not in ("connect", "TLS")},
        size=row.response_bytes if whole else None,
        content=row.content_type or "" if not cut else "",
        start_ns=row.start_ns or 0,
        changes=(row.method or "") in _CHANGES,
    )


def _host(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        return parts.hostname or "", port_shape(parts.port or 0)
    except ValueError:
        return "", ""


def _answered(row: Transaction) -> tuple[str, bool]:
    if row.status is not None:
        status = str(row.status)
        if row.error not in _UNKNOWN:
            return f"{status}, {_CUT.get(row.error, row.error)}", True
        return status, row.status >= 400
    return ("", False) if row.error in _UNKNOWN else (row.error, True)


# --------------------------------------------------------------------------------------------------- other protocols


def dialogues(known: Known) -> Iterator[Step]:
    """Statements and commands of databases, mail, queues and the like."""
    answers: dict[int, Reply] = {}
    asked: list[Request] = []
    for message in known.evidence.messages:
        if message.protocol in _GUESSED:
            continue
        if isinstance(message, Request):
            asked.append(message)
        elif isinstance(message, Reply) and message.request is not None:
            answers[id(message.request)] = message  # the last one is final
        elif isinstance(message, Greeting | ServerError):
            yield _step(known, message, "greeting", message.code or "greeted", isinstance(message, ServerError))
        elif isinstance(message, GrpcStatus):
            yield _step(known, message, message.method, message.name, message.code != 0)
    for request in asked:
        yield _asked(known, request, answers.get(id(request)))


def _asked(known: Known, request: Request, reply: Reply | None) -> Step:
    outcome, failed = "", False
    if isinstance(reply, ServerError):
        outcome, failed = f"refused: {reply.code or reply.text[:60]}", True
    elif reply is not None:
        failed = reply.truncated
        outcome = "cut short" if failed else reply.code or "answered"
    elif request.unanswered and not request.awaits:
        outcome, failed = "no answer", True
    times = {}
    if reply is not None and reply.start_ns is not None and request.end_ns is not None and not request.awaits:
        times["answer"] = max(0, reply.start_ns - request.end_ns)
    return _step(known, request, request.verb, outcome, failed, times)


def _step(
    known: Known, message: Message, method: str, outcome: str, failed: bool, times: dict[str, int] | None = None
) -> Step:
    socket = known.evidence.sockets.get(message.socket)
    server = socket is not None and socket.role == "server"
    name, port, shown = known.end(socket, server)
    pid = socket.pid if socket is not None else None
    record = message.events[0].record if message.events else None
    if record is not None:
        pid = known.evidence.owners.get(record.tid, pid)
    asked = isinstance(message, Request)
    summary = message.summary if asked else method
    return Step(
        Key(REQUEST, known.role(pid), name, port, message.protocol, method, statement_shape(summary) if asked else ""),
        f"{message.protocol} {summary}",
        summary,
        outcome,
        failed,
        known.place(record),
        who=known.who(pid),
        peer=shown,
        socket=message.socket,
        times=times or {},
        start_ns=message.start_ns or 0,
        changes=method.upper() in _CHANGES,
        optional=not asked,
    )


def handshakes(known: Known) -> Iterator[Step]:
    """TLS: who was asked for, and whether both sides agreed."""
    hellos: dict[str, list[TlsHello]] = {}
    refused: dict[str, tuple[str, bool]] = {}
    for message in known.evidence.messages:
        if isinstance(message, TlsHello):
            hellos.setdefault(message.socket, []).append(message)
        elif isinstance(message, TlsAlert) and message.refuses:
            refused.setdefault(message.socket, (f"refused: {message.name}", True))
        elif isinstance(message, NotTls):
            refused.setdefault(message.socket, (f"no TLS came, but {message.looks_like or 'something else'}", True))
    for uid, each in hellos.items():
        client = next((hello for hello in each if hello.client), None)
        answer = next((hello for hello in each if not hello.client and not hello.retry), None)
        if client is None or client.direction != "sent":
            continue
        outcome, failed = refused.get(uid, ("agreed" if answer is not None else "", False))
        times = {}
        if answer is not None and answer.end_ns is not None and client.start_ns is not None:
            times["TLS"] = max(0, answer.end_ns - client.start_ns)
        yield _handshake(known, client, outcome, failed, times)


def _handshake(known: Known, hello: TlsHello, outcome: str, failed: bool, times: dict[str, int]) -> Step:
    step = _step(known, hello, "handshake", outcome, failed, times)
    return Step(
        step.key,
        f"TLS with {step.peer or hello.sni or '?'}",
        hello.sni or "",
        outcome,
        failed,
        step.place,
        who=step.who,
        peer=step.peer,
        socket=step.socket,
        times=times,
        start_ns=step.start_ns,
        optional=True,
    )
