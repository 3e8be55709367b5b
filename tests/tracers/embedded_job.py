"""A job under a tracer of our own: what their tests have in common."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.model import Health, Input, Style
from systrace.parser import EVERY_NAME, records
from systrace.tracers import Capture, Request, Tracer
from systrace.tracers.embedded import Embedded

_WANTED = (
    "socket socketpair bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt shutdown "
    "sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg readv writev close dup dup2 dup3 close_range pipe pipe2 fcntl "
    "ioctl poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait fork vfork clone clone3 execve "
    "semop semtimedop msgrcv exit exit_group wait4 waitid kill tgkill alarm setitimer nanosleep flock eventfd2"
)
WANTED = frozenset(_WANTED.split())
PYTHON = [os.path.realpath(sys.executable), "-I", "-S"]

REAL = [
    pytest.mark.real,
    pytest.mark.skipif(Embedded().unavailable() is not None, reason=str(Embedded().unavailable())),
]
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is the judge here")


class Chosen:
    """The tracer under test (fixture `each_tracer`)."""

    tracer: Tracer = Embedded()


@contextlib.contextmanager
def traced(command: list[str], trace: Path, **request: object) -> Iterator[Capture]:
    """A capture under way."""
    wanted = request.pop("syscalls", WANTED)
    with Chosen.tracer.run(command, Request(trace, wanted, **request)) as capture:  # type: ignore[arg-type]
        yield capture


def run(command: list[str], trace: Path, **request: object) -> int | None:
    """Trace to the end of the worker; gives the job's status."""
    with traced(command, trace, **request) as capture:
        status = capture.wait(60)
        ended(capture.tracer_pid)
    health = Health()
    with trace.open("rb") as lines:
        assert list(records([Input(str(trace), lines)], EVERY_NAME, health, Style()))
    assert (health.unparsed, health.orphan_resumes, health.foreign) == (0, 0, 0), health.unparsed_samples
    return status


def ended(pid: int) -> None:
    """Wait until a process (child or not) has ended."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(30_000), f"{pid} goes on"
        os.close(descriptor)


def python(text: str) -> list[str]:
    """The command that runs this source."""
    return [*PYTHON, "-c", textwrap.dedent(text)]
