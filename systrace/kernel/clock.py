"""Since when a thread has not run: the scheduler's own note, compared with the same clock.

`se.exec_start` of /proc/PID/task/TID/sched is the moment a task was last on a CPU, on that CPU's clock, which leaves
out interrupt and stolen time and so drifts from CPU to CPU (2 s after 20 minutes on a small virtual machine). It can
only be compared with a reading on the same CPU: a thread of our own goes there and reads its own `se.exec_start`.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable

from systrace.kernel.procfs import read

_EXEC_START = re.compile(rb"^se\.exec_start\s*:\s*(\d+)\.(\d{6})", re.MULTILINE)
_RUNTIME = re.compile(rb"^se\.sum_exec_runtime\s*:\s*(\d+)\.(\d{6})", re.MULTILINE)
_MOST_CPUS = 16  # each costs a migration


def last_ran_ns(pid: int, tid: int) -> int | None:
    """`se.exec_start` in ns on the clock of the thread's CPU; None on kernels without /proc/PID/sched."""
    return _field(_EXEC_START, read(f"/proc/{pid}/task/{tid}/sched"))


def cpu_time_ns(pid: int, tid: int) -> int | None:
    """CPU time used so far, exact to the last tick."""
    return _field(_RUNTIME, read(f"/proc/{pid}/task/{tid}/sched"))


def _field(pattern: re.Pattern[bytes], raw: bytes | None) -> int | None:
    match = pattern.search(raw or b"")
    return int(match[1]) * 10**6 + int(match[2]) if match is not None else None


def now_on(cpus: Iterable[int]) -> dict[int, int]:
    """The present reading of the scheduler's clock of each CPU; those we may not run on are left out."""
    wanted = sorted(set(cpus))[:_MOST_CPUS]
    found: dict[int, int] = {}

    def visit() -> None:  # affinity belongs to a thread: ours stays as it was
        for cpu in wanted:
            try:
                os.sched_setaffinity(0, {cpu})
                os.sched_yield()
            except OSError:
                continue
            now = _field(_EXEC_START, read("/proc/thread-self/sched"))
            if now is not None:
                found[cpu] = now

    thread = threading.Thread(target=visit, name="clock", daemon=True)
    thread.start()
    thread.join()
    return found
