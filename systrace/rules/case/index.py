"""What all rules ask of the evidence: who failed, what the log can show, what happened later on the same path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from systrace.calls import FORKS, OPENS
from systrace.keepalive import KEEPALIVE_IDLE_S
from systrace.model import Draft, Endpoint, Event, Evidence, Fault, Process, Socket, Span
from systrace.rules.case.visibility import network_only, only_failures, stops_early, the_job

if TYPE_CHECKING:
    from systrace.idle_limits import Limit

Found = TypeVar("Found")
SECOND = 1_000_000_000
_STOPPING = {"SIGTERM": 15, "SIGINT": 2, "SIGHUP": 1, "SIGQUIT": 3, "SIGXCPU": 24, "SIGUSR1": 10, "SIGALRM": 14}
# Daemons whose UNIX sockets libraries try on the way and do without (nss, sssd, syslog, dbus, X11, avahi).
_OPTIONAL_DAEMONS = (  # paths, not files that we make
    "/var/run/nscd/", "/run/nscd/", "/run/systemd/", "/var/run/systemd/", "/dev/log", "/run/dbus/", "/var/run/dbus/",
    "/var/lib/sss/", "/run/avahi-daemon/", "/var/run/avahi-daemon/", "/tmp/.X11-unix/", "@/tmp/.X11-unix/",  # noqa: S108
    "/run/user/", "/var/run/nslcd/", "/run/nslcd/", "/var/run/.nscd_socket", "/run/udev/", "/run/pcscd/",
)  # fmt: skip


class Case:
    """The evidence with an index; rules get one and ask it instead of each other."""

    def __init__(self, evidence: Evidence, limits: Sequence[Limit] = ()) -> None:
        self.evidence = evidence
        self.limits = limits  # the user's own idle limits, beside the catalogue's
        self.findings: list[Draft] = []  # of the first pass, for rules of the second
        style = evidence.source.style
        self.has_clock = style.clock != "none"
        own = "strace_options" in evidence.source.facts or "calls" in evidence.source.facts
        hides_most = not own and network_only(evidence)
        self.only_failures = not own and only_failures(evidence)
        self.sees_waits = not hides_most
        self.sees_close = not hides_most
        self.sees_read = own or "read" in style.syscalls or not (hides_most or "execve" in style.syscalls)
        self._own = own
        self.sees_files = evidence.source.facts.get("sockets_only") is not True  # which files were read
        self.attached = "attached" in evidence.source.facts or evidence.met > 0
        self.last_ns = evidence.source.last_ns
        self.stops_early = stops_early(evidence)
        ended_well = self.stops_early and evidence.source.facts.get("exit_status") == 0
        self._ended_well = the_job(evidence) if ended_well else None  # which systrace itself waited for
        self.clients = [s for s in evidence.sockets.values() if s.kind == "socket" and self._is_client(s)]
        self.agents: dict[int, list[str]] | None = None  # User-Agents by process: filled by `clients`
        self._ends = {p.pid: p for p in evidence.processes.values()}
        self.sees_parents = any(p.parent is not None for p in evidence.processes.values())
        self._perhaps_threads = self._who_may_be_threads()

    def shows(self, calls: frozenset[str]) -> bool:
        """Whether calls of this kind are recorded, so that none on a socket means that none was made there: one of them is in
        the log (of systrace's own recordings it is known).
        """
        if not self.sees_files and not calls.isdisjoint(OPENS):
            return False
        return self._own or not calls.isdisjoint(self.evidence.source.style.syscalls)

    def _is_client(self, socket: Socket) -> bool:
        if socket.family in ("netlink", "packet", "unspec"):
            return False
        if socket.role in ("listener", "server", "pair"):
            return False
        if socket.type == "dgram" and socket.peer is None and not socket.sent.calls:
            return False  # it addressed nobody: it listens, and nobody owes it a datagram
        if socket.family == "unix":
            path = socket.peer.path if socket.peer is not None else ""
            return not path.startswith(_OPTIONAL_DAEMONS)
        return True

    # ---------------------------------------------------------------------------------------------------------- order

    def at(self, event: Event) -> int:
        """Where in the log's order an event stands: its time, or its line where the log has no clock."""
        record = event.record
        return record.time_ns if record.time_ns is not None else record.lineno

    def ended(self, event: Event) -> int:
        """The same for the end of the call."""
        record = event.record
        if record.time_ns is None:
            return record.lineno
        return record.time_ns + (record.duration_ns or 0)

    # ------------------------------------------------------------------------------------------------------ processes

    def process(self, socket: Socket) -> Process | None:
        """Who used the socket last (who used it first, where nobody is known to have)."""
        owners = self.evidence.owners
        for event in reversed(socket.timeline):
            pid = owners.get(event.record.tid)
            if pid is not None:
                return self.evidence.processes.get(pid)
        return self.evidence.processes.get(socket.pid) if socket.pid is not None else None

    def owner_of(self, pid: int | None) -> Process | None:
        """The process with this pid."""
        return self.evidence.processes.get(pid) if pid is not None else None

    def fate(self, process: Process | None) -> str:
        """ok, failed, killed, or open (the log does not show an end)."""
        if process is None:
            return "open"
        if process is self._ended_well:
            return "ok"
        if self.death_signal(process) is not None:
            return "killed"
        if process.exit_code is None:
            return "open"
        return "failed" if process.exit_code else "ok"

    def perhaps_thread(self, process: Process | None) -> bool:
        """Its status of 0 says nothing of the job, which failed: it may be a thread of it that left by itself."""
        return process is not None and process.pid in self._perhaps_threads

    def _who_may_be_threads(self) -> frozenset[int]:
        """In a log without forks a thread looks like a process of its own, and one that leaves by itself does so with 0
        (pthread_exit(3)), whatever becomes of the job. A child is told to its parent (SIGCHLD, wait4), a thread never is.
        """
        job = self.job()
        if job is None or self.shows(FORKS) or self.fate(job) != "failed":
            return frozenset()
        others = (p for p in self.evidence.processes.values() if p is not job and p.parent is None)
        return frozenset(p.pid for p in others if p.exit_code == 0)

    def death_signal(self, process: Process) -> str | None:
        """The signal that ended it: directly, or through a handler that made it exit with an error soon after."""
        if process.signal is not None:
            return process.signal
        if not process.exit_code:
            return None
        for event in reversed(process.signals):
            if event.signal not in _STOPPING:
                continue
            came = event.record.time_ns
            soon = came is None or process.end_ns is None or process.end_ns - came < 5 * SECOND
            if soon or process.exit_code == 128 + _STOPPING[event.signal]:
                return event.signal
        return None

    def roots(self) -> list[Process]:
        """Processes that nobody in the log created; that which ended last comes first (a parent outlives)."""
        found = [p for p in self.evidence.processes.values() if p.parent is None or p.parent not in self._ends]
        ends = {p.pid: self.ended(p.exit_event) for p in found if p.exit_event is not None}
        return sorted(found, key=lambda p: ends.get(p.pid, 1 << 63), reverse=True)

    def job(self) -> Process | None:
        """The job's own process: of those that nobody in the log created, and that it shows, the one that ended last."""
        return next((p for p in self.roots() if p.traced), None)

    def root_of(self, process: Process | None) -> Process | None:
        """The first ancestor that the log shows."""
        seen = 0
        while process is not None and process.parent in self._ends and seen < 1000:
            process, seen = self._ends[process.parent], seen + 1
        return process

    def same_job(self, one: Process | None, other: Process | None) -> bool:
        """Whether both descend from one process, as far as can be told: a log without forks does not show who began whom
        (one SIGCHLD may stand for several children, signal(7)), and is of one job all the same.
        """
        return not self.sees_close or not self.sees_parents or self.root_of(one) is self.root_of(other)

    def job_fate(self, process: Process | None = None) -> str:
        """The fate of the first process: of the one that this process descends from, or of the job's."""
        if process is not None and process.parent is not None:
            return self.fate(self.root_of(process))
        return self.fate(self.job())

    def end_of(self, process: Process) -> int | None:
        """When a process ended, in the order of `at`; None when the log does not show it."""
        return self.ended(process.exit_event) if process.exit_event is not None else process.end_ns

    def above(self, process: Process) -> Iterator[Process]:
        """The parent, its parent and so on. A log of network calls only does not show who began whom: there all that is
        known is the first process, which outlived the others.
        """
        seen = {process.pid}
        parent = self.owner_of(process.parent)
        while parent is not None and parent.pid not in seen:
            yield parent
            seen.add(parent.pid)
            process, parent = parent, self.owner_of(parent.parent)
        if self.sees_close:
            return
        first = self.job()
        if first is not None and first.pid not in seen and (self.end_of(first) or 0) >= (self.end_of(process) or 0):
            yield first

    def descendants(self, process: Process) -> Iterator[Process]:
        """Children, their children and so on."""
        for other in self.evidence.processes.values():
            if other.parent == process.pid and other is not process:
                yield other
                yield from self.descendants(other)

    def name_of(self, process: Process | None) -> str:
        """`curl[4242]` for people."""
        if process is None:
            return "the process"
        name = process.command or "process"
        return f"{name}[{process.pid}]" if process.pid else name

    def user(self, socket: Socket) -> str:
        """`curl[4242]`, who used the socket last, for people."""
        return self.name_of(self.process(socket))

    def cut_at_work(self, process: Process | None) -> bool:
        """The log was cut while strace wrote a call of this process: that thread was at work, whatever others waited for."""
        tid = self.evidence.health.torn_in
        return tid is not None and process is not None and self.evidence.owners.get(tid) == process.pid

    def blind_to_threads(self, process: Process | None) -> bool:
        """It began threads that the log leaves out (no -f): what the others read or waited for is unknown."""
        return process is not None and process.began_threads and self.evidence.source.style.pid == "none"

    # -------------------------------------------------------------------------------------------------------- sockets

    def label(self, socket: Socket) -> str:
        """`203.0.113.10:443 (api.example)` for people."""
        if socket.peer is not None:
            return f"{socket.peer} ({socket.name})" if socket.name else str(socket.peer)
        if socket.family == "unix" and socket.name:
            return f"{socket.name} (the other end of UNIX socket {socket.uid})"
        return f"socket {socket.uid} (peer unknown)"

    def connected(self, socket: Socket) -> bool:
        """Whether the connection stood at some time."""
        if socket.inherited and not socket.attempts:
            return True
        return any(a.outcome == "connected" for a in socket.attempts)

    def answered(self, socket: Socket) -> bool:
        """Whether the last request got an answer, as far as calls show it."""
        turn = socket.turn
        return turn is not None and turn.answer_bytes > 0

    def probed_after_s(self, socket: Socket) -> int | None:
        """The idle time after which keepalive probes the connection: the socket's own, else the host's, else tcp(7)'s;
        None where keepalive is not known to be on.
        """
        if not socket.keepalive.on:
            return None
        return socket.keepalive.idle_s or self.host_keepalive_s or KEEPALIVE_IDLE_S

    @property
    def host_keepalive_s(self) -> int | None:
        """net.ipv4.tcp_keepalive_time of the host, where the recording tells."""
        sysctls = self.evidence.source.facts.get("sysctls")
        value = sysctls.get("net.ipv4.tcp_keepalive_time") if isinstance(sysctls, dict) else None
        return value if isinstance(value, int) and value > 0 else None

    def first_error(self, socket: Socket) -> Fault | None:
        """The first error on an established connection, end of file not counted."""
        return next((f for f in socket.faults if f.kind == "error"), None)

    def end_of_file(self, socket: Socket) -> Fault | None:
        """The peer's orderly end."""
        return next((f for f in socket.faults if f.kind == "eof"), None)

    def last_wait(self, socket: Socket) -> Span | None:
        """The wait that nothing came of: the last one, unless bytes or an error ended it."""
        if not socket.waits:
            return None
        span = socket.waits[-1]
        return None if span.ended_by == "data" or span.ended_by == "eof" or span.ended_by.startswith("E") else span

    def is_dns(self, socket: Socket) -> bool:
        """A resolver's socket."""
        if socket.app_protocol is not None:
            return socket.app_protocol == "dns"
        return socket.peer is not None and socket.peer.port == 53

    # ------------------------------------------------------------------------------------------------------- findings

    def finding(
        self, cause: str, socket: Socket | None, events: Iterable[Event], process: Process | None = None, **facts: Any
    ) -> Draft:
        """A finding with the socket's peer and owner, and its evidence, filled in; `facts` are other fields of it."""
        shown = [e for e in events if e.record.raw]
        if process is None and socket is not None:
            process = self.process(socket)
        finding = Draft(cause, evidence=shown, **facts)
        if socket is not None:
            finding.socket, finding.count = socket.uid, 1 + socket.alike
            finding.peer = str(socket.peer) if socket.peer is not None else None
        if process is not None:
            finding.pid, finding.command = process.pid, process.command or None
        if shown:
            finding.time_ns = shown[0].record.time_ns
            finding.end_ns = max(self.ended(e) for e in shown)
        return finding


def where(peer: Endpoint | None, port: str = "PORT") -> tuple[str, str]:
    """Host and port for a command that a person will run; `port` is said in place of one that is not known."""
    return (peer.host, str(peer.port)) if peer is not None else ("HOST", port)


def once(find: Callable[[Case], Found]) -> Callable[[Case], Found]:
    """What rules ask a case for again and again is found once, and goes with the case."""
    known: WeakKeyDictionary[Case, Found] = WeakKeyDictionary()

    @wraps(find)
    def found(case: Case) -> Found:
        if case not in known:
            known[case] = find(case)
        return known[case]

    return found
