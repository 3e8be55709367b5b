"""Look -> what it waits for, in plain words, most important first.

Observation first, inference second, the check that settles it third. What the kernel cannot know is never stated as a
fact: who drops packets, whether the peer's program works on the answer, whether a NAT gateway is in the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from systrace.dataclass import dataclass
from systrace.look.nouns import Look, ProcessState, SocketState, Thread
from systrace.model import Draft, Line, Step
from systrace.rules.look import others as judge_others
from systrace.rules.look import sockets as judge_sockets
from systrace.rules.look.states import STATES
from systrace.rules.look.threads import judge_thread
from systrace.rules.look.waits import Judgement, Wait
from systrace.rules.look.wording import name_of, socket_line, who
from systrace.words import roughly

_UNREAD_MS = 5000  # data that wait this long are not about to be read
_CLOSE_WAIT = 10  # sockets the peer has closed and the program has not: more is a leak
_SHOWN = 3  # connections of a process that nobody may look into
_ALIKE = 3  # threads waiting alike are told once, with their number


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer: one line for people in a hurry, and the findings it rests on (never empty)."""

    headline: str
    findings: tuple[Draft, ...]


def diagnose(snapshot: Look, processes: Sequence[ProcessState] | None = None) -> Diagnosis:
    """Say what every thread of the tree waits for; `findings[0]` is what explains the hang.

    `processes` are those of the look with the threads that count; None: all.
    """
    judgements = [
        _judge(snapshot, process, thread)
        for process in (snapshot.processes if processes is None else processes)
        for thread in process.threads
    ]
    judgements.sort(key=lambda j: (-j.weight, -(j.finding.duration_ns or 0)))
    best = judgements[0] if judgements else None
    findings = _merge(judgements) + _notes(snapshot)
    headline = best.headline if best is not None else f"process {snapshot.pid} has no threads left"
    if not findings:
        findings = [Draft("inconclusive", severity="info", summary=f"{headline}.", lines=_limits(snapshot))]
    hidden = [limit for limit in snapshot.limits if limit.what.startswith("the calls")]
    if best is not None and best.finding.variant == "hidden" and hidden:
        headline = f"{best.headline}; {hidden[0].why}"
    return Diagnosis(headline, tuple(findings))


def _judge(snapshot: Look, process: ProcessState, thread: Thread) -> Judgement:
    for judge in STATES.values():
        if (found := judge(snapshot, process, thread)) is not None:
            return found
    call = thread.call
    if call is None or thread.state in "TtZXR" or process.kernel_thread or process.frozen:
        bare = judge_thread(process, thread, root=process.pid == snapshot.pid)
        return _with_connections(snapshot, bare) if bare.finding.variant == "hidden" else bare
    sockets = {state.fd: state for state in snapshot.sockets if state.pid == process.pid}
    waits = [
        Wait(snapshot, process, thread, call, sockets[fd], direction or "r")
        for fd, direction in call.fds
        if fd in sockets and sockets[fd].family != "netlink"
    ]
    if waits and not judge_others.elsewhere(thread, call):
        judged = [judge_sockets.judge(wait) for wait in _promising(waits)]
        return max(judged, key=lambda j: (j.weight, j.finding.duration_ns or 0))
    return judge_others.judge_call(Wait(snapshot, process, thread, call))


def _with_connections(snapshot: Look, judged: Judgement) -> Judgement:
    """Where only the call is hidden (Yama), the process's connections are not: one of them may be what it waits for."""
    finding = judged.finding
    found = [s for s in snapshot.sockets if s.pid == finding.pid and s.peer is not None and s.state != "listen"]
    if found:
        shown = ", ".join(f"fd {s.fd} to {name_of(s)}{_silence(s)}" for s in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        told = f"{finding.summary} Connections of the process: {shown}{more}."
        lines = [*finding.lines, *(socket_line(state) for state in found[:_SHOWN])]
        return Judgement(judged.weight, replace(finding, summary=told, lines=lines), judged.headline)
    return judged


def _silence(state: SocketState) -> str:
    return f" (silent for {roughly(state.silent_ms / 1000)})" if state.silent_ms is not None else ""


def _promising(waits: list[Wait]) -> list[Wait]:
    """Of a large interest set, connections whose request is the latest thing that happened come first."""
    if len(waits) <= 64:
        return waits

    def urgency(wait: Wait) -> tuple[bool, bool, int]:
        info = wait.state.tcp if wait.state is not None else None
        asked = info is not None and info.last_data_sent_ms <= info.last_data_received_ms
        return wait.retransmitting, asked, info.last_data_received_ms if info is not None else 0

    return sorted(waits, key=urgency, reverse=True)[:64]


def _merge(judgements: list[Judgement]) -> list[Draft]:
    """One finding for threads of a process that wait alike (a pool), counted."""
    found: dict[tuple[object, ...], list[Judgement]] = {}
    for judgement in judgements:
        finding = judgement.finding
        found.setdefault((finding.pid, finding.cause, finding.variant, finding.peer), []).append(judgement)
    merged = []
    for alike in found.values():
        if len(alike) < _ALIKE:
            merged += [judgement.finding for judgement in alike]
            continue
        first = alike[0].finding
        others = (judgement.finding.lines[0] for judgement in alike[1:_ALIKE])
        merged.append(replace(first, count=len(alike), lines=[*first.lines, *others]))
    return merged


def _notes(snapshot: Look) -> list[Draft]:
    """What is worth knowing beside the waits: data nobody reads, connections nobody closes, what could not be read."""
    waited = {(t.pid, fd) for t in snapshot.threads if t.call is not None for fd, _ in t.call.fds}
    ignored = [s for s in snapshot.sockets if (s.pid, s.fd) not in waited and _neglected(s)]
    found = [_unread(snapshot, state) for state in ignored]
    for process in snapshot.processes:
        half = [s for s in snapshot.sockets if s.pid == process.pid and s.state == "close-wait"]
        found += [_close_wait(process, half)] if len(half) >= _CLOSE_WAIT else []
        found += [_traced(process)] if process.tracer and all(t.state != "t" for t in process.threads) else []
    return found + ([_incomplete(snapshot)] if snapshot.limits else [])


def _note(process: ProcessState, cause: str, variant: str, summary: str, severity: str = "info", **more: Any) -> Draft:
    return Draft(cause, variant, severity, "confirmed", summary, pid=process.pid, command=process.command, **more)


def _traced(process: ProcessState) -> Draft:
    by = f"{who(process)} is traced by {process.traced_by}"
    text = f"{by}, which slows it down; nobody else can trace it meanwhile."
    lines = [Line(f"/proc/{process.pid}/status", 1, f"TracerPid: {process.tracer}")]
    return _note(process, "not-network", "traced", text, lines=lines, next_steps=[Step(f"ps -fp {process.tracer}")])


def _incomplete(snapshot: Look) -> Draft:
    text = "Not everything could be read: " + "; ".join(f"{limit.what}: {limit.why}" for limit in snapshot.limits)
    remedy = [limit.mend for limit in snapshot.limits if limit.mend]
    lines = _limits(snapshot)
    return Draft("inconclusive", "snapshot", "info", "confirmed", text, pid=snapshot.pid, lines=lines, remedy=remedy)


def _neglected(state: SocketState) -> bool:
    if not state.unread or state.state == "listen" or state.tcp is None:
        return False
    return state.tcp.last_data_received_ms >= _UNREAD_MS


def _unread(snapshot: Look, state: SocketState) -> Draft:
    process = next(p for p in snapshot.processes if p.pid == state.pid)
    age = roughly(state.tcp.last_data_received_ms / 1000) if state.tcp is not None else "some time"
    begins = f" They begin: {state.unread_head}" if state.unread_head else ""
    text = (
        f"{state.unread} bytes from {name_of(state)} have waited unread on fd {state.fd} of {who(process)} for {age}, "
        f"and no thread waits for them.{begins}"
    )
    peer = str(state.peer) if state.peer is not None else None
    return _note(process, "not-network", "unread-data", text, peer=peer, lines=[socket_line(state)])


def _close_wait(process: ProcessState, half: list[SocketState]) -> Draft:
    return _note(
        process,
        "stale-connection",
        "close-wait",
        f"{len(half)} connections of {who(process)} were closed by the peer and are still open here (CLOSE-WAIT): "
        "descriptors leak until none are left.",
        "warning",
        lines=[socket_line(state) for state in half[:3]],
        next_steps=[Step("ss -tn state close-wait")],
        remedy=["close the socket when a read returns 0"],
        count=len(half),
    )


def _limits(snapshot: Look) -> list[Line]:
    return [Line("snapshot", 1, f"{limit.what}: {limit.why}") for limit in snapshot.limits] or [
        Line("snapshot", 1, "no thread was left to look at")
    ]
