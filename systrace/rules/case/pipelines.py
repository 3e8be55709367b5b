"""Pipes between the processes of one job: who waits for whom, as the look before the trace saw their ends."""

from __future__ import annotations

import re

from systrace.calls import WRITES
from systrace.look.nouns import End
from systrace.model import Process, Span
from systrace.rules.case.index import Case, once

_PIPE = re.compile(rb"\((\d+)<pipe:\[(\d{1,20})\]>")
_IN_PIPES = ("stdin", "pipe", "stdio")  # kinds of waits that may be for one; stdio: for a reader


def another_says_more(case: Case, process: Process, span: Span) -> bool:
    """It waits for the other end of a pipe, which a process of the job holds that does something else, be it waiting: that one
    is at the end of the chain. In a circle nobody is.
    """
    return span.kind in _IN_PIPES and _leads_out(case, process.pid, span, {process.pid})


def _leads_out(case: Case, pid: int, span: Span, seen: set[int]) -> bool:
    for end in _others(case, pid, span):
        other = case.owner_of(end.pid)
        if other is None or not other.traced or end.stopped or case.fate(other) != "open" or other.pid in seen:
            continue
        if _waits_for_end_of(case, other, seen):
            continue
        waits = [each for each in other.spans if each.ended_by == "" and _others(case, other.pid, each)]
        seen.add(other.pid)
        if not waits or any(_leads_out(case, other.pid, each, seen) for each in waits):
            return True
    return False


def _waits_for_end_of(case: Case, process: Process, pids: set[int]) -> bool:
    """It waits for a child, and one of these is its: a circle, too."""
    if not any(each.ended_by == "" and each.kind == "child" for each in process.spans):
        return False
    return any(child.pid in pids for child in case.descendants(process))


def _others(case: Case, pid: int, span: Span) -> list[End]:
    """Who else held the other end of the pipe that it waits for."""
    record = span.events[-1].record
    found = _PIPE.search(record.raw)
    if found is None or span.kind not in _IN_PIPES:
        return []
    writes = span.kind == "stdio" or record.syscall in WRITES
    ends = _holders(case).get(int(found[2]), ())
    return [end for end in ends if end.pid != pid and (end.readable if writes else end.writable)]


@once
def _holders(case: Case) -> dict[int, tuple[End, ...]]:
    return {inode: ends for look in case.evidence.looks for inode, ends in look.holders.items()}
