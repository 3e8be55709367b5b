"""Where a log shows too little for a verdict: it breaks off, leaves out children, or holds no call that explains the end."""

from __future__ import annotations

from systrace.calls import CHILDREN, FUTEXES, SOCKETS
from systrace.model import Draft, Event, Process, Received, Repeat, Socket
from systrace.rules.case.index import Case, once
from systrace.rules.case.local_waits import descriptors_of
from systrace.rules.case.stalls import (
    awaits_clients,
    beside_accept,
    met_in,
    open_wait,
    rests_in_loop,
    stood_still,
    torn_apart,
)
from systrace.rules.case.unfinished import awaits_end
from systrace.rules.rule import RULES
from systrace.rules.verdict.explaining import last_line
from systrace.rules.verdict.hints import hints
from systrace.words import seconds


def may_cope(case: Case, findings: list[Draft], index: int) -> str:
    """The log breaks off, and a failure in it need not have been the end: the process goes on with other connections, or its
    job with other children, or did so when the same had failed before (a loop that tries again). Why nothing can be said,
    or "".
    """
    finding = findings[index]
    process = case.owner_of(finding.pid)
    if not case.evidence.health.torn or case.job_fate() != "open" or process is None or RULES[finding.cause].endless:
        return ""
    fate = case.fate(process)
    if fate == "ok" or (fate != "open" and not _is_child(case, process)):
        return ""
    before = {f.pid for f in findings if f.cause == finding.cause} - {process.pid}  # of other peers: mirrors, checks
    if not (before or finding.count > 1 or _goes_on(case, finding, process)):
        return ""
    root = case.root_of(process)
    return (
        f"The log breaks off while {case.name_of(root)} is at work: it goes on after {finding.cause} at "
        f"{finding.peer or 'no peer'} in {case.name_of(process)}, and how that ended is unknown."
    )


def _is_child(case: Case, process: Process) -> bool:
    blind = not case.sees_close or not case.sees_parents  # then all are of the one that outlived the others
    return case.root_of(process) is not process or (blind and case.roots()[0] is not process)


def _goes_on(case: Case, finding: Draft, process: Process) -> bool:
    """After the failure: another child, or bytes or an attempt on another socket."""
    if case.fate(process) != "open":
        ended = process.end_ns
        later = (p for p in case.evidence.processes.values() if ended is not None and (p.start_ns or 0) >= ended)
        return any(case.same_job(p, process) for p in later)
    after = last_line(finding)
    return any(
        s.uid != finding.socket and s.timeline and s.timeline[-1].record.lineno > after and case.process(s) is process
        for s in case.clients
    )


_OWN = {"strace_options", "calls"}  # facts that every recording of systrace's own has, one or the other
_AGAIN = "Record again with systrace run -- COMMAND (or strace -f -ttt -T -y -s 65535 -o FILE COMMAND)."


def unknown(case: Case) -> str:
    """The job failed, or the log shows nothing: why no cause is to be seen; "" where nothing is missing."""
    health = case.evidence.health
    if health.records == 0:
        return "The log contains no calls: nothing can be said."
    if case.stops_early:
        return _stops_early(case)
    root = case.job()
    fate = case.fate(root) if root is not None else "ok"
    if root is None or fate == "ok":
        return ""
    if fate == "open":
        return _unfinished(case, root)
    how = f"exit status {root.exit_code}" if root.signal is None else root.signal
    text = f"{case.name_of(root)} ended with {how}, and no network call in this log explains it."
    text += hints(case, root)
    if health.limits and not _OWN & case.evidence.source.facts.keys():
        # of systrace's own recordings another one would show no more
        text += f" This log hides much: {health.limits[0]}. {_AGAIN}"
    return text


def offline(case: Case) -> str:
    """The job failed and nobody in it had opened a connection, in a log that would show one: what to say of it, or "".

    One to a process of this host (a database's UNIX socket) counts as one; syslog's does not.
    """
    root, evidence = case.job(), case.evidence
    if root is None or case.fate(root) not in ("failed", "killed") or case.stops_early or evidence.health.torn:
        return ""
    if not case.shows(SOCKETS) or case.only_failures or not _shows_everybody(case) or evidence.forgotten.made:
        return ""
    if any(
        s.is_network or (s.family == "unix" and s.type != "dgram" and s.sent.calls) for s in evidence.sockets.values()
    ):
        return ""
    how = f"ended with exit status {root.exit_code}" if root.signal is None else f"was killed by {root.signal}"
    return f"{case.name_of(root)} {how}, and nobody in it had opened a connection: not the network.{hints(case, root)}"


def _shows_everybody(case: Case) -> bool:
    """Whether the calls of all processes of the job are in the log, as far as it tells: whoever it began was traced, nobody
    else's end was reported to it (SIGCHLD, wait4), and somebody's calls would be seen: without the column of pids (-f) and
    without forks, children leave no trace in a log.
    """
    processes, style = case.evidence.processes, case.evidence.source.style
    if not case.sees_close and style.pid == "none" and len(case.evidence.source.files) == 1:
        return False
    return all(p.traced and p.child_statuses.keys() <= processes.keys() for p in processes.values())


def end_missing(case: Case) -> bool:
    """The job's end is not in a log that owes it: a tracer stays until the program ends (strace(1)), unless it was attached to
    it or let it go. Whoever cut the log may have cut off the failure, too.
    """
    root, source = case.job(), case.evidence.source
    if root is None or case.fate(root) != "open" or case.attached or source.style.let_go:
        return False
    return not _OWN & source.facts.keys()  # of our own recordings it is known why they end (`Case.stops_early`)


def _stops_early(case: Case) -> str:
    """What was under way where a recording stops, and how the job ended, which systrace itself waited for."""
    waits = [(socket, span) for socket in case.clients if (span := open_wait(socket)) is not None]
    why = case.stops_early.partition(": the recording")[0].removesuffix(" and stops there")
    text = f"The recording stops before the job did ({why})"
    if waits:
        socket, _span = max(waits, key=lambda wait: wait[1].start_ns or 0)
        text += f" while {case.user(socket)} waits for {case.label(socket)}"
    status = case.evidence.source.facts.get("exit_status")
    later = f"; the job ended with status {status}" if isinstance(status, int) else ""
    return f"{text}: how that went on is not in it{later}. Nothing had failed until then."


_DOING = {
    "sleep": "slept",
    "futex": "waited for a lock or another of its threads",
    "lock": "waited for a file lock",
    "signal": "waited for a signal",
    "stdin": "waited for its standard input",
    "child": "waited for a child",
}


def _is_helper(case: Case, process: Process, event: Event) -> bool:
    """Its thread, or the whole process, waits for others of the job that are seen at work."""
    call = event.record.syscall
    if call in FUTEXES:
        return rests_in_loop(case, process)
    below = {each.pid for each in case.descendants(process)} if call in CHILDREN else set()
    return any(s.pid in below and any(isinstance(e, Received) and e.size for e in s.timeline) for s in case.clients)


def _blocked_all_the_while(case: Case, root: Process) -> str:
    """What a process did from before the trace to its end, as far as the snapshot at its head tells; "" where none did."""
    still = [
        (process, event)
        for process in case.evidence.processes.values()
        if not awaits_clients(case, process)
        for event in process.pending
        if stood_still(case, event) and met_in(case, process, event) and not _is_helper(case, process, event)
        if not any(beside_accept(case, span) for span in process.spans if span.events[-1] is event)
    ]
    if not still:
        return ""
    events = {id(event) for _, event in still}
    waits = [
        (process, span)
        for process in {id(process): process for process, _ in still}.values()
        for span in process.spans
        if span.kind in _DOING and span.ended_by == "" and id(span.events[-1]) in events
        if span.limit_source not in ("", "restart_syscall")
    ]
    if not waits:
        return _in_a_call(case, root, still)
    process, span = min(waits, key=lambda wait: list(_DOING).index(wait[1].kind))
    lasted = case.last_ns - span.start_ns if case.last_ns is not None and span.start_ns is not None else None
    return (
        f"{case.name_of(process)} {_DOING[span.kind]} ({span.limit_source}) from before strace attached until it left, "
        f"{seconds(lasted)}; what it does when it goes on is not in this log."
    )


def _in_a_call(case: Case, root: Process, still: list[tuple[Process, Event]]) -> str:
    """What is known of a call that began before the trace; restart_syscall(2) hides even which one it is."""
    process, event = next(
        ((p, event) for p, event in still if event.record.syscall != "restart_syscall"), (root, still[0][1])
    )
    call = event.record.syscall
    numbers, told = descriptors_of(event), call != "restart_syscall"
    on = f" on descriptor{'s' if ',' in numbers else ''} {numbers}" if numbers else ""
    return (
        f"{case.name_of(process)} was blocked in {call + on if told else 'a call'} when strace attached and when it left; "
        f"{'for how long' if told else 'which one'} the log does not tell. Look at it without strace: systrace attach PID "
        "--passive."
    )


def _unfinished(case: Case, root: Process) -> str:
    """The log stops before the job does: why what it shows is not enough to call it well, or ""."""
    blocked = _blocked_all_the_while(case, root)
    if blocked:
        return blocked
    name = case.name_of(root)
    hidden = _hidden_work(case)
    if hidden:
        return f"{name} had not ended when the log did, and {hidden}. {_AGAIN}"
    still_open = [s for s in case.clients if s.is_network and not s.closed_by]
    torn = next((s for s in still_open if _under_way(case, s)), None)
    if torn is not None:
        return (
            f"The log ends while {case.user(torn)} still receives an answer from {case.label(torn)}: how it "
            "went on is unknown. Nothing had failed until then."
        )
    connects = next((s for s in still_open if _still_connects(case, s)), None)
    if connects is not None:
        return (
            f"The log ends while {case.user(connects)} still connects to {case.label(connects)}: whether the connection came "
            "about is unknown. Nothing had failed until then."
        )
    asks = next((each for each in case.evidence.repeats if each.at_end and _gets_nothing(each)), None)
    if asks is not None and not case.sees_waits:
        return (
            f"{name} repeats {asks.first.record.syscall} until the log ends, {asks.rounds} times, and gets nothing; "
            f"-e trace=network hides whether it waits in between. {_AGAIN}"
        )
    if not case.sees_waits and any(s.type == "stream" for s in still_open):
        return (
            f"{name} still had connections open when the log ended, and -e trace=network hides whether it waited on them. "
            f"{_AGAIN}"
        )
    return _breaks_off(case, name)


def _breaks_off(case: Case, name: str) -> str:
    """The log was cut, in a line or between two, before the job's end; or ""."""
    at_work = _at_work(case) if case.evidence.health.torn else None
    if at_work is not None:
        return (
            f"The log breaks off while {case.name_of(at_work)} is at work: how it ended is unknown. Nothing had failed until "
            "then."
        )
    if end_missing(case):
        return f"The log ends before {name} does: how it ended is not in it. Nothing had failed until then."
    return ""


def _gets_nothing(repeat: Repeat) -> bool:
    """All its calls fail, or meet the end of what they read."""
    return all(event.record.errno is not None or event.record.retval == 0 for event in repeat.calls)


def _at_work(case: Case) -> Process | None:
    """The last of the processes that had not ended when the log did, and waited for nothing."""
    alive = (p for p in reversed(case.evidence.processes.values()) if p.traced and case.fate(p) == "open")
    return next((p for p in alive if not _waits(case, p)), None)


def _waits(case: Case, process: Process) -> bool:
    """A wait of this process, on a socket or not, had no end when the log ended."""
    if case.cut_at_work(process):
        return False
    waits = [span.events[-1] for span in process.spans if not span.ended_by]
    waits += _on_sockets(case).get(process.pid, [])
    return any(not torn_apart(event) for event in [*waits, *process.pending])


@once
def _on_sockets(case: Case) -> dict[int, list[Event]]:
    """The calls that wait on sockets when the log ends, by process."""
    found: dict[int, list[Event]] = {}
    for socket in case.clients:
        span, process = open_wait(socket), case.process(socket)
        if span is not None and process is not None:
            found.setdefault(process.pid, []).append(span.events[-1])
    return found


def _under_way(case: Case, socket: Socket) -> bool:
    """An answer has begun and is not whole, or its end is owed, and nothing says that no more came."""
    if awaits_end(socket, open_wait(socket)):
        return True
    last = next((m for m in reversed(socket.messages) if m.direction == "received"), None)
    return last is not None and not last.complete and not socket.faults and case.connected(socket)


def _still_connects(case: Case, socket: Socket) -> bool:
    """Its connect is under way, and its process did nothing on another connection since (it may race two addresses)."""
    attempt = socket.attempts[-1] if socket.attempts else None
    if attempt is None or attempt.outcome != "pending" or socket.type != "stream":
        return False
    process, since = case.process(socket), case.at(attempt.events[-1])
    others = (s for s in case.clients if s is not socket and case.process(s) is process and s.timeline)
    return not any(case.at(other.timeline[-1]) > since for other in others)


def _hidden_work(case: Case) -> str:
    """What a log of a job that still runs leaves out altogether."""
    if case.only_failures:
        return "the log holds failing calls only (-Z): what it waited for is unknown"
    children = [p for p in case.evidence.processes.values() if p.parent is not None]
    if children and not any(p.traced for p in children):
        return "its children were not traced (no -f): what they did is unknown"
    return ""
