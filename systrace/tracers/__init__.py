"""Sources of strace-format lines: one file per tracer, found by walking this package.

A tracer starts a command (or attaches to a process) and writes what it sees as strace text, in the shape of
`strace -f -ttt -T -y -o FILE`, into `Request.output`. Nothing else crosses this border: who reads the text neither
knows nor cares which tracer wrote it. `recording` adds the `#` lines, `live` follows the growing text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from systrace.dataclass import dataclass
from systrace.registry import Registry
from systrace.tracers.heir import Heir
from systrace.tracers.waiting import Running


@dataclass(frozen=True, slots=True)
class Request:
    """What to record and where to: the same for every tracer.

    `output` exists when a tracer is called (a FIFO with a reader behind it, or a file): the tracer opens it for writing
    and closes it when it has written its last line, so that its end of file is the end of the trace.
    """

    output: Path
    syscalls: frozenset[str] = frozenset()  # names to record; names that a tracer doesn't know are left out; empty: all
    string_limit: int = 4096  # bytes shown of each string, elements of each array (`-s`)
    seccomp: bool = True  # may install a filter that stops the job only at `syscalls`, if the tracer can
    environment: Mapping[bytes, bytes] | None = None  # of the job; None: this process's own
    argv0: str | None = None  # what the job sees as its own name; None: command[0]
    blocked: frozenset[int] | None = None  # the job's signal mask; None: the calling thread's
    one_cpu: bool = False  # job and tracer share one processor
    heir: Heir | None = None  # who knows the job's status, should the tracer die


class Capture(Protocol):
    """A capture under way. `pid` is the job (or the attached process), `tracer_pid` who traces it."""

    pid: int
    tracer_pid: int

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the job itself, not for children that outlive it, and give its status as a shell would.

        Returns:
            0 to 255, 128+n for death by signal n; for an attached process, whose status is its parent's, 0 once the
            process is gone or the tracer has ended; None when `seconds` passed first. Signal handlers run meanwhile.
        """
        ...

    def signal(self, number: int) -> None:
        """Send a signal to the job; nothing happens when it is gone."""
        ...

    def stop(self) -> None:
        """Stop tracing: the traced processes go on untraced, where the tracer can let go (see `fault`)."""
        ...

    def fault(self) -> str | None:
        """What went wrong with the tracer since the start (killed, its own complaint), None while all is well."""
        ...


class Tracer(Protocol):
    """One way to get strace-format lines."""

    name: str
    rank: int  # of those that work here the lowest is taken
    stops: bool  # it stops what it traces, by ptrace(2): there can be one only, and a call may end with EINTR

    def unavailable(self) -> str | None:
        """Why this tracer cannot be used on this machine, in one line that says what to do; None when it can."""
        ...

    def run(self, command: Sequence[str], request: Request) -> AbstractContextManager[Capture]:
        """Start a command under trace, with all processes and threads that it will ever have.

        The job gets the caller's standard input, output and error, inherited descriptors, working directory, process
        group and `request.environment`; the tracer's own complaints never go to the job's standard error. `command[0]`
        is an absolute path or relative to the working directory: no search. The context is entered once the command's
        execve(2) has happened. Leaving it does not end the job.

        Raises:
            CaptureError: tracing is impossible; no instruction of the command ran, and none will. UnfitError, of these:
                it cannot work on this machine at all, though `unavailable` did not know.
            CommandError: the command cannot be executed.
        """
        ...

    def attach(self, processes: Sequence[Running], request: Request) -> AbstractContextManager[Capture]:
        """Attach to running processes, all their threads, and follow the children that they make.

        The first is the one that was asked for, the others its descendants; a descendant that is gone is no error.
        The context is entered once the tracing of the first has begun. Leaving it stops the tracing.

        Raises:
            CaptureError: not permitted, no such process, or a number that belongs to another process by now (which is
                let go at once): says what is missing and what grants it.
        """
        ...


@runtime_checkable
class Described(Protocol):
    """A tracer that has something to say about itself for the head of a recording."""

    def describe(self, request: Request, *, attach: bool = False) -> dict[str, Any]:
        """Facts such as the tracer's version and options, JSON-able."""
        ...


@runtime_checkable
class Tried(Protocol):
    """A tracer of which only a trial tells whether it works."""

    def trial(self) -> str | None:
        """Why it does not; None when it does."""
        ...


TRACERS: Registry[Tracer] = Registry(__name__)
