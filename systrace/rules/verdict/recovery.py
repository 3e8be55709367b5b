"""What something later made good is no failure: another address, a later try, a job that did without."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterator

from systrace.messages.http import HttpMessage, HttpRequest
from systrace.messages.replies import Unit
from systrace.model import Draft, Process, Socket
from systrace.rules.case.farewells import work_on
from systrace.rules.case.index import SECOND, Case, once
from systrace.rules.case.plumbing import breaks
from systrace.rules.rule import RULES
from systrace.rules.verdict.explaining import last_line, status_of
from systrace.rules.verdict.reporting import tells_of_failure


def mark_recovered(case: Case) -> None:
    """A failure that something later made good is information, not an error."""
    for finding in case.findings:
        if finding.severity in ("fatal", "error"):
            finding.recovered = recovery(case, finding)
            if finding.recovered:
                finding.severity = "info"


class _Successes:
    """The connections that worked, by peer and by whose they were, in order of when they stood."""

    def __init__(self, case: Case) -> None:
        self._all: defaultdict[Hashable, list[tuple[int, int, Socket]]] = defaultdict(list)
        for number, socket in enumerate(case.clients):
            when = _success_time(case, socket)
            for to_connect in (True, False) if when is not None else ():
                if _worked(case, socket, to_connect):
                    kind, entry = (socket.type, to_connect), (when or 0, number, socket)
                    self._all[kind, str(socket.peer)].append(entry)
                    self._all[kind, id(case.process(socket)), _service(socket)].append(entry)
        for found in self._all.values():
            found.sort()

    def to(self, peer: str | None, kind: tuple[str, bool], after: int) -> Iterator[Socket]:
        """Connections to a peer that stood then or later. `kind`: the type of socket, and whether that it stood is enough."""
        return (socket for _when, socket in self._since((kind, peer), after))

    def of(self, process: Process | None, service: str, type_: str, after: int | None) -> Iterator[tuple[int, Socket]]:
        """(when, connection) of a process to a service, from a moment on; all without one."""
        return self._since(((type_, True), id(process), service), after)

    def _since(self, key: Hashable, after: int | None) -> Iterator[tuple[int, Socket]]:
        found = self._all.get(key, [])
        first = 0 if after is None else bisect_left(found, after, key=lambda entry: entry[0])
        return ((found[n][0], found[n][2]) for n in range(first, len(found)))


def _service(socket: Socket) -> str:
    """What other addresses may offer, too: a port."""
    return _UNIX if socket.family == _UNIX else str(socket.peer.port) if socket.peer is not None else ""


_UNIX = "unix"


@once
def _successes(case: Case) -> _Successes:
    return _Successes(case)


def recovery(case: Case, finding: Draft) -> str:
    """Why a failure did not matter: fallback (another address), retry (the same later), survived (the rest worked, or
    nobody was to hear of it), let pass (the process failed of it, and who began it ended well), purpose (the job stopped
    it itself), report (the job had failed before, and this was to tell of it); or ""."""
    socket = case.evidence.sockets.get(finding.socket or "")
    if socket is None:
        return ""
    return _made_good(case, finding, socket) or _done_without(case, finding, socket)


def bring_back(case: Case) -> None:
    """Where the job failed and nothing else explains it, what worked later was other work, as far as can be told: one of many
    documents, devices or rows. Only the very same request, or another address of the same name, is made good for certain.
    """
    if case.job_fate() not in ("failed", "killed") or any(f.severity in _GRAVE for f in case.findings):
        return
    if any(breaks(case)):
        return  # it failed of a pipe, a file or a disk
    for finding in case.findings:
        socket = case.evidence.sockets.get(finding.socket or "")
        if finding.recovered not in ("retry", "fallback") or socket is None:
            continue
        if not _made_good(case, finding, socket, for_certain=True):
            finding.severity, finding.recovered = "error", ""
            finding.confidence = "likely" if finding.confidence == "confirmed" else "possible"


_GRAVE = ("fatal", "error")


def _same_request(case: Case, socket: Socket, other: Socket) -> bool:
    """What was asked on both is the same; where nothing was, or nothing is known of it, their commands tell."""
    asked, again = _requests(socket), _requests(other)
    if asked and again:
        return asked[-1] in again
    one, two = case.process(socket), case.process(other)
    return one is two or (one is not None and two is not None and one.argv == two.argv)


def _requests(socket: Socket) -> list[str]:
    """Method and URL, or statement, of what was asked on a connection, in order."""
    asked = [m for m in socket.messages if m.direction == "sent"]
    return [f"{m.method} {m.url}" if isinstance(m, HttpRequest) else m.summary for m in asked]


def _same_name(socket: Socket, other: Socket) -> bool:
    """Both are addresses of one name; a host of both worlds (::1, 127.0.0.1) is one, too."""
    if socket.name or other.name:
        return socket.name == other.name
    return socket.family != other.family


def _made_good(case: Case, finding: Draft, socket: Socket, *, for_certain: bool = False) -> str:
    """Another connection brought what this one failed at: `retry`, `fallback`; or "". `for_certain`: the very same."""
    process, after = case.owner_of(finding.pid), _noticed(finding)
    if after is None:
        return ""
    connect_failed = RULES[finding.cause].of_connect
    for other in _successes(case).to(finding.peer, (socket.type, connect_failed), after):
        if (connect_failed or other is not socket) and case.same_job(process, case.process(other)):
            same = not for_certain or _same_request(case, socket, other)
            if same and _tried_again(case, finding, process, other, after):
                return "retry"
    other_address = _fallback(case, finding, socket, after) if connect_failed else None
    if other_address is not None and (not for_certain or _same_name(socket, other_address)):
        return "fallback"
    return ""


def _done_without(case: Case, finding: Draft, socket: Socket) -> str:
    """What it failed at never came, and the job ended well all the same: `purpose`, `report`, `survived`, `let pass`; or ""."""
    process = case.owner_of(finding.pid)
    fate, job_fate = case.fate(process), case.job_fate(process)
    if _ended_on_purpose(case, process) or (RULES[finding.cause].of_connect and _scans(case, socket)):
        return "purpose"
    if tells_of_failure(case, process):
        return "report"
    well = fate == "ok" and not case.perhaps_thread(process)
    other_end = well or job_fate == "ok" or _failed_of_a_file(case, finding, process)
    by_step = not other_end and process is not None and _failed_of_a_step(case, finding, process)
    if (other_end or by_step) and _went_on(case, finding, socket, process, whole_job=by_step):
        return "survived"
    all_well = fate == job_fate == "ok"
    if all_well and RULES[finding.cause].of_connect and _was_to_be_silent(process, _noticed(finding)):
        return "survived"
    root = case.root_of(process)
    return "let pass" if fate == "failed" and root is not process and case.fate(root) == "ok" else ""


def _failed_of_a_step(case: Case, finding: Draft, process: Process) -> bool:
    """The job ended with the status of a later step that did nothing on the network, and not with the one of this."""
    root, after = case.root_of(process), _noticed(finding)
    if root is None or root is process or after is None or case.fate(root) != "failed":
        return False
    if status_of(process) in (None, root.exit_code):
        return False
    network = {each.pid for each in case.clients if each.is_network}
    later = (each for each in case.descendants(root) if each.pid not in network and (each.start_ns or 0) >= after)
    return case.has_clock and any(case.fate(each) == "failed" and status_of(each) == root.exit_code for each in later)


def _failed_of_a_file(case: Case, finding: Draft, process: Process | None) -> bool:
    """After this it died of a file that it could not open, as its own last words say."""
    after = _noticed(finding)
    ends = [event for other, event, variant, _ in breaks(case) if other is process and variant == "unopened"]
    return after is not None and any(case.at(event) >= after for event in ends)


def _scans(case: Case, socket: Socket) -> bool:
    """Its process asks which ports of a host are open (nc -z, a health check), and ended well: a refusal is an answer."""
    process = case.process(socket)
    if process is None or case.fate(process) != "ok" or socket.peer is None:
        return False
    tried = [
        s for s in case.clients if s.peer is not None and s.peer.host == socket.peer.host and case.process(s) is process
    ]
    ports = {s.peer.port for s in tried if s.peer is not None}
    return len(ports) >= _SCAN and not any(s.sent.calls for s in tried)


_SCAN = 4  # ports of one host, none of which was sent anything


def _noticed(finding: Draft) -> int | None:
    """When the program knew of the failure, in the order of `Case.at`."""
    return finding.end_ns if finding.end_ns is not None else finding.time_ns


def _was_to_be_silent(process: Process | None, after: int | None) -> bool:
    """Its complaints went to /dev/null, all of them: whoever started it knew that this may fail."""
    complaints = [o for o in process.output if o.fd == 2] if process is not None else []
    times = [o.event.record.time_ns for o in complaints]
    later = any(after is None or t is None or t >= after for t in times)
    return later and all(o.path == "/dev/null" for o in complaints)


def _tried_again(case: Case, finding: Draft, process: Process | None, other: Socket, after: int) -> bool:
    """The success is of the same work, not of another worker: it began after the failure, in the same thread where
    the process failed in spite of it.
    """
    turn = other.turn
    started = [case.at(e) for e in (turn.events[:1] if turn is not None else [])] + [
        case.at(a.events[0]) for a in other.attempts if a.events
    ]
    if not any(s >= after for s in started) and case.has_clock:
        return False
    if case.fate(process) not in ("failed", "killed") or case.process(other) is not process:
        return True
    threads = {e.record.tid for e in finding.evidence}
    return bool(threads & {e.record.tid for e in other.timeline[-8:]})


def _ended_on_purpose(case: Case, process: Process | None) -> bool:
    """The job itself stopped this helper (timeout(1) may have done it for it), and ended well."""
    if process is None or process.signal is None or process.killed_by is None:
        return False
    killer = case.owner_of(process.killed_by)
    return case.fate(killer) == "ok" or (killer is not None and killer.traced and case.job_fate(process) == "ok")


def _worked(case: Case, socket: Socket, to_connect: bool) -> bool:
    if not case.connected(socket):
        return False
    faultless = case.first_error(socket) is None
    if to_connect and faultless:
        return bool(socket.attempts)
    return faultless and case.answered(socket) and _whole(socket)


def _whole(socket: Socket) -> bool:
    """The last message came whole, or the log shows too little of it (-s) to say that it did not."""
    return all(
        m.complete or (isinstance(m, HttpMessage | Unit) and m.incomplete_reason == "clipped")
        for m in socket.messages[-1:]
    )


def _success_time(case: Case, other: Socket) -> int | None:
    attempt = next((a for a in other.attempts if a.outcome == "connected"), None)
    if attempt is None or not attempt.events:
        return None
    if attempt.end_ns is not None:
        return attempt.end_ns
    return case.ended(attempt.events[-1])


def _fallback(case: Case, finding: Draft, socket: Socket, after: int) -> Socket | None:
    """Another address of the same service: same process and port, tried next, or raced and preferred."""
    process, found = case.process(socket), _successes(case)
    raced = finding.variant != "deadline" or finding.confidence != "confirmed"
    since = after - SECOND if case.has_clock else None
    port = finding.peer.rpartition(":")[2] if finding.peer and socket.family != _UNIX else ""
    for when, other in found.of(process, port, socket.type, since) if port else ():
        if str(other.peer) == finding.peer or (socket.name and other.name and socket.name != other.name):
            continue
        if _began(case, other) >= after or (raced and abs(after - when) < SECOND) or not case.has_clock:
            return other
    return _instead(case, socket, after)


def _instead(case: Case, socket: Socket, after: int) -> Socket | None:
    """Where a UNIX socket failed, or serves instead: what the process connected to next on this host, that worked."""
    process = case.process(socket)
    tried = _tries(case).get(id(process), []) if _is_here(socket) else []
    for _began_at, _number, other in tried[bisect_left(tried, after, key=lambda entry: entry[0]) :]:
        if not _is_here(other):
            return None
        if other is not socket and other.type == socket.type and _worked(case, other, to_connect=True):
            return other if _UNIX in (socket.family, other.family) else None
    return None


def _is_here(socket: Socket) -> bool:
    return socket.family == _UNIX or (socket.peer is not None and socket.peer.is_local)


@once
def _tries(case: Case) -> dict[int, list[tuple[int, int, Socket]]]:
    """What each process connected to, in order."""
    found: defaultdict[int, list[tuple[int, int, Socket]]] = defaultdict(list)
    for number, socket in enumerate(case.clients):
        if any(attempt.events for attempt in socket.attempts):
            found[id(case.process(socket))].append((_began(case, socket), number, socket))
    return {process: sorted(tried) for process, tried in found.items()}


def _began(case: Case, socket: Socket) -> int:
    attempts = [a for a in socket.attempts if a.events]
    return case.at(next((a for a in attempts if a.outcome == "connected"), attempts[0]).events[0])


def _went_on(case: Case, finding: Draft, socket: Socket, process: Process | None, *, whole_job: bool) -> bool:
    """The job ended well in spite of this: the process, or its job, did more network work with success afterwards."""
    after = _noticed(finding)
    if process is None or after is None:
        return False
    whole_job |= case.job_fate(process) == "ok" and case.fate(process) != "failed"  # whose step failed, did not go on
    line = last_line(finding)
    for other in case.clients:
        if other is socket or not case.answered(other) or case.is_dns(other):
            continue
        if (whole_job or case.process(other) is process) and _moved_after(case, other, after, line):
            return case.first_error(other) is None and _whole(other)
    return False


def _moved_after(case: Case, socket: Socket, after: int, line: int) -> bool:
    """Work was done on it after a moment, and after a line of the log, as clocks are coarse."""
    last = work_on(socket)[-1:]
    return bool(last) and last[0].record.lineno > line and case.ended(last[0]) >= after
