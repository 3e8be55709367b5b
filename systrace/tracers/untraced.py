"""The last resort of `run`: the job without any tracer, its status, signals and streams as ever."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence

from systrace.errors import CommandError
from systrace.tracers import Request
from systrace.tracers.waiting import pidfd, wait_any


class UntracedRun:
    """A `Capture` that captures nothing."""

    tracer_pid = 0

    def __init__(self, job: subprocess.Popen[bytes]) -> None:
        self.pid = job.pid
        self._job = job

    def wait(self, seconds: float | None = None) -> int | None:
        """See `Capture`."""
        if seconds is not None:
            descriptor = pidfd(self.pid)
            ended = bool(wait_any([descriptor], seconds))
            if descriptor is not None:
                os.close(descriptor)
            if not ended:
                return None
        status = self._job.wait()
        return 128 - status if status < 0 else status

    def signal(self, number: int) -> None:
        """See `Capture`."""
        self._job.send_signal(number)

    def stop(self) -> None:
        """See `Capture`."""

    def fault(self) -> str | None:
        """See `Capture`."""
        return None


@contextlib.contextmanager
def run(command: Sequence[str], request: Request) -> Iterator[UntracedRun]:
    """Start the command as `Tracer.run` does, with nobody watching.

    Raises:
        CommandError: it cannot be executed.
        OSError: there is no process to be had.
    """
    mask = request.blocked or frozenset()

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def start(path: str, words: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words, executable=path, close_fds=False, preexec_fn=restore,
            env=None if request.environment is None else dict(request.environment),
        )  # fmt: skip

    try:
        try:
            job = start(command[0], [request.argv0 or command[0], *command[1:]])
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            job = start("/bin/sh", ["sh", *command])  # no #!: as every shell does
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            raise
        raise CommandError(command[0], error.errno or errno.EACCES) from None
    yield UntracedRun(job)


def become(command: Sequence[str], request: Request) -> None:
    """The very last: this process itself becomes the job.

    Raises:
        OSError: not even that.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked or frozenset())
    os.execv(command[0], [request.argv0 or command[0], *command[1:]])  # noqa: S606
