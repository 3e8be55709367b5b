"""Conversations that failed in their own protocol: the wrong one, frames, refusals, FTP's second connection."""

from __future__ import annotations

import re
from collections.abc import Iterator

from systrace.calls import SENDS, WRITES
from systrace.messages.grpc import GrpcStatus
from systrace.messages.http import HttpResponse
from systrace.messages.mismatch import USUAL_PORTS, Mismatch
from systrace.messages.problem import printable
from systrace.messages.replies import FramingError, FtpReply, Greeting
from systrace.messages.tls import NotTls
from systrace.model import Draft, Endpoint, Message, Socket, Step
from systrace.rules.case.index import Case, where
from systrace.rules.content import exchanges
from systrace.rules.content.accusing import accusation, accused, effect
from systrace.rules.content.answers import ended_at, last_received
from systrace.rules.content.exchanges import first_and_last, soon_after, victim_of
from systrace.rules.content.let_pass import refused_connections
from systrace.rules.content.victims import Victim, victim
from systrace.rules.examples import ASK, asks, connects, exits, gets, job
from systrace.rules.rule import Phase, rule
from systrace.shell import word

_REFUSED_WORDS = re.compile(
    rb"(?i)\berr|error|denied|refused|reject|unknown|not (?:allowed|found|permitted|available)|fail|invalid|unauthor|forbidden"
    rb"|too many|no such|\blocked\b|expired|exceeded|quota|unavailable|\bbusy\b"
)
_FRAME_WORDS = r"struct\.error|unpack|NegativeArraySize|(?i:frame|length|record of|header|readFully|BufferUnderflow)"


# --------------------------------------------------------------------------------------------- the wrong protocol


@rule(
    "protocol-mismatch",
    phase=Phase.HANDSHAKE,
    content=True,
    fires=job(ASK, gets("220 mx.example ESMTP Postfix\\r\\n")),
    silent=job(ASK, gets("HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n"), status=0),
)
def protocol_mismatch(case: Case) -> Iterator[Draft]:
    """The peer speaks another protocol than the client.

    What it is: the first bytes of both sides belong to different protocols: TLS to a plain port or plain text to a TLS
        port, HTTP to a mail server, a database client to a web server.
    Why it matters: wrong port, wrong scheme, or a proxy in the path; libraries say "wrong version number", "bad status
        line".
    What proves it: the first bytes of each side.
    Not this: a server that greets first in the client's own protocol; a TLS alert between TLS sides (tls-error).
    What to do: look at scheme, host and port in the job's configuration.
    Source: RFC 8446 5.1, RFC 9112 2.2
    """
    for socket in case.clients:
        found = _mismatch(socket) or _wrong_greeting(case, socket)
        if found is None:
            continue
        message, spoken, answered, sample = found
        who = victim_of(case, socket, message)
        if who is None:
            continue
        finding = accusation(case, "protocol-mismatch", socket, [*first_and_last(socket), *message.events], who, "")
        finding.variant = f"{spoken}-{answered}"
        finding.confidence = "confirmed" if isinstance(message, Mismatch | NotTls) else "likely"
        shown = printable(sample, 60)
        finding.summary = (
            f"{case.name_of(who.receiver)} speaks {spoken} to {case.label(socket)}, which answers with {answered}"
            + (f" (“{shown}”)" if sample and shown.isprintable() else "")
            + f"; {effect(case, who)}."
        )
        finding.causes = [
            "port or scheme (http/https) is wrong in the job's configuration",
            "another service listens on that port",
            "a proxy in the path answers in place of the server",
        ]
        finding.next_steps = [
            Step(f"nc -v {' '.join(where(socket.peer))}", "what does the port speak?"),
            Step(f"openssl s_client -connect {word(str(socket.peer))} </dev/null", "or is it TLS?"),
        ]
        finding.remedy = ["correct scheme, host and port"]
        finding.refuted_by = "a successful exchange in the client's protocol on the same port"
        yield finding


def _mismatch(socket: Socket) -> tuple[Message, str, str, bytes] | None:
    for message in socket.messages:
        if isinstance(message, Mismatch) and message.direction == "received":
            return message, message.spoken, message.answered or "something else", message.sample
        if isinstance(message, NotTls) and message.direction == "received" and not message.offset:
            return message, "tls", message.looks_like or "something else", message.sample
    return None


def _wrong_greeting(case: Case, socket: Socket) -> tuple[Message, str, str, bytes] | None:
    """The client waits for a greeting and has said nothing; what greets is not what the port is for."""
    if socket.sent.original_len or socket.peer is None or socket.app_protocol is None:
        return None
    greeting = next((m for m in socket.messages if isinstance(m, Greeting | HttpResponse)), None)
    own = USUAL_PORTS.get(socket.app_protocol)
    if greeting is None or own is None or greeting.direction != "received":
        return None
    due = next((name for name, ports in sorted(USUAL_PORTS.items()) if socket.peer.port in ports), None)
    if isinstance(greeting, HttpResponse):
        if due in (None, "http") and (socket.inherited or not case.shows(WRITES - SENDS)):
            return None  # what was sent before the log begins, or by write(2), is hidden
        sample = greeting.head[:40]
        return greeting, due if due not in (None, "http") else "another protocol", "http", sample
    if socket.peer.port in own or due is None:
        return None
    return greeting, due, socket.app_protocol, greeting.text.encode()[:40]


# ---------------------------------------------------------------------------------------------------------- frames


@rule(
    "framing-error",
    content=True,
    fires=job(asks("\\0\\0\\0\\3get"), gets("\\0\\0\\1\\364abcdefgh"), gets("", "1.3"), port=7003),
    silent=job(asks("\\0\\0\\0\\3get"), gets("\\0\\0\\0\\10abcdefgh"), status=0, port=7003),
)
def framing_error(case: Case) -> Iterator[Draft]:
    """A length-prefixed protocol with an impossible or unfulfilled length.

    What it is: variants `unfulfilled` (the stream ended before the announced bytes came), `impossible` (a length that
        cannot be: text read as a number, a negative value, a misread byte order).
    Why it matters: a program that believes the length reads past its buffer, waits for ever, or dies.
    What proves it: the length's bytes and their place, and the failure after them; the value where the program names
        it.
    Not this: an answer cut within a known protocol (truncated-response).
    What to do: is it the right port and version; what do the bytes say as text.
    Source: the protocol's own framing
    """
    yield from accused(case, "framing-error")
    yield from exchanges.cut_units(case, "framing-error")
    for socket in case.clients:
        error = next((m for m in socket.messages if isinstance(m, FramingError) and m.direction == "received"), None)
        if error is None or any(isinstance(m, Mismatch) for m in socket.messages):
            continue
        who = victim_of(case, socket, error)
        if who is not None:
            events = [*first_and_last(socket), *error.events]
            finding = accusation(case, "framing-error", socket, events, who, _FRAME_WORDS)
            yield _framed(case, finding, socket, who, f"sent an {error.summary}", "confirmed")
    for socket, who, data in exchanges.opaque_sockets(case):
        if case.first_error(socket) is not None or (_is_judged(socket) and not who.said.has(r"struct\.error|unpack")):
            continue
        short = exchanges.short_frame(socket)
        if short is not None:
            finding = accusation(case, "framing-error", socket, [*first_and_last(socket), *short[2]], who, _FRAME_WORDS)
            finding.variant = "unfulfilled"
            what = f"announced {short[0]} bytes, and the stream ended after {short[1]} of them"
            yield _framed(case, finding, socket, who, what, "confirmed")
            continue
        found = _bad_length(socket, who, data)
        if found is not None:
            finding = accusation(case, "framing-error", socket, first_and_last(socket), who, _FRAME_WORDS)
            yield _framed(case, finding, socket, who, found, "likely")


def _is_judged(socket: Socket) -> bool:
    """A decoder has found fault with what came."""
    came = (m for m in socket.messages if m.direction == "received")
    return any(isinstance(m, FramingError | Mismatch) or not m.complete for m in came)


def _bad_length(socket: Socket, who: Victim, data: bytes) -> str | None:
    last = last_received(socket)
    size = last.size if last is not None else 0
    for header in (data[-size:][:8], data[:8]):
        value = exchanges.said_number(who, header)
        if value is not None:
            return f"sent {printable(header[:8].hex(' ').encode())}, which the program read as the length {value}"
    found = exchanges.impossible_length(data)
    if found is not None and (who.crashed or who.said.text):
        offset, value, layout = found
        text = printable(data[offset : offset + 4], 16)
        return f"sent the length {value} at byte {offset} ({layout}; as text “{text}”), which cannot be"
    value = exchanges.impossible_header(socket) if who.crashed else None
    if value is not None:
        return f"sent the four bytes {value:08x} by themselves, as a length is sent; that cannot be one"
    if who.said.has(r"struct\.error|unpack requires|BufferUnderflow|readFully"):
        return f"sent {len(data)} bytes, fewer than the program's header or frame needs"
    return None


def _framed(case: Case, finding: Draft, socket: Socket, who: Victim, what: str, confidence: str) -> Draft:
    finding.variant = finding.variant or "impossible"
    finding.confidence = confidence
    finding.summary = f"{case.name_of(who.receiver)}: {case.label(socket)} {what}; {effect(case, who)}."
    finding.causes = [
        "the server answered with text (an error, another protocol) where a binary header is due",
        "another version or byte order of the protocol",
        "the stream was cut or lost its place",
    ]
    finding.next_steps = [Step(f"systrace follow LOG --socket {socket.uid}", "the bytes as text")]
    finding.remedy = ["check a length against a sane limit before use; check port and protocol version"]
    finding.refuted_by = "the protocol allowing that length"
    return finding


# -------------------------------------------------------------------------------------------------------- refusals


@rule(
    "server-error-reply",
    content=True,
    fires=job(asks("*1\\r\\n$4\\r\\nPING\\r\\n"), gets("-NOAUTH Authentication required.\\r\\n"), port=6379),
    silent=job(asks("*1\\r\\n$4\\r\\nPING\\r\\n"), gets("-LOADING Redis is loading\\r\\n"), status=0, port=6379),
)
def server_error_reply(case: Case) -> Iterator[Draft]:
    """The server refused in its own protocol.

    What it is: redis -ERR, PostgreSQL FATAL or ERROR, MySQL 1040 and 1045, SMTP and FTP 4xx and 5xx, POP3 -ERR, IMAP
        NO: the last word that the failing process heard. The server's own code and text are quoted.
    Why it matters: the network is fine; the server says what is wrong: limits, credentials, names, maintenance.
    What proves it: the reply's bytes, and the failure after it.
    Not this: a refusal that the client expects and works around (EPSV, EHLO, STARTTLS), or that a retry made good.
    What to do: act on the server's words.
    Source: the protocols' own: RFC 5321 4.2, RFC 959 4.2, RESP, PostgreSQL 55.8, MySQL error packets
    """
    for socket in case.clients:
        if any(isinstance(m, Mismatch) for m in socket.messages):
            continue
        found = exchanges.last_error(case, socket)
        if found is None:
            continue
        reply, who, agree = found
        repeated = "(?i)" + "|".join(re.escape(part[:30]) for part in (reply.text, reply.code) if len(part) > 2)
        events = [*(reply.request.events[:1] if reply.request is not None else []), *reply.events]
        finding = accusation(case, "server-error-reply", socket, events, who, repeated if agree else None)
        protocol = exchanges.spoken(case, socket, reply)
        finding.variant = "-".join(part for part in (protocol, reply.code) if part)
        finding.confidence = "confirmed" if agree else "likely"
        asked = f" “{reply.request.summary}”" if reply.request is not None and reply.request.summary else ""
        code = "" if reply.text.startswith(reply.code) else f"{reply.code} "
        words = printable(f"{code}{reply.text}".encode("utf-8", "replace"), 200)
        finding.summary = (
            f"{case.name_of(who.receiver)}: {case.label(socket)} refused{asked}"
            f"{f' ({protocol})' if protocol else ''}: {words}; {effect(case, who, repeated)}."
        )
        yield _refusal(finding)
    yield from _grpc(case)
    yield from refused_connections(case)
    for socket, who, data in exchanges.opaque_sockets(case):
        line = _refused_line(data, who)
        if line:
            finding = accusation(case, "server-error-reply", socket, first_and_last(socket), who, re.escape(line[:30]))
            finding.summary = (
                f"{case.name_of(who.receiver)}: {case.label(socket)} answered “{line}”; {effect(case, who)}."
            )
            yield _refusal(finding)


def _grpc(case: Case) -> Iterator[Draft]:
    """The last call on a connection ended with an error status in its trailers."""
    for socket in case.clients:
        status = next((m for m in reversed(socket.messages) if isinstance(m, GrpcStatus)), None)
        who = victim_of(case, socket, status) if status is not None and status.code else None
        if status is None or who is None or not soon_after(case, socket, who, ended_at(case, status)):
            continue
        words = rf"(?i){status.name}|{re.escape(status.text[:30]) or status.name}"
        finding = accusation(case, "server-error-reply", socket, status.events, who, words)
        finding.variant, finding.confidence = f"grpc-{status.code}", "confirmed" if who.said.has(words) else "likely"
        finding.summary = (
            f"{case.name_of(who.receiver)}: {case.label(socket)} ended the call {status.method} with gRPC status "
            f"{status.name}: {printable(status.text.encode('utf-8', 'replace'), 160)}; {effect(case, who, words)}."
        )
        yield _refusal(finding)


def _refused_line(data: bytes, who: Victim) -> str:
    """A line of what came that sounds like a refusal, and that the failing program repeats."""
    for line in data[-4096:].splitlines():
        text = printable(line.strip(), 160)
        if len(text) >= 8 and _REFUSED_WORDS.search(line) and exchanges.quotes(who, text):
            return text
    return ""


def _refusal(finding: Draft) -> Draft:
    finding.causes = ["what the server says: limit, credentials, name, maintenance"]
    finding.next_steps = [Step(why="the server's log at that second")]
    finding.remedy = ["act on the server's words; retry with back-off where they name a passing state"]
    finding.refuted_by = "the server having accepted the same request on another connection"
    return finding


# ------------------------------------------------------------------------------------------------------------ FTP


_FTP = (
    connects("0 <0.01>", 21) + '9 1.1 recvfrom(3, "220 FTP ready\\r\\n", 4096, 0, NULL, NULL) = 15 <0.01>\n'
    '9 1.2 sendto(3, "PASV\\r\\n", 6, 0, NULL, 0) = 6 <0.0001>\n'
    '9 1.3 recvfrom(3, "227 Entering Passive Mode (192,0,2,7,195,80)\\r\\n", 4096, 0, NULL, NULL) = 46 <0.01>\n'
)


@rule(
    "data-channel-blocked",
    phase=Phase.CONNECT,
    fires=_FTP + connects("-1 ETIMEDOUT (Connection timed out) <134.2>", 50000, "1.4", fd=4) + exits("140.0", 1),
    silent=_FTP + connects("0 <0.01>", 50000, "1.4", fd=4) + exits("2.9"),
)
def data_channel_blocked(case: Case) -> Iterator[Draft]:
    """FTP: the control connection is fine, the data connection fails.

    What it is: the server named an address and port for the data (PASV, EPSV), and the connect to it got no answer or
        was refused; or an active transfer (PORT) to which the server never came.
    Why it matters: login and commands work, so the network looks fine; the passive port range is not open.
    What proves it: the reply with the address, and the connect to just that address.
    Not this: a refusal on the control connection (server-error-reply).
    What to do: open the server's passive port range in firewall and security group; let the server announce its outer
        address.
    Source: RFC 959 3.2, RFC 2428
    """
    for control in case.clients:
        for message in control.messages:
            if not isinstance(message, FtpReply) or message.direction != "received":
                continue
            to = message.data
            if to is None and message.code in ("227", "229") and message.incomplete_reason == "clipped":
                to = Endpoint("inet", control.peer.host if control.peer is not None else "")  # `-s` hides the port
            if to is not None:
                yield from _blocked(case, control, message, to)


def _is_data_connection(data: Socket, control: Socket, to: Endpoint) -> bool:
    """It goes to the port that the server named; to its host and from the same process, where the port is not known."""
    if data is control or data.peer is None:
        return False
    if to.port:
        return data.peer.port == to.port
    return not data.peer.port or (data.peer.host == to.host and data.pid == control.pid)


def _blocked(case: Case, control: Socket, reply: FtpReply, to: Endpoint) -> Iterator[Draft]:
    announced = ended_at(case, reply)
    for data in case.clients:
        if data.peer is None or not data.attempts or not _is_data_connection(data, control, to):
            continue
        attempt = data.attempts[-1]
        if attempt.outcome == "connected" or not attempt.events or case.at(attempt.events[0]) < announced:
            continue
        who = victim(case, case.process(data), case.ended(attempt.events[-1]))
        if who is None:
            continue
        finding = accusation(case, "data-channel-blocked", data, [*reply.events, *attempt.events], who, "")
        refused = attempt.errno == "ECONNREFUSED"
        finding.variant, finding.confidence = "refused" if refused else "no-answer", "confirmed"
        finding.duration_ns = attempt.duration_ns
        named = printable(reply.summary.encode("utf-8", "replace"), 80)
        finding.summary = (
            f"{case.name_of(who.receiver)}: FTP's control connection to {case.label(control)} works; the data connection "
            f"to {data.peer}, which the server had named (“{named}”), {'was refused' if refused else 'got no answer'}; "
            f"{effect(case, who)}."
        )
        finding.causes = [
            "the passive port range is not open in a firewall or security group on the path",
            "nothing listens there: a NAT or load balancer does not forward the range",
        ]
        if data.peer.host != (control.peer.host if control.peer is not None else ""):
            finding.causes.insert(0, "the server announces an address of its inner network (NAT without pasv_address)")
        finding.next_steps = [Step(f"nc -vz {to.host or 'HOST'} {data.peer.port}", "while the transfer waits")]
        finding.remedy = ["open the server's passive range; set its pasv_address; or use SFTP"]
        finding.refuted_by = "a data connection of the same session that works"
        yield finding
        return
