"""Threads that sleep in a call that did not stop them: a read of a pipe or terminal, an open of a FIFO.

Where filters are narrowed, only calls on sockets stop the job. What waits elsewhere is looked for a few times a second, in
/proc: a thread that sleeps in the same call as at the last look, and has not run since, has been blocked there. It is not
stopped or touched for that; when it goes on, the result of the call is not known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

from systrace.tracers.embedded_worker.names import Abi
from systrace.tracers.embedded_worker.stops import Calls
from systrace.tracers.embedded_worker.tracee import Tracee

_MOST = 100  # threads at a look


class Sleepers:
    """`numbers` are the calls that need not have stopped their thread."""

    def __init__(self, calls: Calls, abi: Abi, numbers: Iterable[int]) -> None:
        self._calls = calls
        self._abi = abi
        self._numbers = {b"%d" % number: number for number in numbers}
        self._next = 0

    def look(self, tracees: Sequence[Tracee]) -> None:
        """Once, at some of them if there are many."""
        if len(tracees) > _MOST:
            start = self._next % len(tracees)
            self._next = start + _MOST
            tracees = [*tracees[start:], *tracees[:start]][:_MOST]
        for tracee in tracees:
            if not tracee.in_call and not tracee.parked and not tracee.muted and tracee.abi is self._abi:
                self._look_at(tracee)

    def _look_at(self, tracee: Tracee) -> None:
        switches = (
            _switches(tracee.tid) if tracee.slept else b""
        )  # before the call: so it belongs to it or to one before
        words = _read(f"/proc/{tracee.tid}/syscall", 256)
        number = self._numbers.get(words.split(b" ", 1)[0])
        same = number is not None and words == tracee.slept and switches == tracee.switches
        if same:
            if number is not None and not tracee.observed:
                self._calls.asleep(tracee, number, tuple(int(word, 16) for word in words.split()[1:7]))
            return
        if tracee.observed:
            self._calls.awake(tracee)
        tracee.slept = words if number is not None else b""
        tracee.slept_ns = (time.time_ns(), time.monotonic_ns())
        tracee.switches = switches or (_switches(tracee.tid) if number is not None else b"")


def _read(path: str, size: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, size)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _switches(tid: int) -> bytes:
    """How often the thread has gone to sleep."""
    _, _, rest = _read(f"/proc/{tid}/status", 8192).partition(b"\nvoluntary_ctxt_switches:")
    return rest.split(b"\n", 1)[0].strip()
