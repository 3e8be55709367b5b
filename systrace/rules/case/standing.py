"""Calls that were under way when the tracer came, and still when it left."""

from __future__ import annotations

from systrace.model import DETACHED, Event
from systrace.rules.case.index import SECOND, Case


def stood_still(case: Case, pending: Event) -> bool:
    """The call was under way when the tracer came, and still when it left: nothing else is known of that thread."""
    record, first = pending.record, case.evidence.source.first_ns
    attached = record.outcome == DETACHED or "attached" in case.evidence.source.facts
    if not attached or record.syscall == "restart_syscall":
        return attached
    return record.time_ns is None or first is None or record.time_ns - first < SECOND
