"""Who takes over a job whose tracer is killed, as seen by a tracer: the border to `systrace.capture.guard`."""

from __future__ import annotations

import contextlib
import os
import struct
import time

from systrace.tracers.permission import yama
from systrace.tracers.waiting import status_field, wait_any

CAP_SYS_PTRACE = 19
READY_SECONDS = 2.0  # for the guard to be in its place
GUARDED = struct.Struct("=iiQ")  # the job, its tracer, and where that one says what it has lent


def permitted() -> bool:
    """Whether one of our processes may take over a job that is not its descendant (Yama's scope 1 forbids it)."""
    if not yama():
        return True
    effective = status_field(os.getpid(), "CapEff") or "0"
    return yama() < 3 and bool(int(effective, 16) >> CAP_SYS_PTRACE & 1)


class Heir:
    """The guard as seen by whoever starts the job and waits for its status."""

    def __init__(self, descriptor: int, tell: int) -> None:
        self._descriptor = descriptor
        self._tell = tell
        self._text = b""
        self._ready = False
        self.mends = False  # a task that the tracer has lent a call to gets its registers back
        self.words = ""  # how the job fared

    def guard(self, pid: int, tracer_pid: int, lent_at: int = 0) -> None:
        """Have the job guarded, before it begins. Without this word it is not.

        Args:
            pid: the job.
            tracer_pid: who traces it.
            lent_at: address of that one's record of what it has lent (`lending`), 0 for none.
        """
        with contextlib.suppress(OSError):
            os.write(self._tell, GUARDED.pack(pid, tracer_pid, lent_at))
            until = time.monotonic() + READY_SECONDS
            while not self._ready and wait_any([self._descriptor], until - time.monotonic()):
                if self.status() is not None:
                    break

    def fileno(self) -> int:
        """Readable when there is news."""
        return self._descriptor

    def status(self) -> int | None:
        """The job's status as a shell would say it; -1 when nobody will know it; None when it is not known yet."""
        data = os.read(self._descriptor, 4096)
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            kind, _blank, text = line.decode().partition(" ")
            if kind == "words":
                self.words = text
            elif kind == "ready":
                self._ready, self.mends = True, text == "mends"
            elif kind == "status":
                return int(text)
        return None if data else -1

    def hear(self) -> str:
        """The words that have come so far."""
        while wait_any([self._descriptor], 0) and self.status() is None:
            pass
        return self.words

    def close(self) -> None:
        """Nobody listens any more."""
        os.close(self._descriptor)
        os.close(self._tell)
