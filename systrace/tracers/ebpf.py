"""Captures by eBPF: programs in the kernel note the job's system calls, and nothing stops it (see `ebpf_worker`).

The job is our own child, untouched: it may use ptrace(2) itself, its set-user-id programs keep their rights, and should
the worker die it goes on as if nothing had been. Root or CAP_BPF and CAP_PERFMON (capabilities(7)), Linux 5.8, BTF.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from systrace.errors import CaptureError, CommandError, UnfitError
from systrace.tracers import TRACERS, Request, workers
from systrace.tracers.launch import environment, execute, restore_signals
from systrace.tracers.one_cpu import pinning
from systrace.tracers.waiting import Running, pidfd, status_field, wait_any
from systrace.tracers.workers import unsupported

OLDEST = (5, 8)  # BPF_MAP_TYPE_RINGBUF, CAP_BPF
BTF = Path("/sys/kernel/btf/vmlinux")
START_SECONDS = 20.0
STOP_SECONDS = 5.0
_SYS_ADMIN, _PERFMON, _BPF = 1 << 21, 1 << 38, 1 << 39  # linux/capability.h
_FIRST_PIDS = 0xEFFFFFFC  # PROC_PID_INIT_INO of linux/proc_ns.h: the kernel numbers processes by this namespace
_WORKER = (
    "import sys; sys.excepthook = lambda *_: None; from systrace.tracers.ebpf_worker import __main__ as worker; "
    "sys.exit(worker.main())"
)


class Worker:
    """The other process, and what it says."""

    def __init__(self, request: Request, **task: Any) -> None:
        data = workers.encoded(
            {
                "output": os.fsencode(request.output).decode("latin-1"),
                "syscalls": sorted(request.syscalls),
                "string_limit": request.string_limit,
                **task,
            }
        )
        self.control, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-S", "-c", _WORKER, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=workers.environment(),
                )
            except OSError as error:
                self.control.close()
                raise CaptureError(f"the eBPF tracer cannot be started: {error.strerror}") from None
        with contextlib.suppress(OSError):
            self.control.sendall(data)

    def hear(self, event: str) -> None:
        """Wait until it says this.

        Raises:
            CaptureError: it says something else, or nothing in time.
        """
        if wait_any([self.control.fileno()], START_SECONDS):
            with contextlib.suppress(OSError):
                line = self.control.recv(4096).split(b"\n")[0]
                message = json.loads(line) if line else {"event": "fault", "text": "the eBPF tracer ended at once"}
                if message["event"] == event:
                    return
                if message.get("what") == "replaced":
                    raise CaptureError(f"cannot attach: {Running(int(message['pid']), 0).successor()}")
                if message.get("what") == "gone":
                    raise CaptureError(f"there is no process {message['pid']}")
                raise UnfitError(f"cannot trace by eBPF: {message['text']}")
        self.process.kill()
        raise UnfitError(f"the eBPF tracer did not begin within {START_SECONDS:.0f} s")

    def stop(self) -> None:
        """Ask it to write its last lines and to end; it detaches by ending."""
        with contextlib.suppress(OSError):
            self.control.send(b"stop")

    def fault(self, ended: str) -> str | None:
        """Why it has ended, None while it has not or has done so on its own."""
        status = self.process.poll()
        if not status:
            return None
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        with contextlib.suppress(OSError, ValueError):
            said = self.control.recv(4096, socket.MSG_DONTWAIT).split(b"\n")[0]
            how += f" ({json.loads(said)['text']})"
        return f"the eBPF tracer[{self.process.pid}] {how}: the recording stops there, {ended}"

    def close(self) -> None:
        """Forget it: it goes on as long as anything is traced."""
        self.control.close()
        if self.process.poll() is None:
            self.process.returncode = 0  # it is meant to go on: no ResourceWarning


class EbpfRun:
    """A job beside the worker: the `Capture` of `Ebpf.run`."""

    def __init__(self, job: subprocess.Popen[bytes], worker: Worker) -> None:
        self.pid = job.pid
        self.tracer_pid = worker.process.pid
        self._job = job
        self._worker = worker
        self._fault: str | None = None
        self._worker_fd = pidfd(self.tracer_pid)
        self._job_fd = pidfd(job.pid)

    def wait(self, seconds: float | None = None) -> int | None:
        """See `Capture`."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._job.poll() is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._job_fd is None:  # no descriptor was to be had
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._job.wait(left)
                break
            ready = wait_any([fd for fd in (self._job_fd, self._worker_fd) if fd is not None], left)
            if not ready:
                return None
            if self._worker_fd in ready and self._worker_fd is not None:
                os.close(self._worker_fd)
                self._worker_fd = None
        status = self._job.returncode
        return status if status is None or status >= 0 else 128 - status

    def signal(self, number: int) -> None:
        """See `Capture`."""
        if self._job.poll() is None:
            self._job.send_signal(number)

    def stop(self) -> None:
        """See `Capture`."""
        self._worker.stop()

    def fault(self) -> str | None:
        """See `Capture`."""
        self._fault = self._fault or self._worker.fault("the job goes on")
        return self._fault

    def close(self) -> None:
        """Forget the job: it and the worker go on."""
        self._worker.close()
        for descriptor in (self._worker_fd, self._job_fd):
            if descriptor is not None:
                os.close(descriptor)
        if self._job.returncode is None:
            self._job.returncode = 0


class EbpfAttach:
    """The worker on running processes: the `Capture` of `Ebpf.attach`."""

    def __init__(self, pid: int, worker: Worker) -> None:
        self.pid = pid
        self.tracer_pid = worker.process.pid
        self._worker = worker
        self._target_fd = pidfd(pid)

    def wait(self, seconds: float | None = None) -> int | None:
        """See `Capture`."""
        if self._target_fd is None:
            return 0
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._worker.process.poll() is None:
            left = 0.5 if deadline is None else min(0.5, max(0.0, deadline - time.monotonic()))
            if wait_any([self._target_fd], left):
                return 0
            if deadline is not None and time.monotonic() >= deadline:
                return None
        return 0

    def signal(self, number: int) -> None:
        """See `Capture`."""
        if self._target_fd is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._target_fd, number)

    def stop(self) -> None:
        """See `Capture`."""
        self._worker.stop()
        try:
            self._worker.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._worker.process.kill()
            self._worker.process.wait()

    def fault(self) -> str | None:
        """See `Capture`."""
        return self._worker.fault("the process goes on")

    def close(self) -> None:
        """Stop and free."""
        self.stop()
        self._worker.close()
        if self._target_fd is not None:
            os.close(self._target_fd)


class Ebpf:
    """The tracer that costs the job nothing, where the kernel and the rights allow it."""

    name = "ebpf"
    rank = 0
    stops = False

    def unavailable(self) -> str | None:
        """See `Tracer`."""
        reason = unsupported("the eBPF tracer", OLDEST)
        if reason:
            return reason
        if not BTF.exists():
            return f"this kernel does not describe itself: {BTF} is missing (CONFIG_DEBUG_INFO_BTF)"
        rights = int(status_field(os.getpid(), "CapEff") or "0", 16)
        if not rights & _SYS_ADMIN and (not rights & _BPF or not rights & _PERFMON):
            return "eBPF needs root, or CAP_BPF and CAP_PERFMON"
        try:
            if Path("/proc/self/ns/pid").stat().st_ino != _FIRST_PIDS:
                return "eBPF sees the host's process numbers, and this is a container that has its own (docker run --pid=host)"
        except OSError:
            return "/proc is not mounted"
        from systrace.tracers.ebpf_worker.libbpf import find

        return None if find() else "libbpf 1.0 or newer is not installed (package libbpf1, libbpf)"

    def trial(self) -> str | None:
        """Load the programs, to find out whether the kernel takes them: None, or why it does not."""
        from systrace.tracers.ebpf_worker.__main__ import load
        from systrace.tracers.ebpf_worker.libbpf import BpfError, find

        library = find()
        try:
            if library is not None:
                load(library)[0].close()
        except BpfError as error:
            return f"cannot trace by eBPF: {error}"
        return None

    def describe(self, request: Request, *, attach: bool = False) -> dict[str, Any]:
        """What the recording holds (`Described`)."""
        from systrace.tracers.ebpf_worker.interest import OPEN_BUDGET, STREAM_BUDGET

        return {
            "follows": True,
            "calls": sorted(request.syscalls) or "all",
            "plain_files": False,
            "sockets_only": True,
            "budgets": {"stream_bytes": STREAM_BUDGET, "opens": OPEN_BUDGET},
        }

    @contextlib.contextmanager
    def run(self, command: Sequence[str], request: Request) -> Iterator[EbpfRun]:
        """See `Tracer`."""
        self._require()
        worker = Worker(request)
        try:
            worker.hear("ready")
            job = _start(command, request, worker.control)
            capture = EbpfRun(job, worker)
        except BaseException:
            worker.process.kill()
            worker.process.wait()
            worker.close()
            raise
        try:
            yield capture
        finally:
            capture.close()

    @contextlib.contextmanager
    def attach(self, processes: Sequence[Running], request: Request) -> Iterator[EbpfAttach]:
        """See `Tracer`: no call of theirs is interrupted."""
        self._require()
        worker = Worker(request, pids=[p.pid for p in processes], starts=[p.start for p in processes])
        try:
            worker.hear("started")
        except BaseException:
            worker.process.kill()
            worker.process.wait()
            worker.close()
            raise
        capture = EbpfAttach(processes[0].pid, worker)
        try:
            yield capture
        finally:
            capture.close()

    def _require(self) -> None:
        reason = self.unavailable()
        if reason:
            raise CaptureError(reason)


def _start(command: Sequence[str], request: Request, control: socket.socket) -> subprocess.Popen[bytes]:
    """Start the job; it waits for the worker to follow it before it becomes the command.

    Raises:
        CommandError: execve(2) failed.
        CaptureError: there is no worker any more.
    """
    report, said = os.pipe()
    variables = environment() if request.environment is None else request.environment
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if request.blocked is None else request.blocked
    argv = [request.argv0 or command[0], *command[1:]]
    pinned: Callable[[], None] | None = pinning(request.one_cpu)

    def become() -> None:
        control.send(b"%d" % os.getpid())
        if not wait_any([control.fileno()], START_SECONDS) or not control.recv(64):
            os.write(said, b"0")
            os._exit(127)
        if pinned is not None:
            pinned()
        try:
            restore_signals(set(mask))
            execute(os.fsencode(command[0]), [os.fsencode(word) for word in argv], dict(variables))
        except (OSError, ValueError) as error:
            os.write(said, b"%d" % (getattr(error, "errno", None) or errno.EINVAL))
            os._exit(127)

    with open(report, "rb") as words:  # noqa: PTH123
        try:
            job = subprocess.Popen(["/"], preexec_fn=become, close_fds=False, restore_signals=False)
        finally:
            os.close(said)
        failed = words.read()
    if failed:
        job.wait()
        if failed == b"0":
            raise CaptureError("the eBPF tracer ended before the job began")
        raise CommandError(command[0], int(failed))
    return job


TRACERS.add(Ebpf.name, Ebpf())
