"""Which finding is the root cause, and the verdict on the whole job.

A finding is about one socket or process. The job died of the one that its failing process met last, unless a heavier
kind explains that one; what a later success made good is no failure (verdicts 4: precedence, 6: wording).
"""

from __future__ import annotations

from systrace.model import Finding, Process, Socket, Verdict
from systrace.rules.case import SECOND, Case
from systrace.rules.undecided import may_cope, unknown
from systrace.words import seconds

_SEVERITY = {"fatal": 0, "error": 1, "warning": 2, "info": 3}
# What explains what: a heavier kind on the same process explains lighter ones after it.
_WEIGHT = {
    "fd-exhaustion": 0, "port-exhaustion": 1, "bind-conflict": 1, "dns-timeout": 2, "dns-error": 2,
    "unix-socket-missing": 3, "connect-refused": 3, "connect-timeout": 3, "unreachable": 3, "data-channel-blocked": 3,
    "tls-error": 4, "protocol-mismatch": 4,
}  # fmt: skip
_DEFAULT_WEIGHT = 5
_CONFIDENCE = {"confirmed": 0, "likely": 1, "possible": 2}
_SHORTAGES = ("fd-exhaustion", "port-exhaustion")  # of these a whole process suffers
_HUNG = ("hung-read", "idle-timeout", "send-blocked", "not-network")


def mark_recovered(case: Case) -> None:
    """A failure that something later made good is information, not an error."""
    successes = _Successes(case)
    for finding in case.findings:
        if finding.severity in ("fatal", "error"):
            finding.recovered = recovery(case, finding, successes)
            if finding.recovered:
                finding.severity = "info"


def ranked(case: Case, found: list[Finding]) -> list[Finding]:
    """All findings, the root cause first; the same one on many sockets once, with a count."""
    merged = _merged(found)
    rivals = _Rivals(case.findings)
    return sorted(merged, key=lambda f: _key(case, f, rivals))


class _Rivals:
    """The failures that may explain others, by where they do: a log may hold a hundred thousand of them."""

    def __init__(self, findings: list[Finding]) -> None:
        self._of_socket: dict[tuple[int | None, str | None], list[Finding]] = {}
        self._of_process: dict[int | None, dict[str, Finding]] = {}  # by cause, the first one
        self._proven: set[str | None] = set()
        for finding in findings:
            if finding.severity not in ("fatal", "error"):
                continue
            self._of_socket.setdefault((finding.pid, finding.socket), []).append(finding)
            if finding.cause in _SHORTAGES:
                first = self._of_process.setdefault(finding.pid, {}).setdefault(finding.cause, finding)
                if (finding.time_ns or 0) < (first.time_ns or 0):
                    self._of_process[finding.pid][finding.cause] = finding
            if finding.confidence == "confirmed":
                self._proven.add(finding.peer)

    def explain(self, finding: Finding) -> bool:
        """Whether a heavier failure stands behind this one, or a proven one at the same peer says it better."""
        near = self._of_socket.get((finding.pid, finding.socket), []) if finding.socket is not None else []
        if any(_explains(other, finding) for other in near if other is not finding):
            return True
        if any(_explains(other, finding) for other in self._of_process.get(finding.pid, {}).values()):
            return True
        return finding.confidence == "possible" and finding.peer in self._proven


def _key(case: Case, finding: Finding, rivals: _Rivals) -> tuple[int, int, int, int, int, int]:
    process = case.owner_of(finding.pid)
    fate = case.fate(process)
    hopeless = 0 if fate in ("failed", "killed") else 1 if fate == "open" else 2
    if finding.severity not in ("fatal", "error"):
        return (_SEVERITY[finding.severity], 0, 3, 0, finding.time_ns or 0, 0)
    blame = _explained(case, process)
    late = -(finding.end_ns or finding.time_ns or 0)
    last = 1 if finding.cause == "not-network" and len(case.findings) > 1 else 0
    line = -max((e.record.lineno for e in finding.evidence), default=0)  # settles ties of coarse clocks
    return (0, int(rivals.explain(finding)), hopeless + blame + last, late, line, _CONFIDENCE[finding.confidence])


def _explains(cause: Finding, effect: Finding) -> bool:
    """A heavier kind of failure explains what the same process met after it: on the same peer, or, where the whole
    process was short of something, anywhere.
    """
    if cause.severity not in ("fatal", "error") or cause.pid != effect.pid:
        return False
    if _WEIGHT.get(cause.cause, _DEFAULT_WEIGHT) >= _WEIGHT.get(effect.cause, _DEFAULT_WEIGHT):
        return False
    if (cause.time_ns or 0) > (effect.end_ns or effect.time_ns or 0):
        return False
    if cause.cause in _SHORTAGES:
        return True
    return cause.socket is not None and cause.socket == effect.socket


def _explained(case: Case, process: Process | None) -> int:
    """1 where the failure of this process did not reach its parent: the job went on without it."""
    if process is None or process.parent is None:
        return 0
    parent = case.owner_of(process.parent)
    return 0 if parent is None or case.fate(parent) != "ok" else 1


def _merged(found: list[Finding]) -> list[Finding]:
    kept: dict[tuple[str, str, str | None, str], Finding] = {}
    for finding in sorted(found, key=lambda f: f.end_ns or f.time_ns or 0):
        key = (finding.cause, finding.variant, finding.peer, finding.recovered)
        first = kept.get(key)
        if first is None:
            kept[key] = finding
            continue
        finding.count += first.count
        finding.time_ns = first.time_ns
        finding.evidence = [*first.evidence[:2], *finding.evidence]
        kept[key] = finding
    return list(kept.values())


# -------------------------------------------------------------------------------------------------------------- recovery


class _Successes:
    """The connections that worked, by type of socket: looked for once, not for each of many failures."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._known: dict[tuple[str, bool], list[Socket]] = {}

    def like(self, socket: Socket, connect_failed: bool) -> list[Socket]:
        """Those that may stand for what this socket failed at."""
        key = (socket.type, connect_failed)
        if key not in self._known:
            case = self._case
            self._known[key] = [each for each in case.clients if _worked(case, each, socket, connect_failed)]
        return self._known[key]


def recovery(case: Case, finding: Finding, successes: _Successes | None = None) -> str:
    """Why a failure did not matter: fallback (another address), retry (the same later), survived (the rest worked, or
    nobody was to hear of it), let pass (the process failed of it, and who began it ended well), purpose (the job stopped
    it itself); or ""."""
    socket = case.evidence.sockets.get(finding.socket or "")
    if socket is None:
        return ""
    process = case.owner_of(finding.pid)
    fate = case.fate(process)
    after = finding.end_ns if finding.end_ns is not None else finding.time_ns
    connect_failed = finding.cause in ("connect-refused", "connect-timeout", "unreachable", "unix-socket-missing",
                                       "port-exhaustion", "bind-conflict")  # fmt: skip
    for other in (successes or _Successes(case)).like(socket, connect_failed):
        if other is socket and not connect_failed:
            continue
        when = _success_time(case, other)
        if when is None or after is None:
            continue
        same = other.peer is not None and str(other.peer) == finding.peer
        if not case.same_job(process, case.process(other)):
            continue
        if same and not _tried_again(case, finding, process, other, after):
            continue
        if same and when >= after and (connect_failed or other is not socket):
            return "retry"
        if connect_failed and not same and _same_purpose(case, socket, other, finding, when, after):
            return "fallback"
    if _ended_on_purpose(case, process):
        return "purpose"
    if (fate == "ok" or case.job_fate(process) == "ok") and _went_on(case, finding, socket, process):
        return "survived"
    if connect_failed and fate == "ok" and case.job_fate(process) == "ok" and _was_to_be_silent(process, after):
        return "survived"
    root = case.root_of(process)
    if fate == "failed" and root is not process and case.fate(root) == "ok":
        return "let pass"
    return ""


def _was_to_be_silent(process: Process | None, after: int | None) -> bool:
    """Its complaints went to /dev/null, all of them: whoever started it knew that this may fail."""
    complaints = [o for o in process.output if o.fd == 2] if process is not None else []
    times = [o.event.record.time_ns for o in complaints]
    return (
        bool(complaints)
        and all(o.path == "/dev/null" for o in complaints)
        and (after is None or any(t is None or t >= after for t in times))
    )


def _tried_again(case: Case, finding: Finding, process: Process | None, other: Socket, after: int) -> bool:
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


def _worked(case: Case, other: Socket, socket: Socket, connect_failed: bool) -> bool:
    if other.kind != "socket" or not case.connected(other) or other.type != socket.type:
        return False
    if connect_failed and not case.first_error(other):
        return bool(other.attempts)
    turn = other.turn
    if turn is not None and turn.answer_bytes and case.first_error(other) is None:
        return _whole(other)
    return False


def _whole(socket: Socket) -> bool:
    """The last message came whole, or the log shows too little of it (-s) to say that it did not."""
    return all(m.complete or getattr(m, "incomplete_reason", "") == "clipped" for m in socket.messages[-1:])


def _success_time(case: Case, other: Socket) -> int | None:
    attempt = next((a for a in other.attempts if a.outcome == "connected"), None)
    if attempt is None or not attempt.events:
        return None
    if attempt.end_ns is not None:
        return attempt.end_ns
    return case.ended(attempt.events[-1])


def _same_purpose(case: Case, socket: Socket, other: Socket, finding: Finding, when: int, after: int) -> bool:
    """Another address of the same service: same process and port, tried next, or raced and preferred."""
    if case.process(socket) is not case.process(other):
        return False
    if socket.name and other.name and socket.name != other.name:
        return False
    attempt = next(a for a in other.attempts if a.outcome == "connected")
    began = case.at(attempt.events[0])
    tried_next = began >= after
    raced = finding.variant != "deadline" or finding.confidence != "confirmed"
    if not tried_next and not (raced and abs(after - when) < SECOND) and case.has_clock:
        return False
    if socket.family == "unix" or other.family == "unix":
        return True
    port = finding.peer.rpartition(":")[2] if finding.peer else ""
    return other.peer is not None and str(other.peer.port) == port


def _went_on(case: Case, finding: Finding, socket: Socket, process: Process | None) -> bool:
    """The job ended well in spite of this: the process, or its job, did more network work with success afterwards."""
    after = finding.end_ns if finding.end_ns is not None else finding.time_ns
    if process is None or after is None:
        return False
    whole_job = case.job_fate(process) == "ok"
    line = max((e.record.lineno for e in finding.evidence), default=0)
    for other in case.clients:
        if other is socket or other.turn is None or not (whole_job or case.process(other) is process):
            continue
        last = other.last_progress_ns if case.has_clock else case.ended(other.timeline[-1]) if other.timeline else None
        later = last is not None and last >= after and bool(other.timeline) and other.timeline[-1].record.lineno > line
        if other.turn.answer_bytes and later and not case.is_dns(other):
            return case.first_error(other) is None and _whole(other)
    return False


# --------------------------------------------------------------------------------------------------------------- verdict


def judge(case: Case, findings: list[Finding]) -> Verdict:
    """The verdict: the root cause where something failed; else what was benign; else what cannot be told."""
    failures = [i for i, f in enumerate(findings) if f.severity in ("fatal", "error")]
    if failures:
        index = failures[0]
        finding = findings[index]
        process = case.owner_of(finding.pid)
        fate = case.fate(process)
        let_pass = fate == "failed" and case.job_fate(process) == "ok"  # a child's failure, which the job survived
        coped = may_cope(case, findings, index)
        if coped:
            return Verdict("inconclusive", "inconclusive", None, None, coped)
        hung = finding.cause in _HUNG and (finding.variant != "limit")
        hung = hung or (finding.cause == "connect-timeout" and finding.variant == "pending" and fate == "open")
        outcome = "hung" if hung else "degraded" if fate == "ok" or let_pass else "failed"
        if outcome == "degraded":
            _soften(case, findings)
        return Verdict(outcome, finding.cause, finding.peer, index, finding.summary)
    benign = _benign(case, findings)
    if benign is not None and benign.outcome == "healthy" and case.stops_early:
        benign = None  # until then
    return benign or unknown(case) or Verdict("healthy", "healthy", None, None, _healthy(case))


def _soften(case: Case, findings: list[Finding]) -> None:
    """Fatal is what a process died of; one that ended with status 0 got over it."""
    for finding in findings:
        if finding.severity == "fatal" and case.fate(case.owner_of(finding.pid)) == "ok":
            finding.severity = "error"


def _benign(case: Case, findings: list[Finding]) -> Verdict | None:
    for index, finding in enumerate(findings):
        if finding.cause == "not-network" and finding.severity == "info":  # it sleeps on purpose
            return Verdict("healthy", finding.cause, finding.peer, index, finding.summary)
        if finding.cause in ("slow-connect", "retry-storm"):
            return Verdict("degraded", finding.cause, finding.peer, index, finding.summary)
    if case.job_fate() in ("failed", "killed"):
        return None
    for index, finding in enumerate(findings):
        if finding.cause in ("fallback-ok", "recovered-error"):
            let_pass = any(f.recovered == "let pass" for f in findings)
            return Verdict("degraded" if let_pass else "healthy", finding.cause, finding.peer, index, finding.summary)
    return None


def _healthy(case: Case) -> str:
    network = [s for s in case.clients if s.is_network]
    span = case.evidence.source
    took = span.last_ns - span.first_ns if span.first_ns is not None and span.last_ns is not None else None
    roots = [p for p in case.roots() if p.traced]
    open_end = " until the log ends (the job had not)" if roots and case.fate(roots[0]) == "open" else ""
    made = sum(1 for s in network if not case.is_dns(s) and (case.connected(s) or s.sent.calls or s.received.calls))
    accepted = sum(
        1 for s in case.evidence.sockets.values() if s.kind == "socket" and s.is_network and s.role == "server"
    )
    made += case.evidence.forgotten.made
    accepted += case.evidence.forgotten.accepted
    text = f"Nothing failed{open_end}: {made or 'no'} connection{'' if made == 1 else 's'}"
    if accepted:
        text += f" made, {accepted} accepted"
    if took is not None:
        text += f" in {seconds(took)}"
    longest = max((s.longest_silence_ns for s in network), default=0)
    if longest > SECOND:
        text += f", the longest silence {seconds(longest)}"
    return text + "."
