"""What a job did, step by step: processes, look-ups of names, connections, requests; each as any run of it would have it."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.compare.nouns import CONNECTION, LOOKUP, PROCESS, Key, Place, Step
from systrace.compare.shapes import host_shape, words_shape
from systrace.messages.dns import DnsMessage
from systrace.messages.http import HttpRequest
from systrace.messages.tls import TlsHello
from systrace.model import Analysis, Event, Evidence, Finding, Process, Record, Socket
from systrace.words import seconds

_HANDED_OUT = 32768  # ip_local_port_range: from here on a port differs from run to run
_DNS = 53
_CACHES = ("/nscd/", "/lib/sss/", "/systemd/")  # UNIX sockets of the C library's helpers: used where they are there
_SERIOUS = ("fatal", "error")
_SEALED = (None, "tls")  # protocols over which no requests are seen


class Known:
    """What several kinds of steps need to know of one run."""

    def __init__(self, analysis: Analysis) -> None:
        evidence = analysis.evidence
        self.analysis, self.evidence = analysis, evidence
        self.names = _names(evidence)
        self.told: frozenset[str] = (
            frozenset()
        )  # sockets with a request that failed: no need to say it of the connection
        self.faults: dict[str, Finding] = {}
        for finding in analysis.findings:
            if finding.socket and finding.severity in _SERIOUS and not finding.recovered:
                self.faults.setdefault(finding.socket, finding)

    def role(self, pid: int | None) -> str:
        """The shape of a process' command; "" where nobody knows."""
        return words_shape(self.who(pid))

    def who(self, pid: int | None) -> str:
        """Its command."""
        process = self.evidence.processes.get(pid) if pid is not None else None
        return process.command if process is not None else ""

    def place(self, record: Record | None) -> Place:
        """Where that stands."""
        source = self.evidence.source
        if record is None:
            return Place("", 0, None)
        file = source.files[record.source] if record.source < len(source.files) else ""
        return Place(file, record.lineno, self.since(record.time_ns))

    def since(self, time_ns: int | None) -> float | None:
        """Seconds since the log's first record."""
        first = self.evidence.source.first_ns
        return None if time_ns is None or first is None else round((time_ns - first) / 1e9, 9)

    def end(self, socket: Socket | None, server: bool = False) -> tuple[str, str, str]:
        """(name, port, both for people) of the other side; of a server, its own side."""
        at = None if socket is None else socket.local if server else socket.peer
        if socket is None or at is None:
            return "", "", ""
        if at.family == "unix":
            return "", words_shape(at.path), str(at)
        name = "" if server else self.names.get(socket.uid, "")
        shown = f"{name}:{at.port}" if name else str(at)
        return host_shape(name), port_shape(at.port), shown


def port_shape(port: int) -> str:
    """A port of a service; those that are handed out are all alike."""
    return "{port}" if port >= _HANDED_OUT else str(port) if port else ""


def _names(evidence: Evidence) -> dict[str, str]:
    """By socket: the name that its peer was looked up by, or is called over it."""
    names = {uid: socket.name for uid, socket in evidence.sockets.items() if socket.name}
    for message in evidence.messages:
        if isinstance(message, TlsHello) and message.client and message.sni:
            names.setdefault(message.socket, message.sni)
        elif isinstance(message, HttpRequest) and not (message.via_proxy or message.head_cut):
            names.setdefault(message.socket, host_shape(message.host))
    return names


# ---------------------------------------------------------------------------------------------------------- processes


def processes(known: Known) -> Iterator[Step]:
    """The commands that were run, and how they ended; copies of a process that run no other program are left out."""
    everybody = known.evidence.processes
    for process in everybody.values():
        parent = everybody.get(process.parent) if process.parent is not None else None
        if not process.argv or (parent is not None and parent.argv == process.argv):
            continue
        ended = process.exit_event.record if process.exit_event is not None else None
        yield Step(
            Key(PROCESS, words_shape(process.command), "", ""),
            f"run {process.command}",
            " ".join(process.argv),
            _ending(process),
            process.signal is not None or bool(process.exit_code),
            known.place(ended),
            who=process.command,
            start_ns=process.end_ns or process.start_ns or 0,
            optional=True,
        )


def _ending(process: Process) -> str:
    if process.signal is not None:
        return f"killed by {process.signal}"
    return "" if process.exit_code is None else f"exit status {process.exit_code}"


# ----------------------------------------------------------------------------------------------------------- look-ups


def lookups(known: Known) -> Iterator[Step]:
    """Queries for names, with the answer of each."""
    queries: dict[tuple[str, int, str, str], DnsMessage] = {}
    answers: dict[tuple[str, int, str, str], DnsMessage] = {}
    for message in known.evidence.messages:
        if isinstance(message, DnsMessage) and message.question:
            key = message.socket, message.id, message.question.lower(), message.qtype
            (answers if message.is_response else queries).setdefault(key, message)
    for key, query in queries.items():
        socket, answer = known.evidence.sockets.get(query.socket), answers.get(key)
        if socket is not None and socket.role != "server":
            yield _lookup(known, socket, query, answer)


def _lookup(known: Known, socket: Socket, query: DnsMessage, answer: DnsMessage | None) -> Step:
    outcome = _told(socket, answer)
    took = (
        answer.end_ns - query.start_ns if answer and answer.end_ns is not None and query.start_ns is not None else None
    )
    name = words_shape(query.question.lower())
    return Step(
        Key(LOOKUP, known.role(socket.pid), name, "", "dns", query.qtype),
        f"look up {query.question} ({query.qtype})",
        query.question,
        outcome,
        outcome not in ("", "found", "no such address"),
        known.place(_first(query.events)),
        who=known.who(socket.pid),
        peer=query.question,
        socket=socket.uid,
        times={"look-up": took} if took is not None else {},
        start_ns=query.start_ns or 0,
        optional=True,
    )


def _told(socket: Socket, answer: DnsMessage | None) -> str:
    if answer is None:
        return "" if socket.received.original_len else "no answer"
    if answer.rcode != "NOERROR":
        return answer.rcode
    return "found" if answer.answers else "" if answer.cut or answer.answer_count else "no such address"


# -------------------------------------------------------------------------------------------------------- connections


def connections(known: Known) -> Iterator[Step]:
    """What was connected to, how that went, and what became of the connection."""
    for socket in known.evidence.sockets.values():
        if socket.kind == "socket" and socket.role == "client" and _counts(socket):
            yield _connection(known, socket)


def _counts(socket: Socket) -> bool:
    """Look-ups are steps of their own; resolvers connect datagram sockets only to learn their own address."""
    peer = socket.peer
    if peer is None or (peer.family != "unix" and not socket.is_network):
        return False
    if peer.family == "unix":
        return not any(each in peer.path for each in _CACHES)
    return peer.port != _DNS and (socket.type == "stream" or socket.sent.calls > 0)


def _connection(known: Known, socket: Socket) -> Step:
    name, port, shown = known.end(socket)
    attempt = socket.attempts[-1] if socket.attempts else None
    lost = attempt is not None and attempt.superseded
    outcome, failed = _came(known, socket)
    times = {}
    tried = next((each for each in socket.attempts if each.outcome == "connected"), attempt)
    if tried is not None and tried.duration_ns is not None:
        times["connect"] = tried.duration_ns
    turn, sealed = socket.longest_turn, socket.app_protocol in _SEALED
    if sealed and turn is not None and turn.first_answer_ns is not None and turn.request_end_ns is not None:
        times["slowest answer"] = max(0, turn.first_answer_ns - turn.request_end_ns)
    event = attempt.events[0] if attempt is not None and attempt.events else next(iter(socket.timeline), None)
    return Step(
        Key(CONNECTION, known.role(socket.pid), name, port, socket.type),
        f"connect to {shown}" if socket.type != "dgram" else f"datagrams to {shown}",
        str(socket.peer),
        "" if lost else outcome,
        failed and not lost,
        known.place(event.record if event is not None else None),
        who=known.who(socket.pid),
        peer=shown,
        socket=socket.uid,
        times=times,
        size=socket.received.original_len if sealed and outcome == "connected" else None,
        options=_options(socket),
        start_ns=(attempt.start_ns if attempt is not None else socket.opened_ns) or 0,
        optional=True,
    )


NOT_CONNECTED = {
    "ECONNREFUSED": "refused",
    "ETIMEDOUT": "timed out",
    "EHOSTUNREACH": "host unreachable",
    "ENETUNREACH": "network unreachable",
    "ENOENT": "no such socket",
    "EADDRNOTAVAIL": "no free local port",
}


def _came(known: Known, socket: Socket) -> tuple[str, bool]:
    """(how it went, whether that is a failure)."""
    last = socket.attempts[-1] if socket.attempts else None
    if last is not None and last.outcome == "failed":
        return NOT_CONNECTED.get(last.errno or "", last.errno or "failed"), True
    if last is not None and last.outcome in ("pending", "abandoned"):
        unclear = last.outcome == "pending" and known.analysis.verdict.outcome == "inconclusive"
        return ("", False) if unclear else ("no answer", True)
    fault = known.faults.get(socket.uid)
    if fault is not None and socket.uid not in known.told:
        return fault.cause, True
    cut = next((f for f in socket.faults if f.kind == "error" and f.errno and f.unanswered and not f.answered), None)
    if cut is not None:
        return f"lost ({cut.errno})", True
    return ("connected" if last is None or last.outcome == "connected" else ""), False


def _options(socket: Socket) -> dict[str, str]:
    """Those that tell how long it may stay silent."""
    keepalive, told = socket.keepalive, {}
    if keepalive.on is not None:
        told["keepalive"] = "on" if keepalive.on else "off"
    for name, value in (("idle", keepalive.idle_s), ("interval", keepalive.interval_s), ("probes", keepalive.count)):
        if keepalive.on and value is not None:
            told[f"keepalive {name}"] = f"{value}" if name == "probes" else f"{value} s"
    for name, limit in (
        ("receive timeout", socket.rcvtimeo_ns),
        ("send timeout", socket.sndtimeo_ns),
        ("TCP_USER_TIMEOUT", socket.user_timeout_ns),
    ):
        if limit:
            told[name] = seconds(limit)
    return told


def broke_later(step: Step) -> bool:
    """The connection stood, and a fault was met on it."""
    return step.key.kind == CONNECTION and step.failed and step.outcome not in NOT_CONNECTED.values()


def _first(events: list[Event]) -> Record | None:
    return events[0].record if events else None
