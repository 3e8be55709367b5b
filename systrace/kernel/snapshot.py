"""The passive look at a live process tree: `take(pid)`. Nothing in it is stopped, interrupted or woken."""

from __future__ import annotations

import os
import time

from systrace.errors import CaptureError
from systrace.kernel import facts, gather, procfs
from systrace.look.nouns import FileLock, Limit, Look, ProcessState

_LOCK_CALLS = ("flock", "fcntl")


def take(pid: int) -> Look:
    """Look at `pid` (or the process of thread `pid`) and its descendants.

    Raises:
        CaptureError: there is no such process, or it ended meanwhile.
    """
    began = time.monotonic_ns()
    limits: list[Limit] = []
    group = procfs.status_of(pid).get("Tgid", "") if pid > 0 else ""
    if not group.isdigit():
        raise CaptureError(f"there is no process {pid}")
    pid = int(group)
    found = gather.processes(pid, limits)
    now = time.time_ns()
    if not found:
        raise CaptureError(f"process {pid} ended while it was looked at")
    sockets = gather.sockets(found, limits)
    found = gather.with_socket_limits(found, sockets)
    return Look(
        pid=pid,
        time_ns=now,
        took_ns=time.monotonic_ns() - began,
        kernel=os.uname().release,
        processes=found,
        sockets=sockets,
        locks=_locks(found),
        holders=gather.other_ends(found, sockets),
        sysctls=facts.sysctls(pid),
        limits=tuple(limits),
    )


def still_running(look: Look) -> bool:
    """Whether the number still belongs to the process that was looked at: ask right before attaching."""
    stat = procfs.stat_of(look.pid)
    return still_there(look) and stat is not None and stat.state not in "ZX"


def still_there(look: Look) -> bool:
    """The same of a process that may have ended, if its parent or its other threads still keep the number."""
    stat = procfs.stat_of(look.pid)
    return stat is not None and stat.start_ticks == look.root.start_ticks


def _locks(found: tuple[ProcessState, ...]) -> tuple[FileLock, ...]:
    """Only asked for when somebody waits for one: the list of a busy host is long."""
    waiting = {t.pid for p in found for t in p.threads if t.call is not None and t.call.name.startswith(_LOCK_CALLS)}
    return tuple(lock for lock in procfs.locks() if lock.waiter in waiting) if waiting else ()
