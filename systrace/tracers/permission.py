"""Why nothing can be traced here at all; who may look at one process is `systrace.kernel.permission`'s to say."""

from __future__ import annotations

import os
from pathlib import Path

from systrace.tracers.waiting import tracer_of


def yama() -> int:
    """kernel.yama.ptrace_scope (Documentation/admin-guide/LSM/Yama.rst), 0 where there is no Yama."""
    try:
        return int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def forbidden(said: str) -> str:
    """One line for a job that could not be traced from its start; `said` is the kernel's or the tracer's own word."""
    tracer = tracer_of(os.getpid())
    if tracer:
        return f"systrace is itself being traced, by process {tracer}: a process has one tracer only"
    scope = yama()
    if scope >= 3:
        return f"cannot trace: kernel.yama.ptrace_scope is {scope}: nobody may trace until the next boot"
    if scope == 2 and os.geteuid() != 0:
        return "cannot trace: kernel.yama.ptrace_scope is 2, so only root may trace: run systrace with sudo"
    return f"cannot trace: {said}; is ptrace(2) allowed here (containers: --cap-add SYS_PTRACE)?"
