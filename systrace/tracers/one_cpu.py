"""Tracer and job on one processor: each stop of a traced call wakes the other of the two.

A wake-up on another processor costs an interrupt there and often the end of its sleep; on the same one it is a switch
of contexts. See decision 20 for what that is worth, and for what it costs.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

from systrace.errors import CaptureError


def pinning(wanted: bool) -> Callable[[], None] | None:
    """What a new process runs before its execve(2) so that it and all it starts stay on one processor; None: nothing.

    Raises:
        CaptureError: the kernel refuses.
    """
    if not wanted:
        return None
    chosen = choose(os.sched_getaffinity(0), _current())
    try:
        os.sched_setaffinity(0, os.sched_getaffinity(0))  # changes nothing: asks whether one may
    except OSError as error:
        raise CaptureError(f"--one-cpu is not possible here: {error.strerror}") from None
    return functools.partial(os.sched_setaffinity, 0, {chosen})


def choose(allowed: set[int], current: int) -> int:
    """One of the processors that this process may use (affinity and cgroup): where it runs now, by the kernel's choice.

    So several traced jobs that start together spread as the processes that start them do.
    """
    return current if current in allowed else min(allowed)


def _current() -> int:
    """The processor that this process runs on, field 39 of proc(5)'s stat; -1 when that is not known."""
    try:
        return int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[36])
    except (OSError, ValueError, IndexError):
        return -1
