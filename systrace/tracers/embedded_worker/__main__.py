"""`python -m systrace.tracers.embedded_worker FD`: FD is a socket to the process that wants the trace.

First comes the task: its length in eight decimal digits, then JSON (see `Task`); later perhaps `stop`. Back go JSON
lines: `started` (the job has executed its command, or the process is attached), `failed` (nothing was started: `errno`
and `what`, or `pid`, whose number belongs to another process now), `exited` (`status` as a shell would give it). When
the other side goes away an attached process is let go; a job is traced to its end.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import field

from ptrace import PtraceError

from systrace.dataclass import dataclass
from systrace.tracers.embedded_worker import lending, requests
from systrace.tracers.embedded_worker.attach import Replaced, attach
from systrace.tracers.embedded_worker.decode.structures import Limits
from systrace.tracers.embedded_worker.launch import FOR_THE_JOB, Command, launch
from systrace.tracers.embedded_worker.loop import Loop
from systrace.tracers.embedded_worker.names import Abi
from systrace.tracers.embedded_worker.output import Output
from systrace.tracers.embedded_worker.plan import Plan, make_plan
from systrace.tracers.embedded_worker.stops import Calls
from systrace.tracers.waiting import Running
from systrace.tracers.workers import received, say, say_fault

_TICK_S = 0.1


@dataclass(slots=True)
class Task:
    """What to do: `command` or `pids`; text is bytes as latin-1, because JSON knows no bytes."""

    output: str
    syscalls: list[str]
    string_limit: int
    seccomp: bool
    pids: list[int]
    starts: list[int] = field(default_factory=list)  # of `pids`, see `Running`
    path: str = ""
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    blocked: list[int] = field(default_factory=list)
    outlives: bool = False  # somebody takes the job over if this process is killed (`capture.guard`)


class Worker:
    """The tracer, its control socket and its job."""

    _output: Output

    def __init__(self, control: socket.socket, task: Task) -> None:
        self._control = control
        self._task = task
        self._main = 0  # the job, or the first attached process
        self._started = False
        self._exited = False
        self._unbind: Callable[[int], None] | None = None

    def run(self) -> int:
        """Do the task; 0 unless nothing could be traced."""
        task = self._task
        Limits.strings = task.string_limit
        plan = make_plan(frozenset(task.syscalls), may_filter=bool(task.command) and task.seccomp)
        path = os.fsencode(task.output.encode("latin-1"))
        self._output = Output(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        loop = Loop(Calls(self._output, plan.numbers), plan.abi, bool(plan.filter), plan.widener)
        loop.on_tick = lambda: self._listen(loop)
        try:
            return self._run_job(loop, plan) if task.command else self._attach(loop, plan.abi)
        except PtraceError as error:
            say(self._control, "failed", what="ptrace", errno=error.errno or errno.EPERM)
            return 2
        except Replaced as error:
            say(self._control, "failed", what="replaced", pid=error.pid)
            return 2

    def _run_job(self, loop: Loop, plan: Plan) -> int:
        task = self._task
        options = requests.O_FOLLOW | (requests.O_TRACESECCOMP if plan.filter else 0)
        job = launch(
            Command(
                task.path.encode("latin-1"),
                [word.encode("latin-1") for word in task.command],
                {key.encode("latin-1"): value.encode("latin-1") for key, value in task.environment.items()},
                frozenset(task.blocked),
            ),
            plan.install,
            options,
        )
        if task.outlives:
            loop.unbound = options
            self._unbind = loop.unbind
        loop.add(job.pid, coverage=plan.coverage).muted = True
        self._main = job.pid
        loop.on_exec = self._on_exec
        loop.on_exit = self._on_exit
        if not plan.filter:
            requests.interrupt(job.pid)
        _keep_only((self._control.fileno(), self._output.fileno(), *job.descriptors()))
        if task.outlives:
            say(self._control, "launched", pid=job.pid, lent=lending.ADDRESS)
            # The guard is in its place; or systrace is gone, and the job runs as it would.
            loop.mended = self._control.recv(len(lending.MENDED)) == lending.MENDED
        _tick(self._control)
        job.go()
        loop.run()
        if not self._started:
            say(self._control, "failed", what="execve", errno=job.failure() or errno.ENOEXEC)
            return 2
        if not self._exited:  # it was let go, and is our child still
            self._on_exit(job.pid, os.waitpid(job.pid, 0)[1])
        return 0

    def _on_exec(self, tid: int) -> None:
        if tid == self._main and not self._started:
            self._started = True
            say(
                self._control, "started", pid=tid
            )  # before it may outlive us: what was not said to have started is not running
            if self._unbind is not None:
                self._unbind(tid)

    def _on_exit(self, tid: int, status: int) -> None:
        if tid == self._main and self._started:
            self._exited = True
            self._output.flush()  # who hears of the end finds it in the recording
            code = os.waitstatus_to_exitcode(status)
            say(self._control, "exited", status=code if code >= 0 else 128 - code)

    def _attach(self, loop: Loop, abi: Abi) -> int:
        loop.on_exit = self._on_exit
        self._main = self._task.pids[0]
        for number in FOR_THE_JOB[:4]:
            signal.signal(number, lambda _number, _frame: self._ask_to_stop())
        attach(loop, list(map(Running, self._task.pids, self._task.starts)), abi, requests.O_FOLLOW)
        loop.on_stop = self._on_exec  # from its first stop on, its calls are seen
        _keep_only((self._control.fileno(), self._output.fileno()))
        _tick(self._control)
        loop.run()
        return 0

    _asked = False

    def _ask_to_stop(self) -> None:
        self._asked = True

    def _listen(self, loop: Loop) -> None:
        """Between two stops: has anybody said anything?"""
        try:
            word = self._control.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            word = None
        except OSError:
            word = b""
        ended = word == b"" and not self._task.command
        if word or ended or self._asked:
            loop.stop()


def _tick(control: socket.socket) -> None:
    """Interrupt the wait when the other side speaks, and now and then: to write what was kept back, and to notice a
    signal that came just before the wait began."""
    for number in (signal.SIGALRM, signal.SIGIO):
        signal.signal(number, lambda _number, _frame: None)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, fcntl.fcntl(control, fcntl.F_GETFL) | os.O_ASYNC)
    signal.setitimer(signal.ITIMER_REAL, _TICK_S, _TICK_S)


def _keep_only(descriptors: tuple[int, ...]) -> None:
    """Let go of the job's standard streams, other descriptors and directory: only the job may keep them in use."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        fd = int(name)
        if fd > 2 and fd not in descriptors:
            try:
                os.close(fd)
            except OSError:
                pass  # the directory's own
    os.chdir("/")


def main() -> int:
    """Read the task, do it, give the worker's exit status."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    task = Task(**received(control))
    # Whoever watches over us (`capture.guard`) would be stopped for at each stop of the job, if that signal were delivered.
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGCHLD})
    gc.freeze()
    gc.set_threshold(50_000)  # nothing here refers to itself: looking for such things after each few calls is in vain
    worker = Worker(control, task)
    try:
        return worker.run()
    except Exception as error:  # noqa: BLE001 (standard error is the job's: the other side is told instead)
        say_fault(control, error)
        return 1
    finally:
        for number in (signal.SIGALRM, signal.SIGIO):  # Python gives handlers up while it ends: they would kill
            signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
