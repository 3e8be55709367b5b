"""Waits that nothing in the program will ever end (verdicts 4.4): for a peer, or for a path that forgot the connection."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls import SOCKET_OPTIONS, WRITES
from systrace.keepalive import KEEPALIVE_IDLE_S
from systrace.model import Draft, Fault, Socket, Step
from systrace.rules.advice.probes import watch
from systrace.rules.advice.remedies import advise_local, keepalive_remedies, lost_on_path, timeout_remedies
from systrace.rules.case.elsewhere import ServerWord, answer_lost, blames_server
from systrace.rules.case.index import Case, where
from systrace.rules.case.kernel_word import Word, heed, word_on
from systrace.rules.case.polling import asked_in_vain
from systrace.rules.case.stalls import Stall
from systrace.rules.case.unfinished import awaits_end, is_hang, path_died
from systrace.rules.case.waits import CUT, base, how_it_ended, hung_at_attach, stalls, what
from systrace.rules.examples import REQUEST, exits, replies
from systrace.rules.limits import clears, forgotten, goes_far, limit_passed, limits_below, silent_limit_ns
from systrace.rules.look import looked
from systrace.rules.rule import rule
from systrace.words import seconds


@rule(
    "hung-read",
    endless=True,
    on_path=True,
    no_answer=True,
    fires=REQUEST + "9 1.2 recvfrom(3, <unfinished ...>\n7 60.0 +++ exited with 0 +++",
    silent=REQUEST + replies("2.2") + exits("4.0"),
)
def hung_read(case: Case) -> Iterator[Draft]:
    """The program waits for its peer with no limit; it was still waiting when the log ended or it was stopped.

    What it is: the last call is an endless wait (recv, read, poll with -1 or a limit not yet due) on a standing
        connection.
        Of a running process (attach), `no-deadline`, `keepalive` (probes would end it), `peer-silent` (the peer's host
        answers probes, its program does not), `pending` (a datagram); at rest, and no hang: `accept`, `server`,
        `resting`, `messages`.
    Why it matters: nothing in the program will ever end this wait.
    What proves it: the unfinished call, the time since the last byte, no SO_RCVTIMEO, no alarm.
    Not this: a wait that the program's own limit ended (read-timeout); 350 s and more without keepalive on a path that
        may hold a NAT gateway (idle-timeout).
    What to do: a read timeout in the client, and keepalive; never an endless read in a batch job.
    Source: recv(2), poll(2), socket(7)
    """
    yield from looked(case, "hung-read")
    for stall in stalls(case, "r"):
        word, server = word_on(stall), blames_server(case, stall)
        elsewhere = _idle_limit_fits(case, stall, word) or path_died(case, stall, word) or answer_lost(case, stall)
        if not is_hang(case, stall) or elsewhere:
            continue
        finding = base(case, "hung-read", stall)
        only_end = stall.phase == "idle" and awaits_end(stall.socket, stall.span)
        sure = stall.seen and (only_end or stall.phase != "idle") and not stall.cut
        finding.confidence = "likely" if sure else "possible"
        ended = how_it_ended(stall)
        waited = "" if ended == CUT else f"{seconds(stall.waited_ns)} "
        finding.summary = (
            f"{case.name_of(stall.process)} waited {waited}for {what(stall)} from "
            f"{case.label(stall.socket)}, {_own_limit(stall)} ({ended})."
        )
        finding.causes = [
            "the server is working, stuck, or has lost the request",
            lost_on_path(
                stall.socket, "the connection is gone on the path and nobody told this side (no keepalive probes)"
            ),
        ]
        finding.next_steps = _where_to_look(stall)
        finding.remedy = [
            *timeout_remedies(case, stall.process, stall.socket),
            *keepalive_remedies(case, stall.process, stall.socket),
        ]
        if only_end:
            finding.causes = ["the server keeps the connection open, though it was asked to close it (RFC 9112 9.6)"]
            finding.remedy.insert(0, "read as much as Content-Length says, and wait for no end")
        finding.refuted_by = "an answer that would have come had the job been left alone"
        clear = clears(case, stall, word) and stall.phase != "idle"
        if word is not None and clear:
            finding.causes = [word.its_program]
            finding.next_steps = [step for step in finding.next_steps if not step.command.startswith("tcpdump")]
        heed(finding, word, proves=clear)
        if server is not None:
            finding.causes = [server.its_program]
            finding.confidence = "confirmed" if server.sure else finding.confidence
        advise_local(case, finding, stall.socket)
        yield finding
    yield from _polled(case)


def _where_to_look(stall: Stall) -> list[Step]:
    """At the wait and, on the peer's host, at the other end."""
    host, port = where(stall.socket.peer, port="0")
    return [
        Step(f"tcpdump -ni any host {host} and port {port}", "while it hangs: does anything come at all?")
        if hung_at_attach(stall) and port
        else watch(stall.process, "is anything outstanding, is keepalive on?"),
        Step(f"ss -tn 'sport = :{port}'", f"on {host}: its side of this connection; its log for this request")
        if port and port != "0"
        else Step(why="on the peer: its side of this connection; its log for this request"),
    ]


def _polled(case: Case) -> Iterator[Draft]:
    """It waits without blocking: EAGAIN, a sleep, and again."""
    for socket, repeat in asked_in_vain(case):
        process = case.process(socket)
        finding = case.finding("hung-read", socket, [repeat.first, *repeat.calls], process)
        finding.variant, finding.severity, finding.confidence = "no-answer", "fatal", "likely"
        last, over = socket.last_progress_ns, case.last_ns
        finding.duration_ns = over - last if over is not None and last is not None else repeat.duration_ns
        finding.end_ns = over
        finding.summary = (
            f"{case.name_of(process)} waited {seconds(finding.duration_ns)} for the answer of {case.label(socket)}: it tries "
            f"to receive, is told EAGAIN and pauses, {repeat.rounds} times in this log, with no limit that the log shows."
        )
        finding.causes = ["the server is working, stuck, or has lost the request"]
        finding.next_steps = [watch(process, "is anything outstanding, is keepalive on?")]
        finding.remedy = ["give the loop a limit", *keepalive_remedies(case, process, socket)]
        finding.refuted_by = "an answer that would have come had the job been left alone"
        yield finding


@rule(
    "idle-timeout",
    endless=True,
    ends=("unacknowledged",),
    on_path=True,
    no_answer=True,
    over=("reset-by-peer", "stale-connection", "broken-pipe", "peer-vanished"),
    proven_by=("path-limit",),
    fires=REQUEST + "9 1.2 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <411.2>\n"
    "9 412.5 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---\n9 412.6 +++ killed by SIGTERM +++",
    silent="9 0.9 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0 <0.01>\n"
    "9 0.9 setsockopt(3, SOL_TCP, TCP_KEEPIDLE, [60], 4) = 0 <0.01>\n"
    + REQUEST
    + "9 1.2 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <411.2>\n"
    "9 412.5 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---\n9 412.6 +++ killed by SIGTERM +++",
)
def idle_timeout(case: Case) -> Iterator[Draft]:
    """Something on the path (NAT gateway, load balancer, firewall) seems to have forgotten the connection while it idled.

    What it is: variant `waiting`: a wait of 350 s or more without keepalive; variant `reset`: after such a silence the
        next packet was answered by a reset; variant `silent`: after it, nothing came back at all; `unacknowledged`: the
        same, until the program's own limit ended the wait: the kernel says so; `answer-lost`: the server's own log has the
        answer, and it never came.
    Why it matters: neither end is at fault and neither is told: a waiting reader waits for ever, and curl cannot
        reproduce it because curl turns keepalive on.
    What proves it: the silence before the failure, keepalive off (or its first probe later than the limit), and no end of
        file from the peer. The log cannot show the box itself: it is named only as a possibility.
    Not this: a peer that closed (end of file: stale-connection); keepalive with an idle time below the limit.
    What to do: keepalive well below the limit (60 to 240 s) on this socket; for limits of HTTP proxies data, not keepalive.
    Source: AWS NAT gateway and NLB guides (350 s), Azure load balancer (240 s), tcp(7); catalogue: idle_limits.toml
    """
    yield from looked(case, "idle-timeout")
    for stall in stalls(case, "r"):
        word, server = word_on(stall), answer_lost(case, stall)
        if server is not None:
            yield _answer_lost(case, stall, server)
            continue
        if word is not None and path_died(case, stall, word):
            if forgotten(case, stall):
                yield _forgotten(case, stall, word)
            continue
        if not is_hang(case, stall) or not _idle_limit_fits(case, stall, word):
            continue
        finding = base(case, "idle-timeout", stall)
        finding.variant, finding.confidence = "waiting", "likely" if case.shows(SOCKET_OPTIONS) else "possible"
        fits = limits_below(case, stall.waited_ns, stall.socket)
        finding.summary = (
            f"{case.name_of(stall.process)} waited {seconds(stall.waited_ns)} for {what(stall)} from "
            f"{case.label(stall.socket)} ({how_it_ended(stall)}); keepalive "
            f"{_keepalive_words(case, stall.socket)}. {fits}"
        )
        _idle_advice(case, finding, stall.socket)
        yield finding
    yield from _after_silence(case)


def _after_silence(case: Case) -> Iterator[Draft]:
    for socket in case.clients:
        fault = _error_after_silence(case, socket)
        if fault is None:
            continue
        events = [*(socket.turn.events if socket.turn is not None else []), fault.event]
        finding = case.finding("idle-timeout", socket, events, severity="fatal", confidence="likely")
        finding.variant, reply = "silent", f"nothing until {fault.errno}"
        if fault.errno == "ECONNRESET":
            finding.variant, reply = "reset", "a reset"
        finding.duration_ns = fault.idle_ns
        keepalive = _keepalive_words(case, socket)
        finding.summary = (
            f"{case.user(socket)}: the connection to {case.label(socket)} was silent for {seconds(fault.idle_ns)}; the next "
            f"request was answered by {reply}, with no orderly end before; keepalive {keepalive}. "
            f"{limits_below(case, fault.idle_ns, socket)}"
        )
        _idle_advice(case, finding, socket)
        yield finding


def _error_after_silence(case: Case, socket: Socket) -> Fault | None:
    """The error that met a request after a silence as long as a limit on the path."""
    fault, limit = case.first_error(socket), silent_limit_ns(case, socket)
    if fault is None or limit is None or not goes_far(socket) or case.end_of_file(socket):
        return None
    if fault.idle_ns is None or fault.idle_ns < limit * 0.98 or fault.answered:
        return None
    if not fault.unanswered and not case.shows(WRITES):
        return None  # when the last request went out is not in the log
    told = fault.errno in ("ECONNRESET", "ETIMEDOUT") or (fault.errno == "EPIPE" and fault.unanswered)
    return fault if told else None


def _idle_advice(case: Case, finding: Draft, socket: Socket) -> None:
    host, _ = where(socket.peer)
    finding.causes = [
        "a NAT gateway, load balancer or firewall on the path forgot the idle connection",
        "the server is still working on the request, or lost it (its own log tells)",
    ]
    finding.next_steps = [
        Step(f"ss -tnoi dst {host}", "while it hangs; no timer: nobody will notice; lastsnd/lastrcv tell the silence"),
        Step(why="if a NAT gateway or NLB is in the path: its metrics IdleTimeoutCount, TCP_ELB_Reset_Count"),
        Step(why="reproduce without curl (it sets keepalive itself): idle 340 s against 360 s"),
    ]
    finding.remedy = keepalive_remedies(case, case.process(socket), socket)
    finding.refuted_by = "a successful exchange after a longer silence on the same path"


def _idle_limit_fits(case: Case, stall: Stall, word: Word | None) -> bool:
    if (word is not None and word.alive) or blames_server(case, stall) is not None:
        return False  # something on the path still knows the connection
    return limit_passed(case, stall.socket, stall.waited_ns)


def _forgotten(case: Case, stall: Stall, word: Word) -> Draft:
    """The first packet after the silence was never acknowledged: the kernel proves what the calls only suggest."""
    socket = stall.socket
    finding = base(case, "idle-timeout", stall)
    before = socket.turn.idle_before_ns if socket.turn is not None else None
    silence = before if limit_passed(case, socket, before) else stall.waited_ns
    finding.variant = "silent" if is_hang(case, stall) else "unacknowledged"
    finding.summary = (
        f"{case.user(socket)}: the connection to {case.label(socket)} was silent for {seconds(silence)}; what was sent after "
        f"that was never acknowledged; keepalive {_keepalive_words(case, socket)}. {limits_below(case, silence, socket)}"
    )
    _idle_advice(case, finding, socket)
    finding.causes = finding.causes[:1]
    heed(finding, word)
    return finding


def _answer_lost(case: Case, stall: Stall, server: ServerWord) -> Draft:
    """The server's log proves what the calls only suggest, and bounds it: the answer was sent, and never arrived."""
    socket = stall.socket
    finding = base(case, "idle-timeout", stall)
    finding.variant, finding.severity = "answer-lost", "fatal"
    finding.confidence = "confirmed" if server.sure else "likely"
    finding.summary = (
        f"{case.user(socket)}: {case.label(socket)} answered after {seconds(server.after_ns)}, and not one byte of that came "
        f"in the {seconds(stall.waited_ns)} that were waited ({how_it_ended(stall)}): the path lost the connection within "
        f"{seconds(server.after_ns)} of silence; keepalive {_keepalive_words(case, socket)}. "
        f"{limits_below(case, server.after_ns, socket)}"
    )
    _idle_advice(case, finding, socket)
    finding.causes = finding.causes[:1]
    finding.refuted_by = "the answer's packets in a capture on this host"
    return finding


def _own_limit(stall: Stall) -> str:
    if stall.limit_ns is None or stall.limit_ns <= (stall.waited_ns or 0):  # slices of a loop are no limit
        return "with no limit of its own"
    return f"within its own limit of {seconds(stall.limit_ns)} ({stall.limit_source})"


def _keepalive_words(case: Case, socket: Socket) -> str:
    keepalive = socket.keepalive
    if keepalive.on:
        idle = keepalive.idle_s or case.host_keepalive_s
        usual = f"at the system's idle time ({KEEPALIVE_IDLE_S} s unless changed)"
        return f"on, but only after {idle} s" if idle else f"on, {usual}"
    if keepalive.on is None and not case.shows(SOCKET_OPTIONS):
        return "unknown (no option of a socket is in this log)"
    if keepalive.on is None and socket.inherited:
        return "unknown (the socket was open before the trace)"
    return "off"
