"""Waiting for processes that need not be our children (pidfd_open(2))."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterable


def pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None when it is gone already."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def wait_any(descriptors: Iterable[int | None], seconds: float | None) -> set[int]:
    """Those of the descriptors that are readable, as soon as one is or after `seconds`; None stands for one that is."""
    poll = select.poll()
    for descriptor in descriptors:
        if descriptor is None:
            return {-1}
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _events in poll.poll(None if seconds is None else max(0, seconds * 1000))}


def status_field(pid: int, field: str) -> str | None:
    """One value of /proc/PID/status (proc(5)), None when the process is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        for line in file:
            name, _colon, value = line.partition(":")
            if name == field:
                return value.strip()
    return None


def tracer_of(pid: int) -> int:
    """The process that traces this one, 0 when none does or the process is gone."""
    return int(status_field(pid, "TracerPid") or 0)
