"""How many processors have nothing to do, and would not be missed."""

from __future__ import annotations

import os
import time
from pathlib import Path

_LOOK_S = 0.25  # the kernel counts in ticks of 10 ms
_STAT = Path("/proc/stat")
_CGROUPS = Path("/sys/fs/cgroup")
_TICKS = os.sysconf("SC_CLK_TCK")


class Spare:
    """Looks at the first line of /proc/stat (proc_stat(5)) now and then: all processors of the machine together."""

    def __init__(self) -> None:
        """Begin to count."""
        self._found = 0.0
        confined = len(os.sched_getaffinity(0)) < (os.cpu_count() or 1)  # what is idle elsewhere is of no use here
        self._rationed = confined or rationed()
        self._since = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        return time.monotonic(), _idle_seconds(), time.process_time()

    def processors(self) -> float:
        """As many of them as were idle between the last two looks, or busy with nothing but this process.

        0 before the second look, where /proc/stat can't be read, and where a quota, or processors of our own (taskset(1),
        cpuset(7)), make each second count.
        """
        began, idle, own = self._since
        if time.monotonic() - began >= _LOOK_S and not self._rationed:
            self._since = now = self._now()
            self._found = (now[1] - idle + now[2] - own) / (now[0] - began) if idle else 0.0
        return self._found


def _idle_seconds() -> float:
    """Since the boot, of all processors; waiting for a disk counts as idle. 0 where it can't be told."""
    try:
        with _STAT.open("rb", buffering=0) as file:
            fields = (file.read(512) or b"").split(None, 6)
    except OSError:
        return 0.0
    return (int(fields[4]) + int(fields[5])) / _TICKS if len(fields) > 5 and fields[0] == b"cpu" else 0.0


def rationed(own: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> bool:
    """Whether a cgroup that this process is in has a quota of processor time: what we use, the job then lacks.

    cpu.max of cgroup v2, cpu.cfs_quota_us of v1 (Documentation/admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst). A
    container sees its own cgroup as the root of all.
    """
    try:
        lines = own.read_text().splitlines()
    except (OSError, ValueError):
        return False
    for line in lines:
        _, controllers, path = line.split(":", 2) if line.count(":") > 1 else ("", "", "")
        if controllers == "":
            top, file = root, "cpu.max"
        elif "cpu" in controllers.split(","):
            top, file = root / controllers, "cpu.cfs_quota_us"
        else:
            continue
        place = top.joinpath(*(part for part in path.split("/") if part not in ("", "..")))
        if any(_has_quota(each / file) for each in (place, *place.parents) if each.is_relative_to(top)):
            return True
    return False


def _has_quota(file: Path) -> bool:
    try:
        words = file.read_text().split()
    except (OSError, ValueError):
        return False
    return bool(words) and words[0] not in ("max", "-1")
