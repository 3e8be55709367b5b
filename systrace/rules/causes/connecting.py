"""Connections that never stood: refused, timed out, unreachable, slow (verdicts 4.2)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls import SOCKET_OPTIONS, SOCKETS
from systrace.calls.errnos import UNKNOWN
from systrace.model import Attempt, Connected, Draft, Endpoint, Socket, Step
from systrace.rules.advice.probes import knock
from systrace.rules.case.datagrams import rejection
from systrace.rules.case.index import SECOND, Case, where
from systrace.rules.case.kernel_word import Word, heed, word_on_attempt
from systrace.rules.examples import connects, exits
from systrace.rules.look import looked
from systrace.rules.rule import Phase, rule
from systrace.shell import word
from systrace.words import seconds

# Give-up times of the kernel in seconds, by tcp_syn_retries: from 6.5 on, and before (verdicts 2.2, ip-sysctl.rst).
GIVE_UP_S = {131: "the kernel's default since 6.5", 127: "the kernel's default before 6.5", 67: "lowered retries",
             63: "lowered retries", 35: "lowered retries", 31: "lowered retries", 19: "lowered retries",
             15: "lowered retries", 7: "lowered retries", 3: "lowered retries"}  # fmt: skip


def failed(case: Case, *errnos: str, local: bool = False) -> Iterator[tuple[Socket, Attempt]]:
    """Attempts that failed with one of these; `local`: on UNIX sockets, else over the network."""
    for socket in case.clients:
        if socket.type in ("dgram", "raw") or (socket.family == "unix") != local:
            continue
        for attempt in socket.attempts:
            if attempt.outcome == "failed" and attempt.errno in errnos:
                yield socket, attempt


def unnamed(case: Case, cause: str) -> Iterator[Draft]:
    """Attempts that failed of something that the log does not name: told by the time that the answer took."""
    for socket, attempt in failed(case, UNKNOWN):
        if _by_time(attempt.duration_ns) != cause:
            continue
        finding = attempted(case, cause, socket, attempt)
        cut = isinstance(attempt.events[-1], Connected)
        surely = attempt.duration_ns is not None and (cut or attempt.ready_text)
        finding.variant, finding.confidence = "unnamed", "likely" if surely else "possible"
        why = "its line is cut" if cut else "the program never asked for it"
        finding.summary = (
            f"{case.user(socket)}: connect to {finding.peer} failed {_soon(attempt)}; which error it was is "
            f"not in the log ({why}). {_USUALLY[cause]}"
        )
        host, _ = where(attempt.peer)
        finding.causes = [
            "nothing accepts connections on that port",
            "a firewall or router on the way rejects or drops",
        ]
        finding.next_steps = [knock(attempt.peer, why="names the error"), Step(f"ip route get {host}")]
        finding.remedy = ["let the program say why its connect failed (getsockopt SO_ERROR, strerror)"]
        finding.refuted_by = "the error's name, from a run with a whole log"
        yield finding


_USUALLY = {
    "connect-refused": "So soon it is a refusal as a rule: the host answered, and nothing accepts connections there.",
    "unreachable": "After about 3 s it is as a rule the neighbour look-up (ARP/NDP) that got no answer.",
    "connect-timeout": "After that time it is as a rule silence: packets are dropped on the way there or back.",
}


def _by_time(took_ns: int | None) -> str:
    """The cause that a failed connect has as a rule, by its duration in ns: a refusal may follow on a repeated SYN (1 s)."""
    if took_ns is None or took_ns < 2.5 * SECOND:
        return "connect-refused"
    return "unreachable" if took_ns < 3.6 * SECOND else "connect-timeout"


def attempted(case: Case, cause: str, socket: Socket, attempt: Attempt) -> Draft:
    """A fatal, confirmed finding on this attempt, with its times and its own peer."""
    finding = case.finding(cause, socket, attempt.events, severity="fatal", confidence="confirmed")
    finding.duration_ns = attempt.duration_ns
    finding.peer = str(attempt.peer) if attempt.peer is not None else finding.peer
    finding.end_ns = attempt.end_ns if attempt.end_ns is not None else finding.end_ns
    return finding


@rule(
    "connect-refused",
    phase=Phase.CONNECT,
    of_connect=True,
    on_path=True,
    fires=connects("-1 ECONNREFUSED (Connection refused) <0.0004>", 5432) + exits("1.1", 1),
    silent=connects("0 <0.0004>", 5432) + exits("1.1"),
)
def connect_refused(case: Case) -> Iterator[Draft]:
    """The host answered the connect with a refusal: it is up and reachable, and nothing accepts on that port.

    What it is: connect(2), or SO_ERROR after an asynchronous connect, gave ECONNREFUSED.
    Why it matters: the network is fine; the service is down, still starting, or listens elsewhere.
    What proves it: the errno itself; it came within a round trip.
    Not this: a security group or a DROP rule never refuses, it stays silent (connect-timeout). A refusal that another
        address or a later try made good is fallback-ok or recovered-error.
    What to do: start the service, bind it to the right address, or correct the port; let the job retry with back-off.
    Source: connect(2), RFC 9293 3.10.7.1; ICMP port unreachable, RFC 1122 4.2.3.9
    """
    for socket, attempt in failed(case, "ECONNREFUSED"):
        finding = attempted(case, "connect-refused", socket, attempt)
        host, port = where(attempt.peer)
        finding.summary = (
            f"{case.user(socket)}: connect to {finding.peer} was refused "
            f"{_soon(attempt)}: the host answered, and nothing accepts connections on port {port}."
        )
        finding.causes = [
            "the service is not running, or is still starting",
            "it listens on another port, or on 127.0.0.1 only",
            "a firewall rule REJECTs (a security group never does: it drops)",
        ]
        finding.next_steps = [Step(f"ss -ltnp 'sport = :{port}'", f"on {host}"), knock(attempt.peer)]
        if attempt.peer is not None and attempt.peer.is_local:
            finding.causes[1:] = ["it listens on another port or address"]
            finding.next_steps = [Step(f"ss -ltnp 'sport = :{port}'", "on this host: who listens")]
        finding.remedy = ["start the service or correct address and port; let the job wait for it with back-off"]
        finding.refuted_by = "a successful connect to the same address and port at the same time"
        yield finding
    yield from unnamed(case, "connect-refused")
    yield from _refused_datagrams(case)


def _soon(attempt: Attempt) -> str:
    known = attempt.duration_ns is not None and attempt.duration_ns >= 5_000_000  # below, the hundredths say 0.00
    return f"after {seconds(attempt.duration_ns)}" if known else "at once"


def _refused_datagrams(case: Case) -> Iterator[Draft]:
    """UDP: the ICMP error of a closed port comes back at the next call on the socket."""
    for socket in case.clients:
        if socket.type != "dgram" or not socket.is_network or case.is_dns(socket) or socket.received.calls:
            continue
        fault = rejection(socket, ("ECONNREFUSED",))
        if fault is None or case.fate(case.process(socket)) not in ("failed", "killed"):
            continue
        finding = case.finding("connect-refused", socket, [*socket.timeline[:3], fault.event])
        finding.severity, finding.confidence, finding.variant = "fatal", "confirmed", "udp"
        finding.end_ns = case.ended(fault.event)
        finding.summary = (
            f"{case.user(socket)} sent to {case.label(socket)} over UDP, and the host answered that nothing "
            "listens on that port (ECONNREFUSED)."
        )
        finding.causes = ["the service is not running, or listens on another port", "a firewall rule REJECTs"]
        host, port = where(socket.peer)
        finding.next_steps = [Step(f"ss -lunp 'sport = :{port}'", f"on {host}")]
        finding.remedy = ["start the service or correct address and port"]
        finding.refuted_by = "an answer from the same address and port at the same time"
        yield finding


@rule(
    "unix-socket-missing",
    phase=Phase.CONNECT,
    of_connect=True,
    fires='9 1.0 connect(3, {sa_family=AF_UNIX, sun_path="/run/mysqld/mysqld.sock"}, 110)'
    " = -1 ENOENT (No such file or directory) <0.0001>\n9 1.1 +++ exited with 1 +++",
    silent='9 1.0 connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110)'
    " = -1 ENOENT (No such file or directory) <0.0001>\n9 1.1 +++ exited with 0 +++",
)
def unix_socket_missing(case: Case) -> Iterator[Draft]:
    """A local server's UNIX socket is not there, or nobody listens on it.

    What it is: connect(2) to a path gave ENOENT (no such socket) or ECONNREFUSED (left over from a dead server).
    Why it matters: the server on this very host does not run, or puts its socket elsewhere.
    What proves it: the errno itself.
    Not this: optional daemons that libraries try on the way (nscd, sssd, systemd-resolved, syslog).
    What to do: start the server, or give the client the right socket path (or host and port).
    Source: unix(7), connect(2)
    """
    for socket, attempt in failed(case, "ENOENT", "ECONNREFUSED", "ENOTSOCK", "EACCES", "EPERM", "EAGAIN", local=True):
        finding = attempted(case, "unix-socket-missing", socket, attempt)
        path = attempt.peer.path if attempt.peer is not None else "?"
        why = {
            "ENOENT": "the socket does not exist",
            "ECONNREFUSED": "the socket file is there, but no server listens on it",
            "EAGAIN": "the server's queue of waiting connections is full",
        }.get(attempt.errno or "", "the path is not accessible")
        finding.summary = f"{case.user(socket)}: connect to {path}: {why} ({attempt.errno})."
        finding.causes = ["the local server does not run", "it uses another socket path than the client"]
        finding.next_steps = [Step(f"ls -l {word(path)}; ss -lx | grep -F {word(path)}")]
        finding.remedy = ["start the server, or point the client to its real socket (or to host and port)"]
        finding.refuted_by = "a server listening on that path at that time (ss -lx)"
        yield finding


@rule(
    "connect-timeout",
    proven_by=("path-blocked",),
    phase=Phase.CONNECT,
    of_connect=True,
    on_path=True,
    hung=("pending",),
    fires=connects("-1 ETIMEDOUT (Connection timed out) <134.0>", 443) + exits("135.1", 1),
    silent=connects("-1 EINPROGRESS (Operation now in progress) <0.0001>", 443)
    + "9 1.1 poll([{fd=3, events=POLLOUT}], 1, 5000) = 1 ([{fd=3, revents=POLLOUT}]) <0.02>\n"
    "9 1.2 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0 <0.0001>\n9 1.3 +++ exited with 0 +++",
)
def connect_timeout(case: Case) -> Iterator[Draft]:
    """Nothing answered the connection request: no acceptance, no refusal, no ICMP error.

    What it is: variant `kernel`: the kernel gave up (ETIMEDOUT); variant `deadline`: the program's own limit ended the
        wait first; variant `pending`: the connect was still unanswered when the log or the process ended.
        `queue`: the listener's queue is full (of a UNIX socket; of TCP where the listener is on this machine).
    Why it matters: silence means that packets are dropped on the way there or back; a service that is merely down
        would refuse at once.
    What proves it: the errno, or a wait for the connecting socket that ended without readiness.
    Not this: a refused connect; the slower of two parallel attempts, given up when the other had succeeded.
    What to do: open the path (security group of the target, NACL, route, firewall); set a connect timeout of 5 to 10 s.
    Source: tcp(7), ip-sysctl.rst tcp_syn_retries, tcp_syn_linear_timeouts
    """
    yield from looked(case, "connect-timeout")
    yield from unnamed(case, "connect-timeout")
    for socket in case.clients:
        if socket.type in ("dgram", "raw") or socket.family == "unix":
            continue
        for attempt in socket.attempts:
            finding = _timeout(case, socket, attempt)
            if finding is not None:
                yield finding


def _timeout(case: Case, socket: Socket, attempt: Attempt) -> Draft | None:
    """An attempt that nothing answered, as far as the log shows: the kernel gave it up, the program did, or nobody."""
    if attempt.outcome == "failed" and attempt.errno == "ETIMEDOUT":
        finding = _given_up_by_kernel(case, socket, attempt)
    elif not case.only_failures and _went_unanswered(case, socket, attempt):
        finding = _given_up_by_program(case, socket, attempt)
    else:
        return None
    _silence_advice(finding, attempt.peer)
    word = word_on_attempt(socket, attempt)
    if word is not None and word.kind == "backlog":
        _full_queue(finding, word)
    heed(finding, word)
    return finding


def _full_queue(finding: Draft, word: Word) -> None:
    """The listener is on this machine: its own queue tells why it does not answer."""
    finding.variant = "queue"
    finding.causes = [
        "the server's program does not accept: stuck, stopped or too busy",
        "its listen(2) backlog is too small",
    ]
    place = " in its network namespace" if word.reading.listener is not None and word.reading.listener.elsewhere else ""
    port = word.reading.socket.peer.port if word.reading.socket.peer is not None else 0
    finding.next_steps = [Step(f"ss -ltnp 'sport = :{port}'", f"on this host{place}: Recv-Q over Send-Q")]
    finding.remedy = ["repair the server's program; raise its listen backlog and net.core.somaxconn"]


def _given_up_by_kernel(case: Case, socket: Socket, attempt: Attempt) -> Draft:
    finding = attempted(case, "connect-timeout", socket, attempt)
    finding.variant = "kernel"
    waited = attempt.duration_ns
    finding.summary = (
        f"{case.user(socket)}: connect to {attempt.peer or 'an unknown peer'} got no answer at all for {seconds(waited)}; the "
        f"kernel gave up (ETIMEDOUT{_give_up(waited)})."
    )
    return finding


def _given_up_by_program(case: Case, socket: Socket, attempt: Attempt) -> Draft:
    finding = attempted(case, "connect-timeout", socket, attempt)
    waited, by_limit = _waited(case, attempt), _by_limit(socket, attempt)
    finding.duration_ns = waited
    for span in socket.waits[-1:]:
        finding.evidence += [e for e in span.events if e not in finding.evidence]
    finding.variant = "deadline" if by_limit or attempt.outcome == "abandoned" else "pending"
    finding.confidence = "confirmed" if by_limit else "likely" if waited and waited > SECOND else "possible"
    ended = "and it never completed as far as this log shows"
    if by_limit:
        ended = f"then its own limit of {seconds(attempt.limit_ns or waited)} ({attempt.limit_source}) ended the wait"
    peer = attempt.peer or "an unknown peer"
    finding.summary = f"{case.user(socket)}: connect to {peer} got no answer for {seconds(waited)}, {ended}."
    if waited is not None and waited <= 3 * SECOND:
        finding.causes.append(
            f"the limit is short: a single lost SYN costs 1 s, two cost 2 to 3 s, and the program allowed {seconds(waited)}"
        )
    return finding


def _waited(case: Case, attempt: Attempt) -> int | None:
    """How long it went without an outcome, in ns: to the end of the log where there is none."""
    if attempt.outcome != "pending":
        return attempt.duration_ns if attempt.duration_ns is not None else attempt.limit_ns
    return case.last_ns - attempt.start_ns if case.last_ns and attempt.start_ns is not None else None


def _by_limit(socket: Socket, attempt: Attempt) -> bool:
    """The program's own limit ended its wait for the outcome."""
    return attempt.limit_ns is not None or any(span.timed_out for span in socket.waits[-1:])


def _went_unanswered(case: Case, socket: Socket, attempt: Attempt) -> bool:
    """It was given up or left without an outcome, and silence is the reason."""
    given_up = attempt.outcome == "abandoned"
    if not given_up and not (attempt.outcome == "pending" and _left_pending(case, socket, attempt)):
        return False
    if _by_limit(socket, attempt):
        return True
    waited = _waited(case, attempt)
    closed = given_up and socket.closed_by == "close" and case.sees_waits
    if waited is not None and waited < (SECOND if closed else SECOND // 5):
        return False  # given up at once: the program had no time to time out
    return not _may_have_ended_unseen(case, socket, attempt)


def _may_have_ended_unseen(case: Case, socket: Socket, attempt: Attempt) -> bool:
    """Another thread may have seen the attempt through; or calls that this log hides did, and nobody failed."""
    process = case.process(socket)
    if case.blind_to_threads(process):
        return True
    if not attempt.blocking and not socket.waits and not case.shows(SOCKET_OPTIONS):  # how its outcome is asked for
        lasted = _waited(case, attempt) if case.shows(SOCKETS) else None
        if lasted is None or lasted < SECOND:
            return True  # else, had it stood, it would have been used
    return not case.sees_waits and "ok" in (case.fate(process), case.job_fate(process))


def _silence_advice(finding: Draft, peer: Endpoint | None) -> None:
    host, port = where(peer)
    finding.causes += [
        "a firewall or security group on the way to the target drops the packets (it would not refuse)",
        "the answer is dropped on the way back (NACL without the ephemeral ports, asymmetric route)",
        "no route: missing NAT or internet gateway, peering or endpoint; wrong or reused address; host is down",
        "the target's accept queue is full, or a local OUTPUT rule drops",
    ]
    finding.next_steps = [
        knock(peer),
        Step(f"ip route get {host}; tcpdump -ni any host {host} and port {port}"),
    ]
    finding.remedy = ["open the path for this source, port and direction", "connect timeout of 5-10 s, with retries"]
    finding.refuted_by = "a SYN-ACK or RST from the peer in a packet capture of that time"


def _left_pending(case: Case, socket: Socket, attempt: Attempt) -> bool:
    """Whether an attempt without an outcome may be called unanswered."""
    if socket.sent.calls or socket.received.calls:
        return False
    process = case.process(socket)
    if case.stops_early and (process is None or process.exit_event is None):
        return False
    if not case.has_clock:
        blocked = case.attached and attempt.events[-1].record.pending  # from the tracer's coming to its leaving
        return blocked or case.fate(process) in ("failed", "killed")
    if attempt.start_ns is None or case.last_ns is None:
        return False
    return case.last_ns - attempt.start_ns > SECOND or case.fate(process) in ("failed", "killed")


def _give_up(waited: int | None) -> str:
    if waited is None:
        return ""
    for nominal, meaning in GIVE_UP_S.items():
        if nominal * SECOND <= waited <= nominal * SECOND * 1.04 + SECOND // 10:
            return f"; {nominal} s nominal, {meaning}"
    return ""
