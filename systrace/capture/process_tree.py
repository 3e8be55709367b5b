"""Which threads and processes a job has made (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from systrace.tracers.waiting import Running, stat_fields, status_field


def tree(pid: int, tracer_pid: int) -> Iterator[int]:
    """The threads of a process and its descendants, then those of all other processes that `tracer_pid` traces."""
    known: set[int] = set()
    todo = [pid]
    while todo:
        process = todo.pop()
        if process in known:
            continue
        known.add(process)
        tids = threads(process)
        yield from tids
        todo += [child for tid in tids for child in children(process, tid)]
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit() and int(entry) not in known and status_field(int(entry), "TracerPid") == str(tracer_pid):
            yield from threads(int(entry))


def threads(pid: int) -> list[int]:
    """The thread ids of a process, none when it is gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208
    except OSError:
        return []


def children(pid: int, tid: int) -> list[int]:
    """The child processes that one thread made (proc(5), CONFIG_PROC_CHILDREN)."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{tid}/children").read_bytes().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[Running]:
    """The living descendants of a process, parents first."""
    found: list[Running] = []
    pids = [pid]
    for parent in pids:
        for tid in threads(parent):
            for child in children(parent, tid):
                fields = stat_fields(child)
                if fields is not None and fields[0] == parent:  # else it ended, and its number went to a stranger
                    found.append(Running(child, fields[1]))
                    pids.append(child)
    return found
