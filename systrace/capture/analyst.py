"""A process of its own reads the recording, so that neither its speed nor its failure concerns the job.

How it reads is its maker's choice (`following.follow`, `in_passing`, `at_end`). A report is made in passing:
reading along at full speed, even where a processor had nothing else to do (SCHED_IDLE), made a job on two busy
processors up to 60 % slower, and reading at the end alone makes the report of a long job late. Its imports are done at
once: the report of a short job would wait for them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from systrace.capture.answers import Answer, received
from systrace.capture.following import in_passing
from systrace.capture.spool import detach_descriptors, fork_apart

PR_SET_PDEATHSIG = 1  # prctl(2)
Work = Callable[[Iterator[bytes]], Answer]
Reader = Callable[[Path, int], Iterator[bytes]]  # lines of a file, until a descriptor is readable


class AnalysisFailed(Exception):
    """The analyst ended without an answer; the text says why."""


class Analyst:
    """The parent's handle of the reading process."""

    def __init__(
        self,
        path: Path,
        work: Work,
        kept: set[int],
        *,
        reader: Reader = in_passing,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start `work` on the lines of `path`.

        Args:
            path: the recording.
            work: runs in the new process; what it returns is the result.
            kept: descriptors that it needs.
            reader: how the recording is read while it grows.
            prepare: runs in the new process at once; from `stand_back` on it has processors only that have nothing
                else to do. Without it somebody is watching: the process is then not idle, but last in the queue
                (nice 19, never preempting another).
        """
        text = os.open(
            path, os.O_RDONLY | os.O_CLOEXEC
        )  # now: a short job's recording may soon have another name, or none
        ended, self._end = os.pipe()
        self._result, answer = os.pipe()
        parent = os.getpid()
        self.pid = fork_apart(session=False)  # last in the queue of the job's own session
        if self.pid == 0:
            status = 1
            try:
                _end_with(parent)
                detach_descriptors({*kept, text, ended, answer})
                lines = reader(Path(f"/proc/self/fd/{text}"), ended)
                if prepare is not None:
                    prepare()
                else:
                    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
                    os.nice(19)
                status = _child(lambda: work(lines), answer, parent)
            finally:
                os._exit(status)
        self._stands_back = prepare is not None
        for descriptor in (text, ended, answer):
            os.close(descriptor)

    def stand_back(self) -> None:
        """The job runs: from now on only what nobody else has a use for. Until then its imports are as urgent as ours."""
        if self._stands_back:
            with contextlib.suppress(OSError):  # by the parent, so that it cannot come after `finish` took it back
                os.sched_setscheduler(self.pid, os.SCHED_IDLE, os.sched_param(0))

    def hurry(self) -> None:
        """The recording is complete: read the rest, with as much of the processors as anybody else."""
        self._close_end()  # which cannot fail, as a write might
        with contextlib.suppress(OSError):  # it may have died already
            os.sched_setscheduler(self.pid, os.SCHED_OTHER, os.sched_param(0))

    def _close_end(self) -> None:
        if self._end >= 0:
            os.close(self._end)
            self._end = -1

    def finish(self) -> Answer:
        """Wait for the answer; `hurry` at the latest now.

        Raises:
            AnalysisFailed: there is none.
        """
        self.hurry()
        try:
            with os.fdopen(self._result, "rb", closefd=False) as pipe:
                answer = received(pipe)
        except (OSError, MemoryError) as error:
            raise AnalysisFailed(f"no room for its answer: {error}") from None
        _pid, status = os.waitpid(self.pid, 0)
        self.pid = 0
        if status == 0:
            return answer
        if os.WIFSIGNALED(status):
            raise AnalysisFailed(f"it was killed by {signal.Signals(os.WTERMSIG(status)).name}")
        raise AnalysisFailed(bytes(answer).decode("utf-8", "replace") or "it ended without a word")

    def close(self) -> None:
        """End it, whatever it is doing."""
        if self.pid:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            self.pid = 0
        self._close_end()
        os.close(self._result)


def _end_with(parent: int) -> None:
    """Should systrace be killed, nobody wants to know any more: a long analysis would only take its time from others."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _child(work: Callable[[], Answer], answer: int, parent: int) -> int:
    """Exit status of the forked process."""
    result: Answer
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 (its own process: the parent says it in one line)
        last = traceback.extract_tb(error.__traceback__)[-1]
        result = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})".encode()
        status = 1
    else:
        status = 0
    if os.getppid() != parent:
        return status  # systrace was killed: nobody reads
    view = memoryview(result)
    while view:
        view = view[os.write(answer, view) :]
    return status
