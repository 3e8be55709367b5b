"""Connections that stood, and a wait that nothing came of (verdicts 4.4)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import DETACHED, Fact, Finding, Sent, Socket
from systrace.rules import other_end, rule
from systrace.rules.advice import keepalive_remedies, timeout_remedies
from systrace.rules.case import SECOND, Case, seconds
from systrace.rules.clients import client_note
from systrace.rules.limits import matching_limits, silent_limit_ns
from systrace.rules.stalls import Stall, awaits_clients, stall_of
from systrace.rules.unfinished import gave_up_on_stream, is_slow_transfer, last_moment, only_watched
from systrace.shell import word

_HUNG_NS = SECOND  # a wait cut off by the end of the log says nothing before a second has passed
_OWN_LIMIT_NS = SECOND // 20

_REQUEST = '9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n' \
    '9 1.1 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'  # fmt: skip
_ANSWER = '9 2.2 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096, 0, NULL, NULL) = 38 <0.001>\n'


def _stalls(case: Case, direction: str) -> Iterator[Stall]:
    for socket in case.clients:
        if case.is_dns(socket):
            continue
        stall = stall_of(case, socket)
        if stall is None or stall.direction != direction:
            continue
        if stall.phase == "idle" and only_watched(stall):
            continue
        if socket.inherited and socket.turn is None and socket.last_word != "ours" and _serves(case, stall):
            continue  # a pool at rest, the channel to a parent: what is waited for are clients
        if socket.family == "unix" and socket.inherited and not _hung_at_attach(stall):
            continue  # standard input or the like, given by whoever started the job
        yield stall


def _serves(case: Case, stall: Stall) -> bool:
    return stall.process is not None and awaits_clients(case, stall.process)


def _hung_at_attach(stall: Stall) -> bool:
    """The kernel's own tables showed this wait before the trace began: the process was attached to because of it."""
    return stall.span is not None and isinstance(stall.span.events[0], Fact)


def _what(stall: Stall) -> str:
    socket = stall.socket
    if stall.phase == "greeting" and socket.family == "unix" and socket.inherited:
        return "anything"
    if stall.phase == "greeting" and socket.inherited and not socket.attempts:
        return "data (what was said before the trace is not in the log)"
    if stall.phase == "greeting":
        return "the first word of the server (nothing had been sent either way)"
    if stall.phase == "middle":
        received = socket.turn.answer_bytes if socket.turn is not None else 0
        return f"the rest of an answer that had begun ({received} bytes had come)"
    if stall.phase == "idle":
        return "more data (the last answer was complete as far as can be seen)"
    sent = socket.turn.request_bytes if socket.turn is not None else 0
    return f"the answer to its request of {sent} bytes (not one byte came)"


def _base(case: Case, cause: str, stall: Stall) -> Finding:
    finding = case.finding(cause, stall.socket, stall.events, stall.process)
    finding.severity, finding.duration_ns = "fatal", stall.waited_ns
    finding.variant = {"answer": "no-answer", "middle": "mid-answer"}.get(stall.phase, stall.phase)
    if stall.span is not None and stall.span.end_ns is None and case.last_ns is not None:
        finding.end_ns = case.last_ns
    return finding


@rule(
    "read-timeout",
    fires=_REQUEST + "9 1.2 poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.005>\n9 6.3 close(3) = 0 <0.0001>\n"
    "9 6.4 +++ exited with 1 +++",
    silent=_REQUEST
    + "9 1.2 poll([{fd=3, events=POLLIN}], 1, 5000) = 1 ([{fd=3, revents=POLLIN}]) <1.005>\n"
    + _ANSWER
    + "9 6.4 +++ exited with 0 +++",
)
def read_timeout(case: Case) -> Iterator[Finding]:
    """The connection stood, the request was out, and the answer did not come before the program's own limit.

    What it is: a wait (poll, select, epoll, SO_RCVTIMEO, SIGALRM; slices are summed) ended by the limit that the program
        had set. Variants: `no-answer`, `mid-answer` (it had begun), `greeting` (the server never said its first word).
    Why it matters: the network reported no error; the limit is the program's, the slowness is the other side's or the
        path's.
    What proves it: the wait's result `= 0 (Timeout)`, EAGAIN after the limit on a blocking socket, or SIGALRM in the
        wait; no byte since.
    Not this: poll ticks after which the data came; a keep-alive connection that idles without an open request.
    What to do: find out what the server did in that time; raise this one limit, by its name, only where the answer may
        rightly take that long.
    Source: poll(2), socket(7) SO_RCVTIMEO
    """
    for stall in _stalls(case, "r"):
        if stall.phase == "idle" and gave_up_on_stream(case, stall):
            stall.phase = "middle"
        if stall.phase == "idle" or is_slow_transfer(case, stall.socket):
            continue
        own = stall.ended == "limit" and (stall.waited_ns is None or stall.waited_ns >= _OWN_LIMIT_NS)
        alarm = stall.ended == "signal SIGALRM" or stall.limit_source == "SIGALRM"
        gave_up = stall.ended in ("close", "exit") and (stall.waited_ns is None or stall.waited_ns >= SECOND)
        if own and stall.waited_ns is None and stall.phase == "middle" and case.fate(stall.process) == "ok":
            continue  # without a clock a tick of its loop looks like its limit
        if gave_up and not own:
            gave_up = case.fate(stall.process) == "failed"
        if not (own or alarm or gave_up):
            continue
        finding = _base(case, "read-timeout", stall)
        finding.confidence = "confirmed" if own or alarm else "likely" if stall.seen else "possible"
        name = case.name_of(stall.process)
        limit = stall.limit_ns or stall.waited_ns
        how = f", as set by the program ({stall.limit_source})" if own or alarm else ""
        finding.summary = (
            f"{name} waited {seconds(stall.waited_ns)} for {_what(stall)} from {case.label(stall.socket)}; then it gave "
            f"up{how}. The network reported no error."
        )
        note = client_note(case, stall.process, limit, "read") if own else ""
        if note:
            finding.summary += f" {note}"
        host, port = (stall.socket.peer.host, stall.socket.peer.port) if stall.socket.peer else ("HOST", 0)
        finding.causes = [
            "the server is slow for this request, or stuck",
            "the server or something on the path lost the connection without a word",
            f"the limit of {seconds(limit)} is too short for what was asked",
        ]
        finding.next_steps = [
            "# look up this request in the server's access log: did it arrive, how long did it take, was the answer sent?",
            *_repeated(stall.socket, "%{time_starttransfer}"),
            f"nc -vz -w5 {host} {port}",
        ]
        finding.remedy = timeout_remedies(case, stall.process)
        finding.refuted_by = "bytes of the answer in a packet capture of that time"
        yield finding


@rule(
    "slow-transfer",
    fires=_REQUEST
    + '9 1.3 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\na", 99, 0, NULL, NULL) = 39 <0.01>\n'
    '9 2.3 recvfrom(3, "b", 99, 0, NULL, NULL) = 1 <0.01>\n9 3.3 recvfrom(3, "c", 99, 0, NULL, NULL) = 1 <0.01>\n'
    "9 4.0 close(3) = 0 <0.0001>\n9 4.0 +++ exited with 28 +++",
    silent=_REQUEST + _ANSWER + "9 4.0 +++ exited with 0 +++",
)
def slow_transfer(case: Case) -> Iterator[Finding]:
    """The answer was coming, but too slowly for the program's limit on the whole transfer.

    What it is: bytes kept arriving in small portions until the program closed the connection before the declared end.
    Why it matters: the path works and the server is alive: it is throughput (or a trickling server) that is short.
    What proves it: several receives spread over the time, the answer incomplete, no end or error from the peer.
    Not this: an answer that stops (read-timeout, mid-answer), or that the peer cut short (truncated-response).
    What to do: measure the rate, find the throttle; raise the limit on the whole transfer, or page the request.
    Source: curl(1) --max-time
    """
    for socket in case.clients:
        process = case.process(socket)
        if not is_slow_transfer(case, socket) or case.fate(process) not in ("failed", "killed"):
            continue
        turn = socket.turn
        if turn is None or turn.first_answer_ns is None or turn.last_answer_ns is None:
            continue
        events = [*turn.events, *socket.timeline[-3:]]
        finding = case.finding("slow-transfer", socket, events, process)
        spread = turn.last_answer_ns - turn.first_answer_ns
        finding.severity, finding.duration_ns, finding.end_ns = "fatal", spread, last_moment(case, socket)
        rate = turn.answer_bytes * SECOND / max(spread, 1)
        finding.summary = (
            f"{case.name_of(process)} received {turn.answer_bytes} bytes from {case.label(socket)} in {seconds(spread)} "
            f"({rate:.0f} bytes/s) and then gave up before the answer was complete."
        )
        finding.causes = ["the server produces or sends slowly", "the path is throttled or loses packets"]
        finding.next_steps = [
            *_repeated(socket, "%{speed_download} %{time_total}"),
            f"ss -tnoi dst {socket.peer.host if socket.peer else 'HOST'}  # while it transfers: retrans, cwnd",
        ]
        finding.remedy = ["raise the limit on the whole transfer (curl --max-time), or fetch in smaller parts"]
        finding.refuted_by = "an end or reset from the peer before the program closed"
        yield finding


@rule(
    "hung-read",
    fires=_REQUEST + "9 1.2 recvfrom(3, <unfinished ...>\n7 60.0 +++ exited with 0 +++",
    silent=_REQUEST + _ANSWER + "9 4.0 +++ exited with 0 +++",
)
def hung_read(case: Case) -> Iterator[Finding]:
    """The program waits for its peer with no limit; it was still waiting when the log ended or it was stopped.

    What it is: the last call is an endless wait (recv, read, poll with -1 or a limit not yet due) on a standing
        connection.
    Why it matters: nothing in the program will ever end this wait.
    What proves it: the unfinished call, the time since the last byte, no SO_RCVTIMEO, no alarm.
    Not this: a wait that the program's own limit ended (read-timeout); 350 s and more without keepalive on a path that
        may hold a NAT gateway (idle-timeout).
    What to do: a read timeout in the client, and keepalive; never an endless read in a batch job.
    Source: recv(2), poll(2), socket(7)
    """
    for stall in _stalls(case, "r"):
        if not _is_hang(case, stall) or _idle_limit_fits(case, stall):
            continue
        finding = _base(case, "hung-read", stall)
        finding.confidence = "likely" if stall.seen and stall.phase != "idle" and not stall.cut else "possible"
        ended = _how_it_ended(stall)
        host, port = (stall.socket.peer.host, stall.socket.peer.port) if stall.socket.peer else ("HOST", 0)
        waited = "" if ended == _CUT else f"{seconds(stall.waited_ns)} "
        finding.summary = (
            f"{case.name_of(stall.process)} waited {waited}for {_what(stall)} from "
            f"{case.label(stall.socket)}, {_own_limit(stall)} ({ended})."
        )
        finding.causes = [
            "the server is working, stuck, or has lost the request",
            "the connection is gone on the path and nobody told this side (no keepalive probes)",
        ]
        finding.next_steps = [
            f"tcpdump -ni any host {host} and port {port}  # while it hangs: does anything come at all?"
            if _hung_at_attach(stall) and port
            else "systrace attach PID --passive  # while it hangs: is anything outstanding, is keepalive on?",
            f"ss -tn 'sport = :{port}'  # on {host}: its side of this connection; its log for this request",
        ]
        finding.remedy = [*timeout_remedies(case, stall.process), *keepalive_remedies(case, stall.process)]
        finding.refuted_by = "an answer that would have come had the job been left alone"
        other_end.advise(case, finding, stall.socket)
        yield finding


@rule(
    "idle-timeout",
    fires=_REQUEST + "9 1.2 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <411.2>\n"
    "9 412.5 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---\n9 412.6 +++ killed by SIGTERM +++",
    silent="9 0.9 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0 <0.01>\n"
    "9 0.9 setsockopt(3, SOL_TCP, TCP_KEEPIDLE, [60], 4) = 0 <0.01>\n"
    + _REQUEST
    + "9 1.2 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <411.2>\n"
    "9 412.5 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---\n9 412.6 +++ killed by SIGTERM +++",
)
def idle_timeout(case: Case) -> Iterator[Finding]:
    """Something on the path (NAT gateway, load balancer, firewall) seems to have forgotten the connection while it idled.

    What it is: variant `waiting`: a wait of 350 s or more without keepalive; variant `reset`: after such a silence the
        next packet was answered by a reset; variant `silent`: after it, nothing came back at all.
    Why it matters: neither end is at fault and neither is told: a waiting reader waits for ever, and curl cannot
        reproduce it because curl turns keepalive on.
    What proves it: the silence before the failure, keepalive off (or its first probe later than the limit), and no end of
        file from the peer. The log cannot show the box itself: it is named only as a possibility.
    Not this: a peer that closed (end of file: stale-connection); keepalive with an idle time below the limit.
    What to do: keepalive well below the limit (60 to 240 s) on this socket; for limits of HTTP proxies data, not keepalive.
    Source: AWS NAT gateway and NLB guides (350 s), Azure load balancer (240 s), tcp(7); catalogue: rules/limits.toml
    """
    for stall in _stalls(case, "r"):
        if not _is_hang(case, stall) or not _idle_limit_fits(case, stall):
            continue
        finding = _base(case, "idle-timeout", stall)
        finding.variant, finding.confidence = "waiting", "likely"
        fits = matching_limits(case, stall.waited_ns, stall.socket)
        finding.summary = (
            f"{case.name_of(stall.process)} waited {seconds(stall.waited_ns)} for {_what(stall)} from "
            f"{case.label(stall.socket)} that never came ({_how_it_ended(stall)}); keepalive "
            f"{_keepalive_words(stall.socket)}. {fits}"
        )
        _idle_advice(case, finding, stall.socket)
        yield finding
    yield from _after_silence(case)


def _after_silence(case: Case) -> Iterator[Finding]:
    for socket in case.clients:
        if socket.type != "stream" or socket.peer is None or socket.peer.is_local or case.end_of_file(socket):
            continue
        fault = case.first_error(socket)
        if fault is None or fault.errno not in ("ECONNRESET", "ETIMEDOUT", "EPIPE"):
            continue
        limit = silent_limit_ns(case, socket)
        if fault.idle_ns is None or limit is None or fault.idle_ns < limit * 0.98 or fault.answered:
            continue
        if fault.errno == "EPIPE" and fault.unanswered == 0:
            continue
        process = case.process(socket)
        events = [*(socket.turn.events if socket.turn is not None else []), fault.event]
        finding = case.finding("idle-timeout", socket, events, process)
        finding.variant = "reset" if fault.errno == "ECONNRESET" else "silent"
        finding.severity, finding.duration_ns = "fatal", fault.idle_ns
        finding.confidence = "likely"
        fits = matching_limits(case, fault.idle_ns, socket)
        what = "a reset" if finding.variant == "reset" else f"nothing until {fault.errno}"
        finding.summary = (
            f"{case.name_of(process)}: the connection to {case.label(socket)} was silent for {seconds(fault.idle_ns)}; the "
            f"next request was answered by {what}, with no orderly end before; keepalive {_keepalive_words(socket)}. {fits}"
        )
        _idle_advice(case, finding, socket)
        yield finding


def _idle_advice(case: Case, finding: Finding, socket: Socket) -> None:
    host = socket.peer.host if socket.peer is not None else "HOST"
    finding.causes = [
        "a NAT gateway, load balancer or firewall on the path forgot the idle connection",
        "the server is still working on the request, or lost it (its own log tells)",
    ]
    finding.next_steps = [
        f"ss -tnoi dst {host}  # while it hangs; no timer: nobody will notice; lastsnd/lastrcv tell the silence",
        "# if a NAT gateway or NLB is in the path: its metrics IdleTimeoutCount, TCP_ELB_Reset_Count",
        "# reproduce without curl (it sets keepalive itself): idle 340 s against 360 s",
    ]
    finding.remedy = keepalive_remedies(case, case.process(socket))
    finding.refuted_by = "a successful exchange after a longer silence on the same path"


def _is_hang(case: Case, stall: Stall) -> bool:
    if stall.ended in ("limit", "close", "exit", "signal SIGALRM") or stall.limit_source == "SIGALRM":
        return False
    fate = case.fate(stall.process)
    pushed = _only_reads(case, stall)
    if stall.span is not None and stall.span.events[-1].record.outcome == DETACHED:
        return True
    if stall.cut and fate == "open" and (stall.phase in ("answer", "greeting") or pushed):
        return True
    if stall.phase == "idle" and (stall.waited_ns or 0) < 30 * SECOND and fate != "killed":
        return False
    if stall.phase == "idle" and stall.limit_ns is not None:
        return False
    return stall.waited_ns is None or stall.waited_ns >= _HUNG_NS


def _only_reads(case: Case, stall: Stall) -> bool:
    """The waiting process never sends on this connection: it waits for more, or for the end (`cat </dev/tcp/...`)."""
    owners, pid = case.evidence.owners, stall.process.pid if stall.process is not None else None
    return not any(isinstance(e, Sent) and owners.get(e.record.tid) == pid for e in stall.socket.timeline)


def _idle_limit_fits(case: Case, stall: Stall) -> bool:
    socket = stall.socket
    if stall.waited_ns is None or socket.type != "stream" or socket.peer is None or socket.peer.is_local:
        return False
    limit = silent_limit_ns(case, socket)
    return limit is not None and stall.waited_ns >= limit


def _repeated(socket: Socket, clock: str) -> list[str]:
    """The HTTP request that was out, asked again with a clock; none for other protocols."""
    urls = [getattr(m, "url", "") for m in socket.messages if m.direction == "sent"]
    return (
        [f"curl -so /dev/null -w '{clock}\\n' {word(urls[-1])}  # the same with a clock"] if urls and urls[-1] else []
    )


def _own_limit(stall: Stall) -> str:
    if stall.limit_ns is None or stall.limit_ns <= (stall.waited_ns or 0):  # slices of a loop are no limit
        return "with no limit of its own"
    return f"within its own limit of {seconds(stall.limit_ns)} ({stall.limit_source})"


_CUT = "the log ends in this call: how long it lasted cannot be told"


def _how_it_ended(stall: Stall) -> str:
    if stall.ended.startswith("signal "):
        return f"then {stall.ended.removeprefix('signal ')} ended the process"
    if stall.cut and not _hung_at_attach(stall):
        return _CUT
    if stall.ended == "log end":
        return "it was still waiting when the log ended"
    return "then the process ended"


def _keepalive_words(socket: Socket) -> str:
    keepalive = socket.keepalive
    if keepalive.on:
        idle = keepalive.idle_s
        return f"on, but only after {idle} s" if idle else "on, at the system's idle time (7200 s unless changed)"
    if keepalive.on is None and socket.inherited:
        return "unknown (the socket was open before the trace)"
    return "off"


@rule(
    "send-blocked",
    fires='9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'
    '9 1.1 sendto(3, "xxxx", 4, 0, NULL, 0) = 4 <0.0001>\n'
    "9 1.2 poll([{fd=3, events=POLLOUT}], 1, 5000) = 0 (Timeout) <5.005>\n9 6.4 +++ exited with 1 +++",
    silent=_REQUEST + _ANSWER + "9 4.0 +++ exited with 0 +++",
)
def send_blocked(case: Case) -> Iterator[Finding]:
    """The program wants to send, and the peer takes nothing: its window is full.

    What it is: a blocking send, or a wait for POLLOUT, that lasts; ended by the program's limit, by force, or not at all.
    Why it matters: the peer's program does not read (stuck, or itself waiting for us to read: a deadlock), or the path
        lost the packets.
    What proves it: the wait is for writing on a connection that stood and took bytes before.
    Not this: a connect that is still under way (connect-timeout).
    What to do: look at the peer's process; ss -tno shows a persist timer (peer not reading) or retransmissions (path).
    Source: tcp(7), send(2), RFC 9293 3.8.6.1
    """
    for stall in _stalls(case, "w"):
        if stall.phase == "greeting" and not stall.socket.sent.calls and stall.ended == "close":
            continue
        if stall.waited_ns is not None and stall.waited_ns < SECOND // 2 and stall.ended != "limit" and not stall.cut:
            continue  # a call that was under way at attach and at detach has lasted longer than the log
        if stall.ended in ("close", "exit") and case.fate(stall.process) == "ok":
            continue
        finding = _base(case, "send-blocked", stall)
        finding.variant = "limit" if stall.ended == "limit" else "hung"
        finding.confidence = "confirmed" if stall.ended == "limit" else "likely"
        waited = seconds(None if stall.cut else stall.waited_ns)
        finding.summary = (
            f"{case.name_of(stall.process)} could not send to {case.label(stall.socket)} for {waited} after "
            f"{stall.socket.sent.original_len} bytes: the peer took no more"
            + (
                f"; its own limit ended the wait ({stall.limit_source})."
                if stall.ended == "limit"
                else f" ({_how_it_ended(stall)})."
            )
        )
        host = stall.socket.peer.host if stall.socket.peer is not None else "HOST"
        finding.causes = [
            "the peer's program does not read (stuck, overloaded)",
            "both sides write first and nobody reads: a deadlock",
            "packets are lost on the path (then ss shows retransmissions, not a persist timer)",
        ]
        finding.next_steps = [
            f"ss -tnoi dst {host}  # Send-Q > 0; timer:(persist) = peer not reading, timer:(on) = path"
        ]
        finding.remedy = ["repair the reader; send in smaller parts; set TCP_USER_TIMEOUT to notice a dead path"]
        finding.refuted_by = "an open window of the peer in a packet capture of that time"
        other_end.advise(case, finding, stall.socket)
        yield finding
