"""Processes that need not be our children: waiting for them (pidfd_open(2)), and telling one from its successor."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterable

from systrace.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Running:
    """One process, whatever becomes of its number: no two processes have the same number and start.

    `start` is in ticks since boot (proc(5)), 10 ms each; numbers come round only after all others were used.
    """

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Running:
        """Who has the number now.

        Raises:
            ProcessLookupError: nobody.
        """
        fields = stat_fields(pid)
        if fields is None:
            raise ProcessLookupError(pid)
        return cls(pid, fields[1])

    def replaced(self) -> bool:
        """Whether the number belongs to another process now; not when it belongs to none."""
        fields = stat_fields(self.pid)
        return fields is not None and fields[1] != self.start

    def successor(self) -> str:
        """What to say when it was replaced."""
        return f"process {self.pid} has ended, and its number belongs to another process now"


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


def stat_fields(pid: int) -> tuple[int, int] | None:
    """Parent and start (ticks since boot) of /proc/PID/stat (proc(5)), None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return (int(words[1]), int(words[19])) if len(words) > 19 else None
