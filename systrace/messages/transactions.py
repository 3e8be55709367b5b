"""The request log that the traced program did not write: each HTTP request with its answer, and where the time went."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from systrace.dataclass import dataclass
from systrace.messages.dns import DnsMessage
from systrace.messages.http import HttpMessage, HttpRequest, HttpResponse, bare_host
from systrace.messages.tls import TlsHello
from systrace.model import Attempt, Endpoint, Evidence, Socket

_LOOKUP_GAP_NS = 31_000_000_000  # resolv.conf(5): no timeout between two tries of one look-up is longer than 30 s
_HTTPS = 443


@dataclass(frozen=True, slots=True)
class Transaction:
    """One request and its answer; what the log does not show is None. Times are nanoseconds."""

    socket: str
    role: str  # client, server
    pid: int | None
    command: str
    start_ns: int | None
    dns_ns: int | None  # look-up of the host's name, before the connection's first request
    connect_ns: int | None  # of the connection's first request
    tls_ns: int | None  # ClientHello sent until ServerHello received
    reused: bool  # an earlier request went over this connection
    line: int | None  # where the request (else its answer) begins
    source: int
    method: str | None = None  # None: the request is encrypted, or not in the log
    url: str | None = None  # secrets in it are hidden; the scheme is http where the target names none
    status: int | None = None
    reason: str = ""
    first_byte_ns: int | None = None  # request sent (received, in a server) until the answer's first byte
    transfer_ns: int | None = None  # the answer's first byte until its last
    total_ns: int | None = None  # the request's first byte until the answer's last
    request_bytes: int | None = None  # of the body as transferred, chunk framing taken off
    response_bytes: int | None = None
    content_type: str | None = None
    complete: bool | None = None  # the answer is proven to be whole
    error: str = (
        ""  # why there is no whole answer: no answer, eof, reset, closed, unfinished, malformed, clipped, encrypted
    )


class Exchange(NamedTuple):
    """A transaction and its messages; None where the log does not show them."""

    row: Transaction
    request: HttpRequest | None = None
    answer: HttpResponse | None = None


def transactions(evidence: Evidence) -> list[Transaction]:
    """Every request whose messages were kept, in order of start; requests within TLS count as one for a connection."""
    return [each.row for each in exchanges(evidence)]


def exchanges(evidence: Evidence) -> list[Exchange]:
    """The same with the messages."""
    encrypted: dict[str, list[TlsHello]] = {}
    for message in evidence.messages:
        if isinstance(message, TlsHello):
            encrypted.setdefault(message.socket, []).append(message)
    clock = _Clock(evidence, encrypted)
    pairs = sorted(_pairs(evidence), key=_start)
    found = [Exchange(_transaction(evidence, clock, *pair), *pair) for pair in pairs]
    found += [Exchange(row) for row in _encrypted(evidence, clock, encrypted)]
    found.sort(key=lambda each: each.row.start_ns or 0)
    return found


def _pairs(evidence: Evidence) -> list[tuple[HttpRequest | None, HttpResponse | None]]:
    """Each request with its answer; what is left of either without the other."""
    requests = [m for m in evidence.messages if isinstance(m, HttpRequest)]
    final = [m for m in evidence.messages if isinstance(m, HttpResponse) and not m.interim]
    answers = {id(answer.request): answer for answer in final if answer.request is not None}
    known = {id(request) for request in requests}
    requests += [a.request for a in answers.values() if a.request is not None and id(a.request) not in known]
    return [(r, answers.get(id(r))) for r in requests] + [(None, a) for a in final if a.request is None]


def _start(pair: tuple[HttpRequest | None, HttpResponse | None]) -> tuple[int, int]:
    message = pair[0] or pair[1]
    assert message is not None
    return message.start_ns or 0, message.events[0].record.lineno if message.events else 0


def _between(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else max(0, end - start)


def _transaction(
    evidence: Evidence, clock: _Clock, request: HttpRequest | None, answer: HttpResponse | None
) -> Transaction:
    message = request or answer
    assert message is not None
    socket = evidence.sockets.get(message.socket)
    server = (message.direction == "received") is (request is not None)
    host = _host(request, socket) if request is not None else ""
    pid = _owner(evidence, message, socket)
    row = _begun(evidence, clock, message, server, pid, host, first=clock.first_on(message.socket))
    error, complete = _error(request, answer)
    told: dict[str, Any] = {"error": error, "complete": complete}
    if request is not None:
        url = _url(evidence, request, socket, clock.is_secure(message))
        told |= {"method": request.method, "url": url, "request_bytes": _body_bytes(request)}
    if answer is not None:
        told |= {
            "status": answer.status or None,
            "reason": evidence.masks.text(answer.reason),
            "transfer_ns": _between(answer.start_ns, answer.end_ns),
            "response_bytes": _body_bytes(answer),
            "content_type": answer.content_type or None,
        }
    if request is not None and answer is not None:
        told["first_byte_ns"] = _between(request.end_ns, answer.start_ns)
        told["total_ns"] = _between(request.start_ns, answer.end_ns)
    return replace(row, **told)


def _begun(
    evidence: Evidence,
    clock: _Clock,
    message: HttpMessage | TlsHello,
    server: bool,
    pid: int | None,
    host: str,
    first: bool,
) -> Transaction:
    """Who asks or is asked, and what came before that: all that is known without the request and its answer."""
    attempt = _attempt(evidence.sockets.get(message.socket)) if first and not server else None
    process = evidence.processes.get(pid) if pid is not None else None
    record = message.events[0].record if message.events else None
    return Transaction(
        socket=message.socket,
        role="server" if server else "client",
        pid=pid or None,
        command=process.command if process is not None else "",
        start_ns=message.start_ns,
        dns_ns=clock.lookup_ns(bare_host(host), pid, attempt),
        connect_ns=attempt.duration_ns if attempt is not None else None,
        tls_ns=clock.tls_ns(message.socket) if first else None,
        reused=not first,
        line=record.lineno if record is not None else None,
        source=record.source if record is not None else 0,
    )


def _body_bytes(message: HttpMessage) -> int | None:
    """None where `-s` cut the head or the framing: nobody can tell where the body begins, or what of it is framing."""
    lost = (
        message.head_cut
        or message.framing == "unknown"
        or (message.body is not None and message.body.lost_at is not None)
    )
    return None if lost else message.received_length


def _error(request: HttpRequest | None, answer: HttpResponse | None) -> tuple[str, bool | None]:
    if answer is not None:
        clipped = answer.incomplete_reason == "clipped"
        return answer.incomplete_reason, None if clipped else answer.complete
    if request is not None and request.answered:
        return "the answer is not kept", None
    return "no answer", False


def _url(evidence: Evidence, request: HttpRequest, socket: Socket | None, secure: bool) -> str:
    """The host is the peer's address where the request's own is not known to its end."""
    cut = request.head_cut and b"\n" not in request.head
    target = request.target + ("…" if cut else "")
    if request.via_proxy:
        return evidence.masks.text(target)
    return evidence.masks.text(f"{'https' if secure else 'http'}://{_host(request, socket)}{target}")


def _host(request: HttpRequest, socket: Socket | None) -> str:
    host = request.host
    cut = request.head_cut and request.head.rstrip(b"\r\n").endswith(host.encode("utf-8", "replace"))
    if host and not cut:
        return host
    end = None if socket is None else socket.peer if request.direction == "sent" else socket.local
    return str(end) if end is not None else f"{host}…" if host else ""


def _attempt(socket: Socket | None) -> Attempt | None:
    return None if socket is None else next((a for a in socket.attempts if a.outcome == "connected"), None)


def _owner(evidence: Evidence, message: HttpMessage | TlsHello, socket: Socket | None) -> int | None:
    """The process that sent it, or received it; 0 while the log has not named it."""
    pid = evidence.owners.get(message.events[0].record.tid) if message.events else None
    return socket.pid if pid is None and socket is not None else pid


# ---------------------------------------------------------------------------------------------------------- encryption


def _encrypted(evidence: Evidence, clock: _Clock, encrypted: dict[str, list[TlsHello]]) -> Iterable[Transaction]:
    """Connections with a TLS hello of a client that offers HTTP, or to port 443."""
    for uid, hellos in encrypted.items():
        socket = evidence.sockets.get(uid)
        hello = next((m for m in hellos if m.client), None)
        if socket is None or hello is None or not clock.first_on(uid):
            continue  # behind CONNECT: that request has its row
        server = hello.direction == "received"
        end = socket.local if server else socket.peer
        if not _is_https(hello, end):
            continue
        name = hello.sni or (end.host if end is not None else "") or "?"
        port = f":{end.port}" if end is not None and end.port not in (0, _HTTPS) else ""
        row = _begun(evidence, clock, hello, server, _owner(evidence, hello, socket), name, first=True)
        stream = socket.sent if server else socket.received
        total_ns = _between(hello.start_ns, stream.last_ns)
        yield replace(row, url=f"https://{name}{port}/", total_ns=total_ns, error="encrypted")


def _is_https(hello: TlsHello, server: Endpoint | None) -> bool:
    offers_http = any(name.startswith(("h2", "http/")) for name in hello.alpn)
    return offers_http or (server is not None and server.port == _HTTPS)


class _Clock:
    """What took time before a request: look-ups, the connection, TLS."""

    def __init__(self, evidence: Evidence, encrypted: dict[str, list[TlsHello]]) -> None:
        self._evidence = evidence
        self._encrypted = encrypted
        self._met: set[str] = set()
        self._lookups: dict[tuple[int | None, str], list[DnsMessage]] = {}
        self._connects: dict[int | None, list[int]] = {}  # by process: when connections that were used began
        for message in evidence.messages:
            if isinstance(message, DnsMessage) and message.question and message.start_ns is not None:
                socket = evidence.sockets.get(message.socket)
                key = socket.pid if socket is not None else None, message.question.lower()
                self._lookups.setdefault(key, []).append(message)
        for socket in evidence.sockets.values():
            attempt = _attempt(socket)
            if attempt is not None and attempt.start_ns is not None and socket.type == "stream" and socket.sent.calls:
                insort(self._connects.setdefault(socket.pid, []), attempt.start_ns)

    def first_on(self, uid: str) -> bool:
        """Nothing of this socket was asked about before, and the log shows its beginning in full."""
        socket = self._evidence.sockets.get(uid)
        new = uid not in self._met and (socket is None or not socket.inherited)
        self._met.add(uid)
        return new

    def is_secure(self, message: HttpMessage) -> bool:
        """TLS was spoken on its socket before: it was decrypted."""
        hello = next(iter(self._encrypted.get(message.socket, ())), None)
        return hello is not None and (hello.start_ns or 0) < (message.start_ns or 0)

    def tls_ns(self, uid: str) -> int | None:
        """From the ClientHello to the ServerHello."""
        hellos = self._encrypted.get(uid, ())
        client = next((m for m in hellos if m.client), None)
        server = next((m for m in hellos if not m.client and not m.retry), None)
        return _between(client.start_ns, server.end_ns) if client is not None and server is not None else None

    def lookup_ns(self, name: str, pid: int | None, attempt: Attempt | None) -> int | None:
        """From the first query to the last answer about a name that came before this connect and after the last one."""
        if attempt is None or attempt.start_ns is None:
            return None
        connects = self._connects.get(pid, [])
        at = bisect_left(connects, attempt.start_ns)
        after = connects[at - 1] if at else 0
        start = end = None
        lookups = self._lookups.get((pid, name), [])
        for message in reversed(lookups[: bisect_right(lookups, attempt.start_ns, key=lambda m: m.start_ns or 0)]):
            began, ended = message.start_ns, message.end_ns
            if began is None or ended is None or ended > attempt.start_ns:
                continue
            if began < after or (start is not None and start - ended > _LOOKUP_GAP_NS):
                break
            if message.is_response:
                end = end or ended
            start = began
        return _between(start, end)
