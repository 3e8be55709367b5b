"""Captures with strace(1): its options for the installed version, a command under it, a running process.

A command is traced with `-D`: the job is then our own child (so its status is exact, whatever happens to strace) and
strace is nobody's. See `launching` for how the job gets its descriptors without strace keeping them open.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

from systrace.calls import LIVES
from systrace.errors import CaptureError
from systrace.tracers import TRACERS, Request
from systrace.tracers.complaints import Complaints
from systrace.tracers.launching import launched
from systrace.tracers.waiting import Running, pidfd, status_field, tracer_of, wait_any

OLDEST = (4, 7)  # signals, exits and -y in today's form (strace's NEWS)
VERSION_SECONDS = 10.0
ATTACH_SECONDS = 10.0  # a process in uninterruptible sleep cannot be stopped; give up then
GONE_SECONDS = 0.5  # strace would have said by then that there was no such process
STOP_SECONDS = 5.0
LAST_LINES_SECONDS = 0.5  # for strace to learn how the process ended, and to write it

Version = tuple[int, int]


@functools.cache
def version(program: str) -> Version:
    """(major, minor) of an strace; (0, 0) when it does not say."""
    try:
        asked = subprocess.run(
            [program, "-V"], input=b"", capture_output=True, check=False, timeout=VERSION_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):  # of another machine, no program at all, stuck
        return 0, 0
    found = re.match(rb"strace -- version (\d{1,4})\.(\d{1,4})", asked.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def options(installed: Version, request: Request, *, attach: bool = False) -> list[str]:
    """strace's options for a version, without those that name the output, the command or the process."""
    words = ["-f", "-q", "-y", "-s", str(request.string_limit)]
    if installed >= (5, 6):
        words += ["--absolute-timestamps=format:unix,precision:ns", "--syscall-times=ns"]
    else:
        words += ["-ttt", "-T"]
    if installed >= (5, 9):
        words.append("--pidns-translation")  # a job may live in, or make, another PID namespace
    if installed >= (6, 9):
        words.append("--always-show-pid")
    if installed >= (7, 0):
        words.append("--color=never")
    if not request.syscalls:
        return words
    if not attach and request.seccomp and installed >= (5, 3):
        words.append("--seccomp-bpf")
    if installed >= (4, 17):  # before, one unknown name made strace refuse all
        names = sorted(request.syscalls | LIVES)
        return [*words, "-e", "trace=" + ",".join(f"?{name}" for name in names)]
    return [*words, "-e", "trace=network,desc,process"]


class StraceRun:
    """A command under strace: the `Capture` of `Strace.run`."""

    def __init__(self, job: subprocess.Popen[bytes], tracer_pid: int, complaints: Complaints, filtered: bool) -> None:
        self.pid = job.pid
        self.tracer_pid = tracer_pid
        self._job = job
        self._filtered = filtered
        self._complaints = complaints
        self._fault: str | None = None
        self._tracer_fd = pidfd(tracer_pid)
        self._job_fd = pidfd(job.pid)

    def wait(self, seconds: float | None = None) -> int | None:
        """See `Capture`."""
        while self._job.poll() is None:
            if self._job_fd is None:  # no descriptor was to be had
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._job.wait(seconds)
                break
            watched = [self._job_fd] if self._tracer_fd is None else [self._job_fd, self._tracer_fd]
            ready = wait_any(watched, seconds)
            if not ready:
                return None
            if self._tracer_fd in ready and self._job.poll() is None:
                self._lost_tracer()
        status = self._job.returncode
        return status if status is None or status >= 0 else 128 - status

    def _lost_tracer(self) -> None:
        if self._tracer_fd is not None:
            os.close(self._tracer_fd)
        self._tracer_fd = None
        self._fault = f"strace[{self.tracer_pid}] ended before the job: the recording stops there"

    def signal(self, number: int) -> None:
        """See `Capture`."""
        if self._job.poll() is None:
            self._job.send_signal(number)

    def stop(self) -> None:
        """See `Capture`: with a filter in the job strace has to stay, because without it the job's calls would fail."""
        if not self._filtered and self._tracer_fd is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._tracer_fd, signal.SIGTERM)
                os.close(self._tracer_fd)
            self._tracer_fd = None

    def fault(self) -> str | None:
        """See `Capture`."""
        return self._fault or self._complaints.last() or None

    def close(self) -> None:
        """Forget the job: it and strace go on."""
        self._complaints.close()
        for descriptor in (self._tracer_fd, self._job_fd):
            if descriptor is not None:
                os.close(descriptor)
        if self._job.returncode is None:
            self._job.returncode = 0  # it is meant to go on: no ResourceWarning


class StraceAttach:
    """strace on running processes: the `Capture` of `Strace.attach`."""

    def __init__(self, pid: int, tracer: subprocess.Popen[bytes], complaints: Complaints) -> None:
        self.pid = pid
        self.tracer_pid = tracer.pid
        self._tracer = tracer
        self._complaints = complaints
        self._stopped = False
        self._target_fd = pidfd(pid)
        self._tracer_fd = pidfd(tracer.pid)

    def wait(self, seconds: float | None = None) -> int | None:
        """See `Capture`."""
        watched = [descriptor for descriptor in (self._target_fd, self._tracer_fd) if descriptor is not None]
        return 0 if self._target_fd is None or wait_any(watched, seconds) else None

    def signal(self, number: int) -> None:
        """See `Capture`."""
        if self._target_fd is not None:  # never by its number, which may be somebody else's by now
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._target_fd, number)

    def stop(self) -> None:
        """See `Capture`."""
        self._stopped = True
        if self._target_fd is None or wait_any([self._target_fd], 0):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._tracer.wait(LAST_LINES_SECONDS)  # it ends by itself, unless it still has children to trace
        if self._tracer.poll() is None:
            self._tracer.send_signal(signal.SIGTERM)
            try:
                self._tracer.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._tracer.kill()  # the kernel lets the processes go
                self._tracer.wait()

    def fault(self) -> str | None:
        """See `Capture`."""
        if not self._stopped and (self._tracer.poll() or 0) < 0:
            return f"strace[{self.tracer_pid}] was killed: the recording stops there, the process goes on"
        return self._complaints.last() or None

    def close(self) -> None:
        """Stop and free."""
        self.stop()
        self._complaints.close()
        for descriptor in (self._target_fd, self._tracer_fd):
            if descriptor is not None:
                os.close(descriptor)


class Strace:
    """The tracer that sees every call, where those that cost less do not work."""

    name = "strace"
    rank = 2
    stops = True

    def unavailable(self) -> str | None:
        """See `Tracer`."""
        program = shutil.which("strace")
        if program is None:
            return "strace is not installed (package strace)"
        found = version(program)
        if found == (0, 0):
            return f"{program} does not work (strace -V)"
        if found < OLDEST:
            return f"{program} is version {found[0]}.{found[1]}: 4.7 or newer is needed"
        return None

    def describe(self, request: Request, *, attach: bool = False) -> dict[str, Any]:
        """Version and options of strace (`Described`)."""
        found = version(self._program())
        return {"strace_version": f"{found[0]}.{found[1]}", "strace_options": options(found, request, attach=attach)}

    @contextlib.contextmanager
    def run(self, command: Sequence[str], request: Request) -> Iterator[StraceRun]:
        """See `Tracer`."""
        program = self._program()
        tracer = tracer_of(os.getpid())
        if tracer:
            raise CaptureError(f"systrace is itself being traced, by process {tracer}: a process has one tracer only")
        chosen = options(version(program), request)
        filtered = "--seccomp-bpf" in chosen
        detach = ["-D"] if version(program) < (5, 5) else ["-DD", "-I4" if filtered else "-I2"]
        complaints = Complaints()
        try:
            words = [program, *detach, *chosen, "-o", str(request.output), "--"]
            job, tracer_pid = launched(words, command, request, complaints)
        except BaseException:
            complaints.close()
            raise
        capture = StraceRun(job, tracer_pid, complaints, filtered)
        try:
            yield capture
        finally:
            capture.close()

    @contextlib.contextmanager
    def attach(self, processes: Sequence[Running], request: Request) -> Iterator[StraceAttach]:
        """See `Tracer`."""
        program = self._program()
        words = [program, *options(version(program), request, attach=True), "-o", str(request.output)]
        _check_numbers(processes)
        for process in processes:
            words += ["-p", str(process.pid)]
        complaints = Complaints()
        try:
            tracer = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=complaints.descriptor,
                stderr=complaints.descriptor,
                start_new_session=True,
                preexec_fn=_listen_to_stop,
            )
        except BaseException:
            complaints.close()
            raise
        capture = StraceAttach(processes[0].pid, tracer, complaints)
        try:
            _await_attached(capture, tracer, complaints)
            _check_numbers(processes)
            yield capture
        finally:
            capture.close()

    def _program(self) -> str:
        reason = self.unavailable()
        if reason:
            raise CaptureError(reason)
        return shutil.which("strace") or "strace"


def _check_numbers(processes: Sequence[Running]) -> None:
    """strace knows processes by their numbers only: look before it starts, and again once it has them.

    Raises:
        CaptureError: one of the numbers belongs to another process now.
    """
    for process in processes:
        if process.replaced():
            raise CaptureError(f"cannot attach: {process.successor()}")


def _await_attached(capture: StraceAttach, tracer: subprocess.Popen[bytes], complaints: Complaints) -> None:
    """Return once strace traces the process.

    Raises:
        CaptureError: it cannot.
    """
    waited = 0.0
    while tracer_of(capture.pid) != tracer.pid:
        try:
            tracer.wait(0.01)
        except subprocess.TimeoutExpired:
            waited += 0.01
            if waited < ATTACH_SECONDS and not (waited > GONE_SECONDS and _is_gone(capture.pid)):
                continue
            if _is_gone(capture.pid):
                return  # it went before we could see that it was traced; strace still has its children
        else:
            if tracer.returncode == 0 and not complaints.last():
                return  # it came, and the process went
        raise CaptureError(_refused(capture.pid, complaints.last()))


def _is_gone(pid: int) -> bool:
    return (status_field(pid, "State") or "X")[0] in "XZ"


def _listen_to_stop() -> None:
    """In the new process: the signal that ends strace must be neither blocked (see `signals`) nor ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _refused(pid: int, said: str) -> str:
    name = status_field(pid, "Name")
    if name is None:
        return f"there is no process {pid}"
    tracer = tracer_of(pid)
    if tracer:
        said = f"process {tracer} ({status_field(tracer, 'Name')}) traces it already, and a process has one tracer only"
    return f"cannot attach to process {pid} ({name}): {said or 'it cannot be stopped'}"


TRACERS.add(Strace.name, Strace())
