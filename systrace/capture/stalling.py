"""Reports while the job still runs: when it has stalled (`--stall`), and when somebody asks (SIGUSR1), as dd and ping do.

A stall is what `systrace attach --passive` would call a hang: a wait whose end nothing in the program will bring, for as
long as was asked, while no process of the job came or went, used a processor or moved data. Who sleeps, computes, serves
or waits within a limit of its own is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from systrace.capture.reporting import complain, words
from systrace.capture.watching import Watcher
from systrace.dataclass import dataclass
from systrace.tracers.waiting import Running

if TYPE_CHECKING:
    from systrace.capture.looking import Looked
    from systrace.model import Keep

_AGAIN = 4  # looks for each time that was asked for, while nothing moves and nothing hangs either
_REST = 50  # times the cost of such a look: at most 2 % of a processor
_BUSY = 0.02  # of a processor: threads that tick do nothing
_WRITTEN = 4096  # bytes: less is what wakes an event loop
_GRACE_S = 10.0  # from the polite signal to SIGKILL
_LEAST_S = 1.0
_CLOSING_S = 5.0  # how long the end of a run waits for a report under way
Tell = Callable[["Looked", bool], None]  # a look, and whether it is a stall


@dataclass(frozen=True, slots=True)
class _Progress:
    """What grows, or changes, while a job gets on."""

    processes: frozenset[Running]
    cpu_s: float
    written: int
    moved: tuple[object, ...]
    at: float

    def since(self, before: _Progress) -> bool:
        """Whether something has happened in between."""
        if self.processes != before.processes or self.moved != before.moved:
            return True
        busy = self.cpu_s - before.cpu_s > _BUSY * (self.at - before.at) + 0.01
        return busy or self.written - before.written > _WRITTEN


class Moments:
    """Who looks at the whole job, when there is reason to, and tells."""

    def __init__(self, pid: int, tell: Tell, *, after_s: float | None = None, keep: Keep | None = None) -> None:
        """`after_s`: how long nothing has to happen, None: only who asks is told."""
        self._pid = pid
        self._tell = tell
        self.after_s = after_s
        self._keep = keep
        self._one = threading.Lock()  # held while somebody looks and tells
        self._closed = False
        self._quiet: _Progress | None = None  # the first of those without any progress since
        self._next = 0.0
        self.stalled = False  # and it was told of

    def now(self) -> threading.Thread:
        """Somebody asks: answered in the thread that is returned, as whoever takes signals has others to pass on."""
        thread = threading.Thread(target=self._report, name="report", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """The report of the whole run is next, and is not to be overwritten."""
        held = self._one.acquire(timeout=_CLOSING_S)
        self._closed = True
        if held:
            self._one.release()

    def watch(self, watcher: Watcher) -> None:
        """Called after each look at the waits: is this a stall?"""
        if self.after_s is None:
            return
        now = _progress(watcher)
        if self._quiet is None or now.since(self._quiet):
            self._quiet, self.stalled, self._next = now, False, 0.0
            return
        if self.stalled or now.at - self._quiet.at < self.after_s or now.at < self._next:
            return
        began = time.thread_time()
        after_s = self.after_s
        self.stalled = self._report(lambda looked: _hangs(looked, after_s))
        self._next = now.at + max(after_s / _AGAIN, _LEAST_S, (time.thread_time() - began) * _REST)

    def _report(self, stall: Callable[[Looked], bool] | None = None) -> bool:
        """Look, and tell of it: of a stall only where it is one. Nothing that fails here is the job's concern."""
        with self._one:
            hangs = False
            if self._closed:
                return hangs
            try:
                from systrace.capture.looking import Looked

                looked = Looked.at(self._pid, self._keep, self.after_s)
                hangs = stall is not None and stall(looked)
                if stall is None or hangs:
                    self._tell(looked, hangs)
            except Exception as error:  # noqa: BLE001 (see above)
                complain(f"no report of this moment: {words(error)}")
            return hangs


def _progress(watcher: Watcher) -> _Progress:
    cpu, written = 0, 0
    for process in watcher.processes:
        cpu += _ticks(process.pid)
        written += _written(process.pid)
    moved = tuple(sorted(watcher.moved.items()))
    at = time.monotonic()
    return _Progress(frozenset(watcher.processes), cpu / os.sysconf("SC_CLK_TCK"), written, moved, at)


def _ticks(pid: int) -> int:
    """Of a processor's time that the process has used, its ended children's included (proc_pid_stat(5))."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
        return sum(int(word) for word in file.read().rpartition(b")")[2].split()[11:15])
    return 0


def _written(pid: int) -> int:
    """Bytes that it has read and written by read(2) and write(2) (proc_pid_io(5))."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/io", "rb") as file:  # noqa: PTH123
        return sum(int(line.split()[1]) for line in file.read().splitlines()[:2])
    return 0


def _hangs(looked: Looked, after_s: float) -> bool:
    """The first finding is grave and as old as was asked for."""
    lasted = looked.analysis.findings[0].duration_ns
    return looked.grave and (lasted is None or lasted >= (after_s - _LEAST_S) * 1e9)


class Killer:
    """`--stall-kill`: ends a job that has stalled, so that whoever waits for its lock goes on."""

    def __init__(self, moments: Moments, number: signal.Signals, note: Callable[[bytes], None]) -> None:
        """`note` takes a line of the recording."""
        self._moments = moments
        self._number = number
        self._note = note
        self._done = False

    def watch(self, watcher: Watcher) -> None:
        """Called after each look at the waits, and after the stall was told of."""
        if self._done or not self._moments.stalled:
            return
        self._done = True
        complain(f"the job has stalled: {self._number.name} to its processes (--stall-kill)")
        fact = {"stall_kill": self._number.name, "stalled_s": self._moments.after_s}
        self._note(b"# systrace: " + json.dumps(fact).encode("ascii"))
        for each in (self._number, signal.SIGKILL):
            for process in watcher.family():  # as it is now: a shell may have begun its next command
                if not process.replaced():
                    with contextlib.suppress(OSError):
                        os.kill(process.pid, each)
            if watcher.over.wait(_GRACE_S):
                return
