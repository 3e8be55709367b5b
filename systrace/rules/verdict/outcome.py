"""The verdict on the whole job (verdicts 4: precedence, 6: wording)."""

from __future__ import annotations

from systrace.model import Draft, Verdict
from systrace.rules.case.index import SECOND, Case
from systrace.rules.case.visibility import lost_calls, through_rings
from systrace.rules.rule import RULES, Harm
from systrace.rules.verdict.by_attach import ended_by_attach
from systrace.rules.verdict.undecided import end_missing, may_cope, offline, unknown
from systrace.words import seconds

_DEAR_NS = 10 * SECOND  # lost before something else worked: the next run may have a limit that is shorter


def judge(case: Case, findings: list[Draft]) -> Verdict:
    """The verdict: the root cause where something failed; else what was benign; else what cannot be told."""
    ours = ended_by_attach(case)
    if ours:
        return _inconclusive(ours)
    failures = [i for i, f in enumerate(findings) if f.severity in ("fatal", "error")]
    if failures:
        index = failures[0]
        finding = findings[index]
        process = case.owner_of(finding.pid)
        fate = case.fate(process)
        let_pass = fate == "failed" and case.job_fate(process) == "ok"  # a child's failure, which the job survived
        coped = may_cope(case, findings, index)
        if coped:
            return _inconclusive(coped)
        hung = RULES[finding.cause].hangs(finding, fate)
        coped_with = let_pass or (fate == "ok" and not case.perhaps_thread(process))
        outcome = "hung" if hung else "degraded" if coped_with else "failed"
        if outcome == "degraded":
            _soften(case, findings)
        return Verdict(outcome, finding.cause, finding.peer, index, finding.summary)
    unseen = lost_calls(case.evidence) or through_rings(case.evidence)
    if unseen:
        return _inconclusive(f"Nothing failed that can be seen, but {unseen}.")
    benign = _benign(case, findings)
    until_then = case.stops_early or end_missing(case)  # healthy, as far as the log goes
    if benign is not None and not (benign.outcome == "healthy" and until_then):
        return benign
    apart = offline(case)
    if apart:
        cause = next(cause for cause, each in RULES.items() if each.apart)
        return Verdict("failed", cause, None, None, apart)
    why = unknown(case)
    return _inconclusive(why) if why else Verdict("healthy", "healthy", None, None, _healthy(case))


def _inconclusive(why: str) -> Verdict:
    return Verdict("inconclusive", "inconclusive", None, None, why)


def _soften(case: Case, findings: list[Draft]) -> None:
    """Fatal is what a process died of; one that ended with status 0 got over it."""
    for finding in findings:
        if finding.severity == "fatal" and case.fate(case.owner_of(finding.pid)) == "ok":
            finding.severity = "error"


def _benign(case: Case, findings: list[Draft]) -> Verdict | None:
    for index, finding in enumerate(findings):
        harm = RULES[finding.cause].harm
        if harm == Harm.REST and finding.severity == "info":
            return Verdict("healthy", finding.cause, finding.peer, index, finding.summary)
        if harm == Harm.DELAY or (harm == Harm.REST and finding.severity == "warning"):
            return Verdict("degraded", finding.cause, finding.peer, index, finding.summary)
    if case.job_fate() in ("failed", "killed"):
        return None
    for index, finding in enumerate(findings):
        if RULES[finding.cause].harm == Harm.COPED:
            let_pass = any(f.recovered == "let pass" for f in findings)
            dear = (finding.duration_ns or 0) >= _DEAR_NS
            outcome = "degraded" if let_pass or dear else "healthy"
            return Verdict(outcome, finding.cause, finding.peer, index, finding.summary)
    return None


def _healthy(case: Case) -> str:
    log, job = case.evidence.source, case.job()
    text = "Nothing failed"
    if job is not None and case.fate(job) == "open":
        text += " until the log ends (the job had not)"
    text += f": {_connections(case)}"
    if log.first_ns is not None and log.last_ns is not None:
        text += f" in {seconds(log.last_ns - log.first_ns)}"
    longest = max((s.longest_silence_ns for s in case.clients if s.is_network), default=0)
    if longest > SECOND:
        text += f", the longest silence {seconds(longest)}"
    return f"{text}.{_slowest(case)}{_ran_out(case)}"


def _slowest(case: Case) -> str:
    """An answer that took most of what the program allows for it: the next one may take longer."""
    for socket in case.clients:
        span = max(socket.waits, key=lambda span: span.duration_ns or 0, default=None)
        if span is None or span.duration_ns is None or span.limit_ns is None or span.calls > 1 or span.timed_out:
            continue
        if span.limit_ns * _MOST_OF_IT < span.duration_ns <= span.limit_ns and span.duration_ns > SECOND:
            took = f"took {seconds(span.duration_ns)} of the limit of {seconds(span.limit_ns)}"
            return f" {case.label(socket)} {took} for an answer."
    return ""


def _ran_out(case: Case) -> str:
    """Without a clock, the time that waits took which ran out."""
    spans = [span for s in case.clients for span in s.waits if span.timed_out and span.limit_ns is not None]
    lost = 0 if case.has_clock else sum(span.limit_ns * span.calls for span in spans if span.limit_ns is not None)
    return f" Waits that ran out took {seconds(lost)} in all." if lost >= SECOND else ""


_MOST_OF_IT = 0.8


def _connections(case: Case) -> str:
    """How many there were over the network, in words; look-ups are none."""
    forgotten = case.evidence.forgotten
    clients = (s for s in case.clients if s.is_network and not case.is_dns(s))
    made = forgotten.made + sum(1 for s in clients if case.connected(s) or s.sent.calls or s.received.calls)
    servers = (s for s in case.evidence.sockets.values() if s.kind == "socket" and s.role == "server")
    accepted = forgotten.accepted + sum(1 for s in servers if s.is_network)
    text = f"{made or 'no'} connection{'' if made == 1 else 's'}"
    return f"{text} made, {accepted} accepted" if accepted else text
