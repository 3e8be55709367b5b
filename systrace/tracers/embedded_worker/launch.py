"""Starts the job: a child of the worker, seized before it executes anything of its own."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Mapping, Sequence

from systrace.dataclass import dataclass
from systrace.tracers.embedded_worker import requests

# Signals that a terminal or a supervisor sends to the whole group: they are for the job, the tracer has to survive
# them to see what the job does with them.
FOR_THE_JOB = (
    signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """What to execute: `arguments` with the program's own name first, `blocked` its signal mask."""

    path: bytes
    arguments: list[bytes]
    environment: Mapping[bytes, bytes]
    blocked: frozenset[int]


class Launched:
    """A job that waits to be let off. `failure()` is the errno of its execve(2), None when it succeeded."""

    def __init__(self, pid: int, gate: int, errors: int) -> None:
        self.pid = pid
        self._gate = gate
        self._errors = errors

    def go(self) -> None:
        """Let the job execute its command."""
        os.write(self._gate, b"g")
        os.close(self._gate)

    def descriptors(self) -> tuple[int, int]:
        """What must stay open until `go` and `failure`."""
        return self._gate, self._errors

    def failure(self) -> int | None:
        """Asked once, after the child's exec or end: then nobody else holds the other end."""
        text = os.read(self._errors, 16)
        os.close(self._errors)
        return int(text) if text else None


def launch(command: Command, prepare: Callable[[], None], options: int) -> Launched:
    """Fork and seize the job; it calls `prepare` (the seccomp filter) and execve(2) after `go`.

    Raises:
        ptrace.PtraceError: the kernel lets nobody be traced here.
    """
    ignored = [number for number in FOR_THE_JOB if signal.getsignal(number) == signal.SIG_IGN]
    for number in FOR_THE_JOB:
        signal.signal(number, signal.SIG_IGN)
    gate, opener = os.pipe()
    errors, complaint = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(command, prepare, (gate, opener, complaint), ignored)
    os.close(gate)
    os.close(complaint)
    try:
        requests.seize(pid, options | requests.O_EXITKILL)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return Launched(pid, opener, errors)


def _execute(command: Command) -> None:
    try:
        os.execve(command.path, command.arguments, command.environment)  # noqa: S606
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # a script without #!: as every shell does
    os.execve(b"/bin/sh", [b"sh", command.path, *command.arguments[1:]], command.environment)  # noqa: S606


def _child(
    command: Command,
    prepare: Callable[[], None],
    pipes: tuple[int, int, int],
    ignored: Sequence[int],
) -> None:
    """In the child: never returns."""
    gate, opener, complaint = pipes
    try:
        os.close(opener)
        if os.read(gate, 1):
            os.close(gate)
            # Python ignores SIGPIPE and SIGXFSZ for itself; a job expects to die of them.
            for number in {*FOR_THE_JOB, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGALRM, signal.SIGIO} - {*ignored}:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, command.blocked)
            prepare()
            _execute(command)
    except OSError as error:
        os.write(complaint, str(error.errno or 0).encode())
    finally:
        os._exit(127)
