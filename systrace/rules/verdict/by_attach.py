"""Whether a process ended of being attached to: neither tracer sees the call that its coming ends, the look before it does."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import Process, Span
from systrace.rules.case.index import SECOND, Case
from systrace.rules.look.diagnose import diagnose
from systrace.rules.look.interrupting import Interrupted, interrupted_by_attach

_MOMENTS_NS = 3 * SECOND  # from the look; the tracer comes within one
_FROM_OUTSIDE = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGKILL")


def ended_by_attach(case: Case) -> str:
    """What a process was doing that ended as soon as a tracer had ended its wait with EINTR, and how; "" where none did."""
    for look in case.evidence.looks if case.attached else ():
        for each in interrupted_by_attach(look):
            process = case.owner_of(each.pid)
            if process is not None and _ended_at_once(case, process, each, look.time_ns):
                how = process.signal or f"exit status {process.exit_code}"
                return (
                    f"{case.name_of(process)} ended with {how} as soon as the tracer's coming had ended its {each.call} with "
                    "EINTR: it most likely ended of being attached to, not by itself. Before that: "
                    f"{diagnose(look).headline}."
                )
    return ""


def _ended_at_once(case: Case, process: Process, each: Interrupted, looked_ns: int) -> bool:
    """Nobody else ended it, and it had not gone back to waiting."""
    if process.end_ns is None or process.end_ns - looked_ns > _MOMENTS_NS or process.signal in _FROM_OUTSIDE:
        return False
    waits = (span.events[-1].record for span in _waits(case, process) if span.tid == each.tid)
    return not any(record.time_ns is not None and record.time_ns >= looked_ns for record in waits)


def _waits(case: Case, process: Process) -> Iterator[Span]:
    yield from process.spans
    for socket in case.evidence.sockets.values():
        yield from socket.waits
