"""What a look at live processes says: a dead path, a holder of a lock, a circle; judged by the same rules as a trace.

`diagnose` judges one look. `looked` gives each rule the drafts of its cause. Where a trace follows, only threads count
that were still in the very call when the trace ended: what went on has answered the question itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from systrace.model import Draft, Fact, Socket, Span, Verdict
from systrace.rules.case.index import SECOND, Case, once
from systrace.rules.case.stalls import open_wait, stood_still
from systrace.rules.look.diagnose import Diagnosis, diagnose

_HANG_NS = 2 * SECOND  # shorter waits at the end of a log are how any log ends
GRAVE = ("fatal", "error")
_OUTCOMES = {"fatal": "hung", "error": "hung", "warning": "degraded"}  # by the severity of the first finding
# What has ended, belongs to the kernel, may not be seen or waits for who knows what is neither well nor ill.
_UNDECIDED = ("zombie", "kernel", "hidden", "futex", "event", "other")
_RANK = {"confirmed": 0, "likely": 1, "possible": 2}


def alone(case: Case) -> bool:
    """There is nothing but a look: nobody attached after it."""
    evidence = case.evidence
    return bool(evidence.looks) and not evidence.health.records and "attached" not in evidence.source.facts


@once
def diagnoses(case: Case) -> list[Diagnosis]:
    """What each look says; where a trace follows, of the threads that stood still to its end."""
    if alone(case):
        return [diagnose(look) for look in case.evidence.looks]
    still = _still(case)
    found = []
    for look in case.evidence.looks:
        processes = tuple(
            replace(process, threads=tuple(thread for thread in process.threads if thread.tid in still))
            for process in look.processes
        )
        if any(process.threads for process in processes):
            found.append(diagnose(look, processes))
    return found


def looked(case: Case, cause: str) -> Iterator[Draft]:
    """What the look says of a cause and the trace did not refute: only what is grave, where there is a trace.

    A wait that was too short yet to be grave, and of which the kernel itself says what for, is so when it has outlasted
    the trace: the trace alone would call it a hang, with less proof.
    """
    for diagnosis in diagnoses(case):
        for draft in diagnosis.findings:
            if draft.cause != cause:
                continue
            placed = _placed(case, draft)
            if alone(case) or draft.severity in GRAVE:
                yield placed
            elif draft.severity == "warning" and draft.confidence == "confirmed" and _lasted(placed):
                yield replace(placed, severity="fatal")


def _lasted(draft: Draft) -> bool:
    return draft.duration_ns is not None and draft.duration_ns >= _HANG_NS


def never_weaker(case: Case, found: list[Draft]) -> list[Draft]:
    """The final word on a wait is at least as sure as the look's: what the trace says less surely of the same is left out.

    The kernel's own word (retransmitting, who holds the lock) is no weaker for the calls that were seen afterwards.
    """
    grave = [d for cause in {d.cause for each in diagnoses(case) for d in each.findings} for d in looked(case, cause)]
    traced = [draft for draft in found if not draft.lines]  # those of the look bring lines of their own
    for look in grave:
        for draft in traced:
            if (draft.pid, draft.cause) == (look.pid, look.cause):
                draft.confidence = min(draft.confidence, look.confidence, key=_RANK.__getitem__)
    told = {(look.pid, look.cause) for look in grave}
    surer = {(look.pid, look.socket): _RANK[look.confidence] for look in grave}

    def outdone(draft: Draft) -> bool:
        if draft.lines or draft.severity not in GRAVE or (draft.pid, draft.cause) in told:
            return False
        return _RANK[draft.confidence] >= surer.get((draft.pid, draft.socket), len(_RANK))

    return [draft for draft in found if not outdone(draft)]


def answer(case: Case) -> Verdict:
    """The verdict of a look alone."""
    first = diagnoses(case)[0]
    draft = first.findings[0]
    undecided = draft.cause == "inconclusive" or draft.variant in _UNDECIDED
    outcome = "inconclusive" if undecided else _OUTCOMES.get(draft.severity, "healthy")
    return Verdict(outcome, draft.cause, draft.peer, 0, first.headline)


def _placed(case: Case, draft: Draft) -> Draft:
    """With the socket that the log knows, and with the length of the whole wait."""
    if alone(case):
        return draft
    socket = next((s for s in case.evidence.sockets.values() if _is(s, draft)), None)
    looked_ns = case.evidence.looks[0].time_ns
    lasted = draft.duration_ns
    if lasted is not None and case.last_ns is not None:
        lasted += max(0, case.last_ns - looked_ns)
    return replace(draft, socket=socket.uid if socket is not None else None, end_ns=case.last_ns, duration_ns=lasted)


def _is(socket: Socket, draft: Draft) -> bool:
    held = {(holder.pid, holder.fd) for holder in socket.holders} if socket.inherited else ()
    return draft.fd is not None and (draft.pid, draft.fd) in held


def _still(case: Case) -> set[int]:
    """The threads that were in one call from before the trace to its end."""
    waiting = {
        span.tid
        for span in _open_waits(case)
        if isinstance(span.events[-1], Fact) or stood_still(case, span.events[-1])
    }
    pending = (event for process in case.evidence.processes.values() for event in process.pending)
    return waiting | {event.record.tid for event in pending if stood_still(case, event)}


def _open_waits(case: Case) -> Iterator[Span]:
    for process in case.evidence.processes.values():
        yield from (span for span in process.spans if not span.ended_by)
    for socket in case.evidence.sockets.values():
        span = open_wait(socket)
        if span is not None:
            yield span
