"""Passing signals on to a job that shares our process group.

What the terminal sends (Ctrl-C, Ctrl-\\, hang-up, a new window size) goes to the whole foreground process group, so the
job has it already. What somebody sends to systrace alone has to be passed on. What somebody sends to the process group
(`kill -TERM -PGID`, timeout(1)) reaches both: there the trace tells that the job has had it.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

RELAYED = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGWINCH,
    }
)
SI_KERNEL = 0x80  # asm-generic/siginfo.h: the terminal's signals
GRACE_SECONDS = 0.04  # until a delivery to the job stands in the recording
RECENT_SECONDS = 1.0
TAIL = 1 << 16

Handler = Callable[[signal.Signals, int, bool], None]


class Relay:
    """Blocks the signals for the calling thread and all it starts; a thread takes them and calls the handler.

    The handler gets the signal, the sender's process id, and whether the terminal sent it. Signals that arrive before
    `start` wait. Leaving the context restores the mask.
    """

    def __init__(self) -> None:
        self.original: frozenset[int] = frozenset()
        self._thread: threading.Thread | None = None
        self._leaving = False

    def __enter__(self) -> Relay:
        self.original = frozenset(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, RELAYED))
        return self

    def start(self, handler: Handler) -> None:
        """Begin to handle; may be called once."""
        self._thread = threading.Thread(target=self._serve, args=(handler,), name="signals", daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        if self._thread is not None and self._thread.ident is not None and self._thread.is_alive():
            signal.pthread_kill(self._thread.ident, signal.SIGUSR1)
            self._thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, self.original)

    def _serve(self, handler: Handler) -> None:
        while True:
            info = signal.sigwaitinfo(RELAYED)
            if self._leaving:
                return
            alone = info.si_signo == signal.SIGHUP and os.getsid(0) == os.getpid()  # only the leader is hung up
            handler(signal.Signals(info.si_signo), info.si_pid, info.si_code == SI_KERNEL and not alone)


def delivered(recording: Path, pid: int, number: signal.Signals, sender: int) -> bool:
    """Whether the recording's last lines show that the process itself has just had this signal from this sender."""
    time.sleep(GRACE_SECONDS)
    try:
        with recording.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            tail = file.read(2 * TAIL)
    except OSError:
        return False
    pattern = rb"^%d +(\d+\.\d+) --- %s \{si_signo=\w+, si_code=\w+, si_pid=%d," % (pid, number.name.encode(), sender)
    times = re.findall(pattern, tail, re.MULTILINE)
    return bool(times) and time.time() - float(times[-1]) < RECENT_SECONDS
