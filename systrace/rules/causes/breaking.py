"""Connections that stood and then broke: reset, closed under a request, vanished (verdicts 4.4)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls.errnos import RESET, VANISHED
from systrace.messages.replies import Request
from systrace.model import Draft, Event, Fault, OptionGot, Socket, Step
from systrace.rules.advice.remedies import keepalive_remedies
from systrace.rules.case.ends import answer_was_due, end_without_answer, in_conversation, stood
from systrace.rules.case.index import SECOND, Case, where
from systrace.rules.case.kernel_word import Word, heed, word_on
from systrace.rules.case.sealed import is_sealed
from systrace.rules.case.stalls import Stall, exit_of
from systrace.rules.case.unfinished import path_died
from systrace.rules.case.waits import base, how_it_ended, stalls
from systrace.rules.content.sealed_words import said_within
from systrace.rules.examples import FAIL, FINE, REQUEST, replies
from systrace.rules.limits import forgotten
from systrace.rules.look import looked
from systrace.rules.rule import rule
from systrace.words import seconds


def _broken(case: Case, *errnos: str) -> Iterator[tuple[Socket, Fault]]:
    """Stream sockets of clients with their first error, where it is one of these."""
    for socket in case.clients:
        if socket.type in ("dgram", "raw") or not case.connected(socket):
            continue
        fault = case.first_error(socket)
        if fault is not None and fault.errno in errnos:
            yield socket, fault


def _events(socket: Socket, fault: Fault) -> list[Event]:
    return [*(socket.turn.events if socket.turn is not None else []), fault.event]


def _base(case: Case, cause: str, socket: Socket, fault: Fault) -> Draft:
    finding = case.finding(cause, socket, _events(socket, fault), severity="fatal", confidence="confirmed")
    finding.duration_ns = fault.since_request_ns
    finding.end_ns = case.ended(fault.event)
    return finding


@rule("reset-by-peer", on_path=True, fires=REQUEST
      + "9 1.2 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = -1 ECONNRESET (Connection reset by peer) <0.2>\n" + FAIL,
      silent=REQUEST + replies() + FINE)  # fmt: skip
def reset_by_peer(case: Case) -> Iterator[Draft]:
    """The connection stood and was torn down by a reset.

    What it is: ECONNRESET on a receive or send. Variants by phase: `before-request`, `at-request` (no byte of answer),
        `mid-answer`, `while-sending`.
    Why it matters: somebody decided to drop the connection at once: the peer, or a box on the path; data may be lost.
    What proves it: the errno on an established connection. Who sent the reset cannot be told from calls.
    Not this: a reset after a long silence (idle-timeout); a peer's orderly end (empty-reply, stale-connection); a reset
        that a retry made good (recovered-error).
    What to do: the peer's log at that second (crash, deploy, limit); compare the TTL of the reset with that of its data.
    Source: recv(2), tcp(7), RFC 9293 3.5.2
    """
    for socket, fault in _broken(case, *RESET):
        finding = _base(case, "reset-by-peer", socket, fault)
        if fault.answered:
            finding.variant, what = "mid-answer", f"in the middle of the answer, after {fault.answered} bytes of it"
        elif fault.direction == "w":
            finding.variant, what = "while-sending", f"while {fault.sent_before} bytes had been sent"
        elif fault.unanswered:
            what = f"{seconds(fault.since_request_ns)} after the request, before any answer"
            finding.variant = "at-request"
        else:
            finding.variant, what = "before-request", "before anything was sent"
        finding.summary = f"{case.user(socket)}: the connection to {case.label(socket)} was reset {what}."
        finding.causes = [
            "the server process crashed, was restarted or refused this request (limit, WAF, protocol)",
            "a load balancer without a healthy target, or a box on the path, sent the reset",
            "the server closed while data from us was still unread",
        ]
        resets = f"host {where(socket.peer)[0]} and tcp[tcpflags] & tcp-rst != 0"
        finding.causes[:0] = _too_large(socket, fault)
        finding.next_steps = [
            Step(why="the server's log at that second"),
            Step(f"tcpdump -nvi any '{resets}'", "is its TTL that of the data packets?"),
        ]
        finding.remedy = ["retry requests that may be repeated, with back-off", "repair what resets"]
        finding.refuted_by = "an orderly end (FIN) in a packet capture of that time"
        yield finding
    yield from _reset_at_once(case)


_SIZE_LIMITS = {"mysql": "max_allowed_packet", "http": "client_max_body_size, LimitRequestBody, 413"}
_SMALLEST_LIMIT = 1 << 20  # bytes: nginx's default, and MySQL's before 5.6.6


def _too_large(socket: Socket, fault: Fault) -> list[str]:
    """Servers cut off what is larger than they take, often without a word that still arrives."""
    limit = _SIZE_LIMITS.get(socket.app_protocol or "")
    asked = fault.sent_before if socket.turn is None else socket.turn.request_bytes
    declared = [m.declared_length or 0 for m in socket.messages if isinstance(m, Request) and not m.complete]
    size = max(asked, *declared, 0)
    if limit is None or fault.answered or fault.direction != "w" or size < _SMALLEST_LIMIT:
        return []
    return [f"the request ({size} bytes) is larger than the server takes ({limit})"]


def _reset_at_once(case: Case) -> Iterator[Draft]:
    """The connection was accepted and reset before the program, which had connected without waiting, asked how it went."""
    for socket in case.clients:
        attempt = next((a for a in socket.attempts if a.outcome == "failed" and a.errno == "ECONNRESET"), None)
        if attempt is None or socket.type in ("dgram", "raw"):
            continue
        finding = case.finding("reset-by-peer", socket, attempt.events)
        finding.severity, finding.confidence, finding.variant = "fatal", "confirmed", "before-request"
        finding.duration_ns = attempt.duration_ns
        finding.summary = (
            f"{case.user(socket)}: {case.label(socket)} took the connection and reset it at once: the "
            "program asked for the outcome of its connect and got ECONNRESET (a closed port would give ECONNREFUSED)."
        )
        finding.causes = [
            "a load balancer or proxy without a healthy server behind it",
            "an access list of the server, or its limit of connections",
        ]
        finding.next_steps = [Step(why="the server's log at that second")]
        finding.remedy = ["repair what resets; retry with back-off"]
        finding.refuted_by = "the port being closed in a packet capture of that time"
        yield finding


@rule("stale-connection", over=("reset-by-peer", "broken-pipe"), fires=REQUEST + replies()
      + '9 6.1 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'
      '9 6.2 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.001>\n' + FAIL,
      silent=REQUEST + replies() + '9 6.2 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.001>\n' + FINE)  # fmt: skip
def stale_connection(case: Case) -> Iterator[Draft]:
    """A kept connection was used again after the peer had closed it.

    What it is: at least one exchange had worked; after a pause the next request went out, and end of file (or a reset,
        or EPIPE) came instead of an answer.
        Of a running process (attach), `close-wait`: the peer has closed many, and the program none.
    Why it matters: the client keeps connections longer than the server or load balancer does; the request may be lost.
    What proves it: the earlier exchange, the pause, and an end without one byte of the new answer.
    Not this: an end on a connection's first request (empty-reply); a reset after 350 s and more (idle-timeout).
    What to do: client idle limit below the server's keep-alive; retry once where a request may be repeated.
    Source: RFC 9112 9.6; verdicts of FIN and RST after a pause: tcp(7)
    """
    yield from looked(case, "stale-connection")
    for socket in case.clients:
        fault = _end_of_reuse(case, socket)
        if fault is None:
            continue
        finding = _base(case, "stale-connection", socket, fault)
        if fault.kind == "eof":
            finding.confidence, finding.variant, came = "confirmed", "closed", "the end: the peer had closed it."
        else:
            finding.confidence, finding.variant, came = "likely", "reset", f"{fault.errno}: it was no longer there."
        finding.summary = (
            f"{case.user(socket)} used its connection to {case.label(socket)} again after a pause of "
            f"{seconds(fault.idle_ns)}; instead of an answer came {came}"
        )
        finding.causes = [
            "the server's or load balancer's keep-alive time is shorter than the client's",
            "the server was restarted in the pause",
        ]
        finding.next_steps = [
            Step(why="compare the pause with the server's keep-alive (5, 20, 60, 65, 75 s are usual)")
        ]
        finding.remedy = ["client: idle limit below the server's; check before reuse; retry once if repeatable"]
        finding.refuted_by = "the server having received and refused this very request"
        yield finding


def _end_of_reuse(case: Case, socket: Socket) -> Fault | None:
    """What came in place of the answer to a later request: the peer's end, or an error after a pause."""
    if not stood(case, socket):
        return None
    end = case.end_of_file(socket)
    if end is not None and in_conversation(socket, end):
        return None
    if end is not None and end.unanswered and end.turn >= 2:
        return end if end.errno or answer_was_due(case, socket) else None
    fault = case.first_error(socket)
    if fault is None or fault.errno not in ("ECONNRESET", "EPIPE") or not _is_reuse(fault):
        return None
    reset_after_end = end is not None and fault.errno == "ECONNRESET"  # the peer had gone before: no pause is needed
    return fault if reset_after_end or (fault.idle_ns or 0) >= SECOND else None


def _is_reuse(fault: Fault) -> bool:
    """It met a request behind one that was answered; a send that fails begins no turn of its own."""
    if fault.direction == "w" and fault.answered and not fault.unanswered:
        return True
    return fault.turn >= 2 and _at_request(fault)


def _at_request(fault: Fault) -> bool:
    """It met a request that had no answer yet, or its sending."""
    return not fault.answered and (bool(fault.unanswered) or fault.direction == "w")


@rule("broken-pipe", on_path=True, fires=REQUEST + "9 2.2 write(3, \"x\", 1) = -1 EPIPE (Broken pipe) <0.01>\n"
      "9 2.3 +++ killed by SIGPIPE +++",
      silent='9 1.0 write(1<pipe:[7]>, "x", 1) = -1 EPIPE (Broken pipe) <0.01>\n9 1.1 +++ killed by SIGPIPE +++')  # fmt: skip
def broken_pipe(case: Case) -> Iterator[Draft]:
    """The program wrote to a connection that the peer had closed.

    What it is: EPIPE on a socket, often with SIGPIPE, of which a program dies without a word (exit 141 in a shell).
    Why it matters: what was being sent is lost; a vanished batch job is often this.
    What proves it: the errno on a socket; `+++ killed by SIGPIPE +++`.
    Not this: EPIPE on a pipe (`| head`), a SIGPIPE line that the program ignores; what came first (a reset, an end
        before the request) outranks it.
    What to do: read the peer's answer before sending on; find out why it closed.
    Source: write(2), signal(7)
    """
    for socket, fault in _broken(case, "EPIPE"):
        end = case.end_of_file(socket)
        finding = _base(case, "broken-pipe", socket, fault)
        process = case.process(socket)
        died = process is not None and process.signal == "SIGPIPE"
        if end is not None:
            finding.evidence.insert(0, end.event)
        finding.evidence += exit_of(process) if died else []
        finding.summary = (
            f"{case.name_of(process)} wrote to {case.label(socket)} after the peer had closed the connection (EPIPE after "
            f"{fault.sent_before} bytes sent, {fault.received_before} received)"
            + ("; SIGPIPE killed it without a message." if died else ".")
        )
        finding.causes = ["the server refused the rest (size limit, error answer sent early) and closed", "it crashed"]
        finding.causes[:0] = _too_large(socket, fault)
        finding.next_steps = [Step(f"systrace follow LOG --socket {socket.uid}", "what the peer said before it closed")]
        finding.remedy = ["handle EPIPE: stop sending, read the answer; ignore SIGPIPE in the program"]
        finding.refuted_by = "an error on this connection before the write"
        yield finding


@rule("peer-vanished", on_path=True, fires=REQUEST
      + "9 1.2 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = -1 ETIMEDOUT (Connection timed out) <939.6>\n" + FAIL,
      silent=REQUEST + replies() + FINE)  # fmt: skip
def peer_vanished(case: Case) -> Iterator[Draft]:
    """An established connection died without a packet from the peer.

    What it is: ETIMEDOUT (or a late EHOSTUNREACH, ENETUNREACH, even ECONNREFUSED) on a receive or send: the kernel's
        retransmissions, keepalive probes or TCP_USER_TIMEOUT gave up; or the wait was ended before that, and the kernel's
        readings say that nothing came back. Variants: `retransmission`, `keepalive`.
        Of a running process (attach), `retransmitting`: what was sent is repeated now, and nothing acknowledges it.
    Why it matters: the peer or the path is gone; nobody closed anything.
    What proves it: the errno on a connection that stood, long after the last byte.
    Not this: ETIMEDOUT on connect (connect-timeout); the same after a silence of 350 s (idle-timeout).
    What to do: find what died: instance, NAT, firewall state, cable; keepalive and TCP_USER_TIMEOUT notice it sooner.
    Source: tcp(7) tcp_retries2, TCP_KEEPIDLE, TCP_USER_TIMEOUT
    """
    yield from looked(case, "peer-vanished")
    for socket, fault in _broken(case, *VANISHED):
        if _may_never_have_stood(socket, fault):
            continue
        finding = _base(case, "peer-vanished", socket, fault)
        keepalive = not fault.unanswered and socket.keepalive.on
        finding.variant = "keepalive" if keepalive else "retransmission"
        wait = next((w for w in reversed(socket.waits) if w.ended_by == fault.errno), None)
        finding.duration_ns = wait.duration_ns if wait is not None else fault.since_request_ns
        why = "keepalive probes went unanswered" if keepalive else "what was sent was never acknowledged"
        finding.summary = (
            f"{case.user(socket)}: the connection to {case.label(socket)} stood, then the kernel gave it up "
            f"with {fault.errno} after {seconds(finding.duration_ns)}: {why}; no end and no reset came."
        )
        _path_advice(case, finding, socket)
        yield finding
    for direction in "rw":
        for stall in stalls(case, direction):
            word = word_on(stall)
            if word is not None and path_died(case, stall, word) and not forgotten(case, stall):
                yield _unheard(case, stall, word)


def _unheard(case: Case, stall: Stall, word: Word) -> Draft:
    """The wait was ended before the kernel gave up, and the kernel had said by then that nothing came back."""
    finding = base(case, "peer-vanished", stall)
    finding.variant = "keepalive" if word.kind == "unanswered probes" else "retransmission"
    what = (
        "its keepalive probes went unanswered"
        if finding.variant == "keepalive"
        else "what was sent was never acknowledged"
    )
    finding.summary = (
        f"{case.name_of(stall.process)} waited {seconds(stall.waited_ns)} on its connection to {case.label(stall.socket)} "
        f"({how_it_ended(stall)}): {what}. The path, or the peer's host, was dead then; its program is not at fault."
    )
    _path_advice(case, finding, stall.socket)
    heed(finding, word)
    return finding


def _path_advice(case: Case, finding: Draft, socket: Socket) -> None:
    finding.causes = ["the peer's host died or was stopped", "the path died: NAT, firewall state, route"]
    host, _ = where(socket.peer)
    finding.next_steps = [
        Step(f"ping -c3 {host}; ip route get {host}"),
        Step(why="the peer's uptime and logs at that time"),
    ]
    finding.remedy = [
        "TCP_USER_TIMEOUT of 30-60 s to notice sooner",
        *keepalive_remedies(case, case.process(socket), socket)[:1],
    ]
    finding.refuted_by = "an acknowledgement of the peer in a packet capture of that time"


def _may_never_have_stood(socket: Socket, fault: Fault) -> bool:
    """What is told of a connection whose begin the log does not show may be the outcome of its connect: SO_ERROR is asked for
    that before a byte moves, and a refusal answers nothing else, as a rule (RFC 9293 3.10.7.1).
    """
    if socket.attempts:
        return False
    moved = fault.sent_before or fault.received_before
    return fault.errno == "ECONNREFUSED" or (not moved and isinstance(fault.event, OptionGot))


@rule("empty-reply", on_path=True, fires=REQUEST + '9 1.2 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.02>\n' + FAIL,
      silent=REQUEST + replies() + '9 6.2 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.001>\n' + FINE)  # fmt: skip
def empty_reply(case: Case) -> Iterator[Draft]:
    """The peer took the request and closed in order, without one byte of an answer.

    What it is: a request sent, then end of file; variant `greeting`: the client waited for the server's first word, and the
        end came in its place; `later`: requests before it on this connection were answered, the last one just now; `tls`:
        within TLS, where the program's own words tell that nothing came.
    Why it matters: the server gave up on this request (crash, limit), or it speaks another protocol on that port.
    What proves it: receive returned 0 after the request, nothing before it.
    Not this: the same on a connection that had rested (stale-connection); a reset (reset-by-peer).
    What to do: the server's log for this request; check port and protocol (TLS or not).
    Source: recv(2)
    """
    yield from said_within(case, "empty-reply")
    for socket in case.clients:
        end = end_without_answer(case, socket)
        if end is None:
            continue
        finding = _base(case, "empty-reply", socket, end)
        if socket.inherited:
            finding.confidence = "likely"  # it may have answered before the log begins
        who, label = case.user(socket), case.label(socket)
        if end.sent_before:
            why = "the server crashed or gave up on this request"
            sent, after = end.unanswered or end.sent_before, seconds(end.since_request_ns)
            closed = f"after {after} the peer closed the connection without one byte of an answer."
            finding.summary = f"{who} sent {sent} bytes to {label}; {closed}"
            if end.turn >= 2 and not is_sealed(socket):  # there the handshake was answered
                finding.variant = "later"
                finding.summary += f" It had answered before ({end.turn - 1} times)."
        else:
            finding.variant = "greeting"
            why = "the server does not serve this client (access list, connection limit), or is stopping"
            before = "nothing had been sent either way" if case.sees_close else "what had been sent the log hides"
            waited = f"{who} waited for the first word of {label}"
            finding.summary = f"{waited}; the peer closed the connection without one byte ({before})."
        finding.causes = [
            why,
            "another protocol is spoken there (plain to a TLS port, HTTP to a database)",
            "a load balancer without a healthy target",
        ]
        finding.next_steps = [
            Step(why="the server's log for this request"),
            Step(f"openssl s_client -connect {socket.peer or 'HOST:PORT'} </dev/null", "does the port speak TLS?"),
        ]
        finding.remedy = ["repair the server; check scheme and port in the job's configuration"]
        finding.refuted_by = "bytes of an answer in a packet capture"
        yield finding
