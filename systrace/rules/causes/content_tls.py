"""TLS handshakes that failed: by an alert in clear, or by what the program says and does (verdicts 4.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from systrace.messages.mismatch import Mismatch
from systrace.messages.replies import Reply, Request
from systrace.messages.tls import NotTls, TlsAlert, TlsHello, TlsRecords
from systrace.model import Draft, Event, Socket, Step
from systrace.rules.case.index import Case
from systrace.rules.case.sealed import exchange_of
from systrace.rules.case.stalls import stall_of
from systrace.rules.case.unfinished import given_up_by
from systrace.rules.content.accusing import accusation, effect
from systrace.rules.content.answers import ended_at, last_received
from systrace.rules.content.exchanges import first_and_last, soon_after, victim_of
from systrace.rules.content.let_pass import refused_handshakes
from systrace.rules.content.victims import Victim, is_last_word, victim
from systrace.rules.examples import gets, job
from systrace.rules.rule import Phase, rule
from systrace.shell import word

_TLS_WORDS = r"(?i)\bSSL|\bTLS|certificate|PKIX|x509|handshake|CERT_|self.signed|cipher"
_PLAIN_WORDS = r"(?i)wrong.version.number|packet length too long|record overflow|http request|not an? (?:ssl|tls)"
_IN_CLEAR = ("client-alert", "server-alert", "refused")  # variants that the bytes prove
_TLS_EXITS = {"curl": (35, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91), "wget": (5,)}
# What a client sends in TLS 1.3 after the hello and before a request: Finished (53 or 69 bytes), alerts (18, 19).
_NO_REQUEST = frozenset(
    {*range(52), *(finished + alerts for finished in (53, 69) for alerts in (0, 18, 19, 36, 37, 38))}
)
_UNTRUSTED = "it is signed by a CA that this host does not know: self-signed, or its intermediate is not sent"
_PROXY = "a proxy in the path presents its own certificate"
_NO_COMMON = "client and server have no TLS version or cipher in common"
# What a fatal alert says of the fault, RFC 8446 6.2.
_FAULTS = {
    40: (_NO_COMMON, "the server wants a client certificate"),
    42: ("the certificate is damaged, or its signature does not fit", _PROXY),
    44: ("the certificate was revoked",),
    45: ("the certificate is expired, or one of its chain", "this host's clock is wrong"),
    48: (_UNTRUSTED, _PROXY),
    70: ("client and server have no TLS version in common",),
    71: ("the server asks for stronger ciphers than the client has",),
    112: ("the server does not know the name that was asked for (SNI)",),
    116: ("the server wants a client certificate, and none was sent",),
    120: ("client and server have no application protocol in common (ALPN)",),
}
_OF_CERTIFICATES = (42, 43, 44, 45, 46, 48)
_UNKNOWN_FAULT = (
    "the certificate is expired, self-signed, for another name, or signed by a CA that this host does not know",
    f"{_NO_COMMON}, or a client certificate is wanted",
    _PROXY,
)
_HELLO = '9 1.1 sendto(3, "\\26\\3\\1\\0\\5\\1\\0\\0\\1\\3", 10, 0, NULL, 0) = 10 <0.0001>\n'


@rule(
    "tls-error",
    proven_by=("certificate",),
    phase=Phase.HANDSHAKE,
    content=True,
    fires=job(_HELLO, gets("\\25\\3\\3\\0\\2\\2("), port=443),
    silent=job(_HELLO, gets("\\25\\3\\3\\0\\2\\1\\0"), status=0, port=443),
)
def tls_error(case: Case) -> Iterator[Draft]:
    """The TLS handshake failed: certificate, version, cipher.

    What it is: a fatal alert. Sent by the server: it refuses us (version, cipher, name, missing client certificate).
        Sent by us: we do not trust the server (unknown_ca, certificate_expired ...). Encrypted alerts (TLS 1.3) can't
        be read; then the program's own words count, or that it left after the server's hello. Variants: `server-alert`,
        `client-alert`, `rejected`, `refused` (a database that has no TLS).
    Why it matters: no data was exchanged at all; a retry brings the same.
    What proves it: the alert's two bytes in clear, or the words of the TLS library.
    Not this: close_notify; plain text on the TLS port (protocol-mismatch); a peer that was silent until the program's own
        limit, during the handshake or after it (read-timeout).
    What to do: `openssl s_client -connect HOST:PORT -servername HOST`; update the CA bundle; never turn verification
        off.
    Source: RFC 8446 6.2
    """
    for socket in case.clients:
        messages = socket.messages
        if socket.app_protocol != "tls" and not any(m.protocol == "tls" for m in messages):
            yield from _tls_refused(case, socket)
        elif not any(isinstance(m, Mismatch) or (isinstance(m, NotTls) and not m.offset) for m in messages):
            alert = next((m for m in messages if isinstance(m, TlsAlert) and m.refuses), None)
            if alert is not None:
                yield from _alerted(case, socket, alert)
            elif any(isinstance(m, TlsHello) for m in messages) and all(m.protocol == "tls" for m in messages):
                yield from _rejected(case, socket)
    yield from refused_handshakes(case)


def _alerted(case: Case, socket: Socket, alert: TlsAlert) -> Iterator[Draft]:
    who = victim_of(case, socket, alert)
    if who is None:
        return
    sent = alert.direction == "sent"
    by = "our side refused the server's certificate or answer" if sent else "the server refused our side"
    told = f"the TLS handshake with {case.label(socket)} ended with the fatal alert {alert.name} ({alert.code}): {by}"
    events, words = [*first_and_last(socket), *alert.events], who.said.fitting(_TLS_WORDS)
    yield _failed(case, socket, who, events, words, "client-alert" if sent else "server-alert", f": {told}")


def _rejected(case: Case, socket: Socket) -> Iterator[Draft]:
    """No alert in clear: the program's words, its exit status, or that it left before it sent anything."""
    last = last_received(socket)
    if last is None:
        yield from _unseen(case, socket)
        return
    who = victim(case, case.process(socket), case.ended(last))
    if who is None or not any(isinstance(m, TlsHello) and not m.client for m in socket.messages):
        return
    if who.said.timed_out or _waited_in_vain(case, socket):
        return
    soon = soon_after(case, socket, who, case.ended(last))
    words = _TLS_WORDS if soon and re.search(_TLS_WORDS, who.said.line(_TLS_WORDS)) else None
    by_exit = who.process.exit_code in _TLS_EXITS.get(who.process.command, ())
    refused = soon and exchange_of(socket).refused
    if words is None and not by_exit and not refused and not (soon and _asked_nothing(socket)):
        return
    told = f": the TLS handshake with {case.label(socket)} did not come to an end that both accept"
    newest = any("1.3" in m.versions for m in socket.messages if isinstance(m, TlsHello) and not m.client)
    why = "alerts are encrypted in this version" if newest else "no alert is in clear"
    events = [*first_and_last(socket), last]
    if refused:
        told += ": the server asked for a client certificate, none was shown, and an alert was all that came then"
    finding = _failed(case, socket, who, events, words, "rejected", f"{told} ({why})")
    if refused:
        finding.causes = [*_FAULTS[116], "the job's configuration names no certificate and key, or not for this host"]
        finding.remedy = ["give the client its certificate and key (curl --cert and --key)"]
    yield finding


def _waited_in_vain(case: Case, socket: Socket) -> bool:
    """The peer was silent until the program gave up: nobody refused anybody."""
    stall = stall_of(case, socket)
    return stall is not None and stall.direction == "r" and bool(given_up_by(case, stall))


def _asked_nothing(socket: Socket) -> bool:
    """The client sent what belongs to the handshake, and no request."""
    sent = next((m for m in socket.messages if isinstance(m, TlsRecords) and m.direction == "sent"), None)
    nothing = sent is None or (sent.application_bytes in _NO_REQUEST and not sent.handshake_bytes)
    return nothing and bool(socket.sent.calls)


def _unseen(case: Case, socket: Socket) -> Iterator[Draft]:
    """The client's hello is in the log, what it read after it is not: the program's words must do."""
    sent = socket.turn.events[0] if socket.turn is not None and socket.turn.events else None
    if case.sees_read or sent is None:
        return
    who = victim(case, case.process(socket), case.ended(sent))
    if who is None or not who.said.has(_TLS_WORDS) or who.said.has(r"(?i)timed? ?out"):
        return
    if not is_last_word(case, who.receiver, case.ended(socket.timeline[-1]), socket):
        return
    told = f" began TLS with {case.label(socket)}, and what came back is not in this log (no read)"
    if who.said.has(_PLAIN_WORDS):
        told += "; by its words the peer does not speak TLS"
    yield _failed(case, socket, who, [sent], _TLS_WORDS, "unseen", told)


def _tls_refused(case: Case, socket: Socket) -> Iterator[Draft]:
    """A server that has no TLS, asked by a client that insists on it."""
    requests = (m for m in socket.messages if isinstance(m, Request) and m.protocol == "postgres")
    asked = next((request for request in requests if "TLS" in request.summary), None)
    if asked is None:
        return
    answer = socket.messages[-1]
    if not isinstance(answer, Reply) or "TLS refused" not in answer.summary:
        return
    who = victim_of(case, socket, answer)
    if who is None or not soon_after(case, socket, who, ended_at(case, answer)):
        return
    told = f": {case.label(socket)} was asked for TLS and answered that it has none"
    events, words = [*asked.events, *answer.events], who.said.fitting(_TLS_WORDS)
    yield _failed(case, socket, who, events, words, "refused", told)


def _failed(
    case: Case, socket: Socket, who: Victim, events: list[Event], words: str | None, variant: str, told: str
) -> Draft:
    """A handshake that the receiver failed of; `told` follows its name."""
    finding = accusation(case, "tls-error", socket, events, who, words)
    finding.variant, finding.confidence = variant, "confirmed" if variant in _IN_CLEAR else "likely"
    finding.summary = f"{case.name_of(who.receiver)}{told}; {effect(case, who, _TLS_WORDS)}."
    hello = next((m for m in socket.messages if isinstance(m, TlsHello) and m.client), None)
    name = (hello.sni if hello is not None else None) or socket.name
    alert = next((m for m in socket.messages if isinstance(m, TlsAlert) and m.refuses), None)
    finding.causes = list(_FAULTS.get(alert.code or 0, _UNKNOWN_FAULT) if alert is not None else _UNKNOWN_FAULT)
    finding.next_steps = [
        Step(
            f"openssl s_client -connect {word(str(socket.peer))}{f' -servername {word(name)}' if name else ''} </dev/null"
        )
    ]
    finding.remedy = ["renew or correct the certificate; update this host's CA bundle; don't turn verification off"]
    if alert is not None and alert.code in _FAULTS and alert.code not in _OF_CERTIFICATES:
        finding.remedy = [
            "let both sides agree on what the alert names: version, ciphers, server name, client certificate"
        ]
    finding.refuted_by = "the same handshake succeeding from this host with the same CA bundle"
    return finding
