"""Whether a process ended of being attached to: neither tracer sees the call that its coming ends, the look before it does."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import Process, Span
from systrace.rules.case.index import SECOND, Case
from systrace.rules.look.diagnose import diagnose
from systrace.rules.look.interrupting import Interrupted, interrupted_by_attach

_MOMENTS_NS = 2 * SECOND
_FROM_OUTSIDE = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGKILL")


def ended_by_attach(case: Case) -> str:
    """What a process was doing that ended as soon as a tracer had ended its wait with EINTR, and how; "" where none did."""
    for look in case.evidence.looks if case.attached else ():
        for each in interrupted_by_attach(look):
            process = case.owner_of(each.pid)
            if process is not None and _ended_at_once(case, process, each):
                how = process.signal or f"exit status {process.exit_code}"
                return (
                    f"{case.name_of(process)} ended with {how} as soon as the tracer's coming had ended its {each.call} with "
                    "EINTR: it most likely ended of being attached to, not by itself. Before that: "
                    f"{diagnose(look).headline}."
                )
    return ""


def _ended_at_once(case: Case, process: Process, each: Interrupted) -> bool:
    """Nobody else ended it, and it had not gone back to waiting."""
    came, ended = case.evidence.source.first_ns, process.end_ns
    if came is None or ended is None or ended - came > _MOMENTS_NS or process.signal in _FROM_OUTSIDE:
        return False
    again = (span for span in _waits(case, process) if span.tid == each.tid and (span.start_ns or 0) >= came)
    return not any(again)


def _waits(case: Case, process: Process) -> Iterator[Span]:
    yield from process.spans
    for socket in case.evidence.sockets.values():
        yield from socket.waits
