"""How many processors have nothing to do."""

from __future__ import annotations

import os
import time
from pathlib import Path

_LOOK_S = 0.25  # the kernel counts in ticks of 10 ms
_STAT = Path("/proc/stat")
_TICKS = os.sysconf("SC_CLK_TCK")


class Idle:
    """Looks at the first line of /proc/stat (proc_stat(5)) now and then: all processors of the machine together."""

    def __init__(self) -> None:
        """Begin to count."""
        self._since, self._ticks = time.monotonic(), _idle_ticks()
        self._found = 0.0

    def processors(self) -> float:
        """As many of them as were idle, or waiting for a disk only, on average between the last two looks.

        0 before the second look, and where /proc/stat can't be read.
        """
        now = time.monotonic()
        if now - self._since >= _LOOK_S:
            ticks = _idle_ticks()
            self._found = (ticks - self._ticks) / _TICKS / (now - self._since)
            self._since, self._ticks = now, ticks
        return self._found


def _idle_ticks() -> int:
    try:
        with _STAT.open("rb", buffering=0) as file:
            fields = (file.read(512) or b"").split(None, 6)
    except OSError:
        return 0
    return int(fields[4]) + int(fields[5]) if len(fields) > 5 and fields[0] == b"cpu" else 0
