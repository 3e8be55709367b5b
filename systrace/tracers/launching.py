"""Starts a command under strace: the tracer first, then the job with all of its descriptors (the other half: `launch`)."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from systrace.errors import CaptureError, CommandError
from systrace.tracers import Request
from systrace.tracers.complaints import Complaints
from systrace.tracers.launch import FDS_MAX, NAME, environment
from systrace.tracers.one_cpu import pinning
from systrace.tracers.permission import forbidden
from systrace.tracers.waiting import tracer_of, wait_any

START_SECONDS = 20.0  # of strace and the launcher, on a machine that has no time for them


def launched(
    words: list[str], command: Sequence[str], request: Request, complaints: Complaints
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the command; returns when its execve has happened, with the tracer's process id.

    Raises:
        CaptureError: strace or ptrace(2) refused, or said nothing; not one instruction of the command ran.
        CommandError: execve(2) failed.
    """
    import socket

    numbers = inherited_descriptors()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    with ours, theirs, open(reader, "rb", buffering=0) as report:  # noqa: PTH123
        more = _send_descriptors(ours, writer, numbers, request)
        os.close(writer)
        launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), str(theirs.fileno())]
        try:
            job = subprocess.Popen(
                [*words, *launcher, command[0], request.argv0 or command[0], *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints.descriptor,
                pass_fds=(theirs.fileno(),),
                restore_signals=False,  # strace lives on without a reader (SIGPIPE); the launcher restores the job's
                env=environment() if request.environment is None else dict(request.environment),
                preexec_fn=_before(pinning(request.one_cpu)),
            )
        except OSError as error:  # such as E2BIG: strace and the launcher come on top of the job's own words
            raise CaptureError(f"strace cannot be started: {error.strerror}") from None
        theirs.close()
        with contextlib.suppress(OSError):  # it ended: it said why
            for batch in more:
                socket.send_fds(ours, [" ".join(map(str, batch)).encode()], batch)
        tracer, begun = first_word(report)
        if tracer and request.heir is not None and "--seccomp-bpf" in words:
            request.heir.guard(job.pid, tracer)
        with contextlib.suppress(OSError):
            ours.send(b"go" if tracer else b"no")
        said = begun + report.readall() if tracer else b""
    if tracer and not said and not _is_launcher(job.pid):
        return job, tracer
    give_up(job)
    if said.startswith(b"-"):
        reason = os.strerror(-int(said))
        raise CaptureError(f"the job cannot be given its {len(numbers)} open descriptors: {reason} (see ulimit -n)")
    if said and int(said) != errno.ENOSYS:  # which is what a filter answers whose tracer was killed
        raise CommandError(command[0], int(said))
    raise CaptureError(forbidden(complaints.last() or "strace ended and did not say why"))


def give_up(job: subprocess.Popen[bytes]) -> None:
    """End what has not become the job, and its strace: as long as that one hangs, nobody hears of the other's end."""
    tracer = tracer_of(job.pid)
    job.kill()
    if tracer:
        with contextlib.suppress(OSError):
            os.kill(tracer, signal.SIGKILL)
    job.wait()


def _before(pinned: Callable[[], None] | None) -> Callable[[], None]:
    """What a new process runs before it becomes strace."""

    def prepare() -> None:
        # Whoever watches over strace (`capture.guard`) would be stopped for at each stop of the job, if it were delivered.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        if pinned is not None:
            pinned()

    return prepare


def _is_launcher(pid: int) -> bool:
    """Whether a child of ours has not become the job. A tracer that is killed leaves the launcher without most calls."""
    try:
        return Path(f"/proc/{pid}/comm").read_bytes().rstrip() == NAME
    except OSError:
        return False


def _send_descriptors(ours: Any, writer: int, numbers: list[int], request: Request) -> list[list[int]]:
    """Queue the job's descriptors for the launcher, with what to report into; gives the batches that are to follow."""
    import resource
    import socket

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if request.blocked is None else request.blocked
    more = [numbers[at : at + FDS_MAX] for at in range(FDS_MAX - 1, len(numbers), FDS_MAX)]
    odd = more or numbers[-1:] >= [resource.getrlimit(resource.RLIMIT_NOFILE)[0]]
    fields = numbers[: FDS_MAX - 1], mask, [len(more)] if odd else []
    text = ";".join(" ".join(str(int(each)) for each in field) for field in fields)
    socket.send_fds(ours, [text.encode()], [writer, *numbers[: FDS_MAX - 1]])
    return more


def first_word(report: Any) -> tuple[int, bytes]:
    """The tracer that the launcher names, and what it has said behind that; 0 for none, or when nothing was said in time."""
    text = b""
    until = time.monotonic() + START_SECONDS
    while b" " not in text:
        if not wait_any([report.fileno()], until - time.monotonic()):
            return 0, b""
        data = report.read(64)
        if not data:
            return 0, b""
        text += data
    word, _blank, rest = text.partition(b" ")
    return int(word), rest


def inherited_descriptors() -> list[int]:
    """The descriptors that a command started now would get."""
    numbers = []
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if os.get_inheritable(int(entry)):
                numbers.append(int(entry))
    return sorted(numbers)
