"""One line on the terminal while a job runs for long and says nothing there itself; no log ever sees it."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from systrace.capture.watching import Watched, Watcher

_AFTER_S = 3.0
_EVERY_S = 1.0
_CLEAR = b"\r\x1b[K"


class StatusLine:
    """How long the job has run, what it has open, and whom it waits for."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._began = time.monotonic()
        self._shown = False
        self._last = 0.0

    @staticmethod
    def possible(descriptor: int = 2) -> bool:
        """Whether that is a terminal which can move its cursor, and is ours to write to."""
        return os.isatty(descriptor) and os.environ.get("TERM", "dumb") != "dumb"

    def watch(self, watcher: Watcher) -> None:
        """Called after each look at the waits."""
        now = time.monotonic()
        if now - self._began < _AFTER_S or now - self._last < _EVERY_S:
            return
        self._last = now
        if not self._ours() or any(self._speaks_there(process.pid) for process in watcher.processes):
            self.clear()
            return
        from systrace.words import columns, cut, duration, encoded, safe

        text = f"systrace: {duration(int((now - self._began) * 1e9))}, {_connections(watcher)}{_wait(watcher.longest, now)}"
        with contextlib.suppress(OSError):
            width = os.get_terminal_size(self._descriptor).columns or 80
            line = cut(safe(text), max(width - 1, 1)) if columns(text) >= width else safe(text)
            os.write(self._descriptor, _CLEAR + encoded(line))
            self._shown = True

    def clear(self) -> None:
        """Nothing of it stays."""
        if self._shown:
            self._shown = False
            with contextlib.suppress(OSError):
                os.write(self._descriptor, _CLEAR)

    def _ours(self) -> bool:
        """We are in the terminal's foreground: else writing might stop us (tcsetattr(3), TOSTOP)."""
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        return False

    def _speaks_there(self, pid: int) -> bool:
        """Its standard output or error is the same terminal."""
        with contextlib.suppress(OSError):
            ours = os.fstat(self._descriptor).st_rdev
            for number in (1, 2):
                with contextlib.suppress(FileNotFoundError):
                    if os.stat(f"/proc/{pid}/fd/{number}").st_rdev == ours:  # noqa: PTH116
                        return True
            return False
        return True


def _connections(watcher: Watcher) -> str:
    count = watcher.connections
    return f"{count} connection{'' if count == 1 else 's'} open"


def _wait(watched: Watched | None, now: float) -> str:
    if watched is None:
        return ""
    from systrace.words import duration

    waited = int(now * 1e9) - watched.since_ns
    return f", waiting {duration(waited)} for {watched.row.peer or 'a peer'}"
