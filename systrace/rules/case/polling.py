"""Waiting by looking again and again: for a lock file, for a child (WNOHANG), with sleeps in between."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls.errnos import WOULD_BLOCK
from systrace.model import Blocked, Draft, Event, Received, Repeat, Socket, Step, Waited
from systrace.rules.advice.probes import number
from systrace.rules.case.index import SECOND, Case
from systrace.words import seconds


def polled(case: Case, cause: str) -> Iterator[Draft]:
    """Loops of nothing but sleeps and looks, which went on to the end: what they wait for had not come."""
    for repeat in case.evidence.repeats:
        process = case.owner_of(case.evidence.owners.get(repeat.tid, repeat.tid))
        if process is None or not repeat.at_end or case.fate(process) not in ("open", "killed") or not _polls(repeat):
            continue
        lasted = repeat.duration_ns
        if lasted is not None and lasted < SECOND:
            continue
        finding = case.finding(cause, None, [repeat.first, *repeat.calls], process)
        finding.variant, finding.severity, finding.confidence = "polling", "warning", "likely"
        finding.duration_ns, finding.end_ns = lasted, process.end_ns or case.last_ns
        child = next((e.detail for e in repeat.calls if isinstance(e, Blocked) and e.kind == "child"), "")
        what = f"its child {child} to end (wait with WNOHANG)" if child else "something that the log does not show"
        since = f", for {seconds(lasted)}" if lasted is not None else ""
        finding.summary = (
            f"{case.name_of(process)} polls: it slept and looked {repeat.rounds} times{since}, waiting for {what}."
        )
        finding.causes = [
            f"child {child} does not end" if child else "a lock file, a flag or a result that does not come"
        ]
        pid = number(process)
        finding.next_steps = [
            Step(
                f"pstree -p {pid}; systrace attach --passive {child}" if child else f"strace -f -e trace=file -p {pid}"
            )
        ]
        finding.remedy = ["give the loop a limit, and let it say what it waits for"]
        finding.refuted_by = "the loop ending by itself"
        yield finding


def asked_in_vain(case: Case) -> Iterator[tuple[Socket, Repeat]]:
    """Loops that try to receive, are told EAGAIN and sleep, to the end of the log, on a connection that owes an answer."""
    for repeat in case.evidence.repeats:
        process = case.owner_of(case.evidence.owners.get(repeat.tid, repeat.tid))
        if process is None or not repeat.at_end or case.fate(process) not in ("open", "killed"):
            continue
        tries = {e.fd for e in repeat.calls if isinstance(e, Received) and e.record.errno in WOULD_BLOCK}
        if len(tries) != 1 or not _looks_and_sleeps(repeat) or (repeat.duration_ns or 0) < SECOND:
            continue
        held = (process.pid, *tries)
        for socket in case.clients:
            if (
                socket.type == "stream"
                and _owes(socket)
                and any((h.pid, h.fd) == held and h.to_ns is None for h in socket.holders)
            ):
                yield socket, repeat


def _owes(socket: Socket) -> bool:
    turn = socket.turn
    return socket.last_word == "ours" if turn is None else bool(turn.request_bytes and not turn.answer_bytes)


def _looks_and_sleeps(repeat: Repeat) -> bool:
    """Rounds of tries and pauses, and nothing else."""
    return any(pauses(e) for e in repeat.calls) and all(
        pauses(e) or (isinstance(e, Received) and e.record.errno in WOULD_BLOCK) for e in repeat.calls
    )


def pauses(event: Event) -> bool:
    """It sleeps; poll(2) that runs out does so, too."""
    return (isinstance(event, Blocked) and event.kind == "sleep") or (isinstance(event, Waited) and not event.ready)


def _polls(repeat: Repeat) -> bool:
    looks = all(
        isinstance(e, Blocked) and (e.kind == "sleep" or (e.kind == "child" and e.limit_ns == 0)) for e in repeat.calls
    )
    return looks and any(isinstance(e, Blocked) and e.kind == "sleep" for e in repeat.calls)
