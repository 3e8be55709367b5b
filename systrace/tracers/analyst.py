"""A process of its own reads the recording, so that neither its speed nor its failure concerns the job.

It begins when the job is over, unless somebody is watching: reading along, even where a processor had nothing else to
do (SCHED_IDLE), made a job on two busy processors up to 60 % slower and the report came no sooner. Its imports alone
are done meanwhile: the report of a short job would wait for them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from systrace.tracers.live import follow
from systrace.tracers.spool import detach_descriptors, fork_apart

NICE = 10  # who follows a job shall not compete with it
Work = Callable[[Iterator[bytes]], bytes]


class AnalysisFailed(Exception):
    """The analyst ended without an answer; the text says why."""


class Analyst:
    """The parent's handle of the reading process."""

    def __init__(
        self, path: Path, work: Work, kept: set[int], *, eager: bool = False, prepare: Callable[[], None] | None = None
    ) -> None:
        """Start `work` on the lines of `path`.

        Args:
            path: the recording.
            work: runs in the new process; what it returns is the result.
            kept: descriptors that it needs.
            eager: read while the recording grows: somebody is watching.
            prepare: runs in the new process at once, on processors that have nothing else to do.
        """
        ended, self._end = os.pipe()
        self._result, answer = os.pipe()
        self.pid = fork_apart()
        if self.pid == 0:
            status = 1
            try:
                detach_descriptors({*kept, ended, answer})
                lines = follow(path, ended, at_end=not eager)  # opened now: compression removes the file by its name
                if eager:
                    os.nice(NICE)
                if prepare is not None:
                    prepare()
                status = _child(lambda: work(lines), answer, os.getppid())
            finally:
                os._exit(status)
        if prepare is not None:
            with contextlib.suppress(OSError):  # by the parent, so that it cannot come after `finish` took it back
                os.sched_setscheduler(self.pid, os.SCHED_IDLE, os.sched_param(0))
        os.close(ended)
        os.close(answer)

    def finish(self) -> bytes:
        """The recording is complete: wait for the answer.

        Raises:
            AnalysisFailed: there is none.
        """
        with contextlib.suppress(OSError):  # it may have died already
            os.write(self._end, b".")
            os.sched_setscheduler(self.pid, os.SCHED_OTHER, os.sched_param(0))
        with os.fdopen(self._result, "rb", closefd=False) as pipe:
            answer = pipe.read()
        _pid, status = os.waitpid(self.pid, 0)
        self.pid = 0
        if status == 0:
            return answer
        if os.WIFSIGNALED(status):
            raise AnalysisFailed(f"it was killed by {signal.Signals(os.WTERMSIG(status)).name}")
        raise AnalysisFailed(answer.decode("utf-8", "replace") or "it ended without a word")

    def close(self) -> None:
        """End it, whatever it is doing."""
        if self.pid:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            self.pid = 0
        os.close(self._end)
        os.close(self._result)


def _child(work: Callable[[], bytes], answer: int, parent: int) -> int:
    """Exit status of the forked process."""
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
