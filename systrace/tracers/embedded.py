"""Captures without strace(1): our own tracer, in a worker process (see `embedded_worker`).

The worker starts the job, so the job is the worker's child: its status comes back over a socket. When the worker dies,
another process takes the job over (`capture.guard`) and learns its status. Where that is forbidden (Yama's scope 1 without
CAP_SYS_PTRACE) the kernel kills the job (PTRACE_O_EXITKILL), because with the seccomp filter it could not go on. A process
that the worker attached to goes on untraced.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from systrace.calls import MAKERS
from systrace.errors import CaptureError, CommandError
from systrace.tracers import TRACERS, Request, workers
from systrace.tracers.embedded_worker.lending import MENDED, UNMENDED
from systrace.tracers.heir import Heir, permitted
from systrace.tracers.launch import environment
from systrace.tracers.one_cpu import pinning
from systrace.tracers.permission import forbidden, yama
from systrace.tracers.waiting import Running, pidfd, status_field, tracer_of, wait_any
from systrace.tracers.workers import unsupported

OLDEST = (5, 3)  # PTRACE_GET_SYSCALL_INFO, ptrace(2)
STOP_SECONDS = 5.0
ATTACH_SECONDS = 10.0  # a process in uninterruptible sleep cannot be stopped; give up then
START_SECONDS = 60.0  # of a worker on a machine that has no time for it
_PF_KTHREAD = 0x00200000  # linux/sched.h
_KILLED = 128 + signal.SIGKILL
# Standard error is the job's: what goes wrong before the worker can say it is told by its status alone.
_WORKER = (
    "import sys; sys.excepthook = lambda *_: None; from systrace.tracers.embedded_worker import __main__ as worker; "
)
_WORKER += "sys.exit(worker.main())"


class EmbeddedCapture:
    """A job or an attached process under the worker: the `Capture` of both."""

    def __init__(
        self,
        worker: subprocess.Popen[bytes],
        control: socket.socket,
        attached: Sequence[int],
        heir: Heir | None = None,
    ) -> None:
        self.pid = 0
        self._heir = heir
        self._orphaned = False  # the worker is dead, the job goes on with the heir
        self.tracer_pid = worker.pid
        self._worker = worker
        self._control = control
        self._attached = bool(attached)
        self._asked_for = attached[0] if attached else 0
        self._text = b""
        self._complaint = ""
        self._status: int | None = None
        self._fault: str | None = None
        self._stopped = False
        self._target: int | None = None

    def started(self) -> dict[str, Any]:
        """Wait for the worker's first word.

        Raises:
            CaptureError: it ended without one.
        """
        first: dict[str, Any] | None = None
        began = time.monotonic()
        while first is None:
            if not wait_any([self._control.fileno()], ATTACH_SECONDS if self._attached else START_SECONDS):
                if self._attached:
                    self._attaches_late(time.monotonic() - began)
                    continue
                self._worker.kill()  # and with it the job, which has not begun: then it would have been said
            for message in self._messages():  # a short job's end may come along with its start
                self._note(message)
                if message["event"] == "launched" and self._heir is not None:
                    self._heir.guard(message["pid"], self.tracer_pid, message["lent"])
                    self._control.send(MENDED if self._heir.mends else UNMENDED)
                elif message["event"] in ("started", "failed"):
                    first = message
                    self.pid = first.get("pid", 0)
            if first is None and self._status is not None:
                raise CaptureError(f"cannot trace: {self._fault or 'the process has just ended'}")
        self._target = pidfd(self.pid) if self.pid else None
        return first

    def _attaches_late(self, seconds: float) -> None:
        """The processes are not attached to after so long: a busy machine, or it cannot be done.

        Raises:
            CaptureError: it cannot, or nobody knows any more.
        """
        if _uninterruptible(self._asked_for):
            raise CaptureError("cannot attach: it cannot be stopped (uninterruptible sleep, state D)")
        if seconds > START_SECONDS:
            raise CaptureError(f"cannot attach: the tracer has not begun within {START_SECONDS:.0f} s")

    def _messages(self) -> list[dict[str, Any]]:
        """What the worker said; blocks until it says something or ends."""
        try:
            data = self._control.recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            self._ended()
        *lines, self._text = (self._text + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _ended(self) -> None:
        status = self._worker.wait()
        if self._status is not None or (self._attached and (self._stopped or status == 0)):
            self._status = self._status or 0
            return
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}{self._complaint}"
        self._orphaned = not self._attached and self._heir is not None and self.pid != 0
        fate = "the process goes on untraced" if self._attached else "the job was killed with it"
        self._fault = f"the embedded tracer[{self.tracer_pid}] {how}: the recording stops there"
        if not self._orphaned:
            self._fault += f", {fate}"
            self._status = 0 if self._attached else _KILLED

    def wait(self, seconds: float | None = None) -> int | None:
        """See `Capture`."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._status is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._orphaned and self._heir is not None:
                if not wait_any([self._heir.fileno()], left):
                    return None
                self._inherit(self._heir.status())
                continue
            if not wait_any([self._control.fileno()], left):
                return None
            for message in self._messages():
                self._note(message)
        return self._status

    def _inherit(self, status: int | None) -> None:
        """What the heir knows of the job's end."""
        if status is None:
            return
        self._status = status
        if status < 0:  # it could not take over, or was killed as well
            self._status = _KILLED
            self._fault = f"{self._fault}; how the job ended is not known"

    def _note(self, message: dict[str, Any]) -> None:
        if message["event"] == "exited":
            self._status = 0 if self._attached else message["status"]
        elif message["event"] == "fault":
            self._complaint = f" ({message['text']})"

    def signal(self, number: int) -> None:
        """See `Capture`."""
        with contextlib.suppress(OSError):
            if self._target is not None:
                signal.pidfd_send_signal(self._target, number)
            elif self.pid and not self._attached and self._status is None:  # no descriptor was to be had
                os.kill(self.pid, number)

    def stop(self) -> None:
        """See `Capture`: a job with a filter stays with the worker, which writes no more and lets every call pass."""
        if self._stopped:
            return
        self._stopped = True
        with contextlib.suppress(OSError):
            self._control.send(b"stop")
        if self._attached:
            try:
                self._worker.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._worker.kill()  # the kernel lets the processes go
                self._worker.wait()

    def fault(self) -> str | None:
        """See `Capture`."""
        if self._fault is None and self._status is None and wait_any([self._control.fileno()], 0):
            self.wait(0)
        return self._fault

    def close(self) -> None:
        """Stop where attached; a job goes on under its worker."""
        if self._attached:
            self.stop()
        self._control.close()
        if self._target is not None:
            os.close(self._target)
        if self._worker.poll() is None:
            self._worker.returncode = 0  # it is meant to go on: no ResourceWarning


class Embedded:
    """The tracer for machines without strace."""

    name = "embedded"
    rank = 1
    stops = True

    def unavailable(self) -> str | None:
        """See `Tracer`."""
        reason = unsupported("the embedded tracer", OLDEST)
        if reason:
            return reason
        if importlib.util.find_spec("ptrace") is None:
            return "python-ptrace is not installed: pip install python-ptrace"
        if yama() >= 3:
            return "kernel.yama.ptrace_scope is 3: nobody may trace until the next boot"
        return None

    def describe(self, request: Request, *, attach: bool = False) -> dict[str, Any]:
        """What the recording holds (`Described`): reads and writes of plain files are never in it.

        `sockets_only`: nor are files that were opened for reading, bytes in pipes and large writes to standard output.
        """
        calls = sorted(request.syscalls) or "all"
        filtered = request.seccomp and bool(request.syscalls) and not attach
        facts = {"follows": True, "calls": calls, "seccomp": filtered, "plain_files": False}
        return facts | ({"sockets_only": True} if filtered and request.syscalls >= MAKERS else {})

    @contextlib.contextmanager
    def run(self, command: Sequence[str], request: Request) -> Iterator[EmbeddedCapture]:
        """See `Tracer`."""
        variables = environment() if request.environment is None else request.environment
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if request.blocked is None else request.blocked
        capture = self._start(
            request,
            path=_text(os.fsencode(command[0])),
            command=[_text(os.fsencode(word)) for word in (request.argv0 or command[0], *command[1:])],
            environment={_text(name): _text(value) for name, value in variables.items()},
            blocked=[int(number) for number in mask],
            outlives=request.heir is not None and permitted(),
        )
        try:
            message = capture.started()
            if message["event"] == "failed":
                if message["what"] == "execve":
                    raise CommandError(command[0], message["errno"])
                raise CaptureError(forbidden(os.strerror(message["errno"])))
            yield capture
        finally:
            capture.close()

    @contextlib.contextmanager
    def attach(self, processes: Sequence[Running], request: Request) -> Iterator[EmbeddedCapture]:
        """See `Tracer`."""
        capture = self._start(request, pids=[process.pid for process in processes], starts=[p.start for p in processes])
        try:
            message = capture.started()
            if message["event"] == "failed":
                if message["what"] == "replaced":
                    raise CaptureError(f"cannot attach: {Running(message['pid'], 0).successor()}")
                raise CaptureError(refused(processes[0].pid, os.strerror(message["errno"])))
            yield capture
        finally:
            capture.close()

    def _start(self, request: Request, **task: Any) -> EmbeddedCapture:
        reason = self.unavailable()
        if reason:
            raise CaptureError(reason)
        common = {
            "output": _text(os.fsencode(request.output)),
            "syscalls": sorted(request.syscalls),
            "string_limit": request.string_limit,
            "seccomp": request.seccomp,
        }
        data = workers.encoded({"pids": [], **common, **task})
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            # Not close_fds: what this process inherited is the job's. The worker keeps none of it.
            try:
                worker = subprocess.Popen(
                    [sys.executable, "-P", "-S", "-c", _WORKER, str(theirs.fileno())],
                    close_fds=False,
                    env=workers.environment(),
                    preexec_fn=pinning(request.one_cpu),
                )
            except OSError as error:
                ours.close()
                raise CaptureError(f"the embedded tracer cannot be started: {error.strerror}") from None
        capture = EmbeddedCapture(worker, ours, attached=task.get("pids", ()), heir=request.heir)
        with contextlib.suppress(OSError):  # it died: `started` says how
            ours.sendall(data)
        return capture


def _text(data: bytes) -> str:
    """JSON carries text: each byte becomes one character."""
    return data.decode("latin-1")


def refused(pid: int, said: str) -> str:
    """One line: why a process cannot be attached to, and what would permit it."""
    name = status_field(pid, "Name")
    if name is None:
        return f"there is no process {pid}"
    shown = "".join(c if c.isprintable() else "?" for c in name)
    start = f"cannot attach to process {pid} ({shown}): "
    if (status_field(pid, "State") or "").startswith("Z"):
        return f"{start}it has ended, its parent {status_field(pid, 'PPid')} has not asked for its status (zombie)"
    if _is_kernel_thread(pid):
        return f"{start}it is a thread of the kernel and makes no system calls"
    tracer = tracer_of(pid)
    if tracer:
        return f"{start}process {tracer} ({status_field(tracer, 'Name')}) traces it already, and there can be only one"
    owner = (status_field(pid, "Uid") or "0").split()[0]
    if os.geteuid() not in (0, int(owner)):
        return f"{start}it belongs to user {owner}; run systrace as that user or as root"
    if yama():
        return (
            f"{start}kernel.yama.ptrace_scope is {yama()}; run systrace as root, or: sysctl kernel.yama.ptrace_scope=0"
        )
    return f"{start}{said} (containers: --cap-add SYS_PTRACE)"


def _uninterruptible(pid: int) -> bool:
    """Whether a thread of the process sleeps in a way that nothing interrupts."""
    try:
        tids = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return False
    return any((status_field(tid, "State") or "").startswith("D") for tid in tids)


def _is_kernel_thread(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return bool(int(text.rpartition(")")[2].split()[6]) & _PF_KTHREAD)
    except (OSError, ValueError, IndexError):
        return False


TRACERS.add(Embedded.name, Embedded())
