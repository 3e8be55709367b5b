"""The process between tracer and disk: a tracer never waits for a slow disk, reader or analysis, and never fails.

The tracer writes into a FIFO; the spooler copies it to the recording. It outlives systrace (killed or done) for as long
as the tracer writes, so that the tracer never meets a closed pipe; once the recording is over it reads and forgets. It
sleeps while the pipe fills (never near to full), because a woken reader for each line would cost more than the copying.
Should it be killed itself, its parent, the keeper, starts another one that reads and forgets: the recording stops, the
tracer does not. The keeper also watches over the job (`capture.guard`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from systrace.capture.guard import Guard
from systrace.dataclass import dataclass
from systrace.tracers.heir import GUARDED, Heir
from systrace.tracers.waiting import pidfd, wait_any

PIPE_BYTES = 1 << 20  # what an unprivileged process may ask for (/proc/sys/fs/pipe-max-size)
NAP_MS = 16
QUIET_MS = 60  # children outlive the job: after this silence its own lines are all here
QUIET_LIMIT_MS = 1000  # ... or, where they are busy, after this long
EXECVE = re.compile(rb"^\d+ +\d+\.\d+ execve\(", re.MULTILINE)
LAUNCHER = b"/tracers/launch.py"
KILLED = "the recording process was killed: the recording stops there"
ANSWER_SECONDS = 5.0
MANY = 1 << 16  # descriptors to close one by one
ENDING = 4096  # bytes given back on a full disk, so that the last line about it can be written


@dataclass(slots=True)
class Spooled:
    """What became of the tracer's text."""

    written: int = 0  # bytes in the recording, header included
    lost: int = 0  # bytes that came after the recording was full
    fault: str = ""
    ended: bool = False  # the tracer has written its last line


class Spool:
    """The parent's handle of the spooler process."""

    def __init__(self, fifo: Path, target: int, limit: int | None, cleanup: Path) -> None:
        """Start copying.

        Args:
            fifo: exists; the tracer opens it afterwards.
            target: descriptor of the recording, positioned at its end.
            limit: bytes of the recording, header included; None: no limit.
            cleanup: directory to remove should systrace itself be killed (a recording in it would be lost to all).
        """
        import socket

        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(ANSWER_SECONDS)  # nobody waits for ever for a spooler that a dead disk holds
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        _widen(reader)
        heard, answer = os.pipe()
        told, tell = os.pipe()
        self.heir = Heir(heard, tell)
        self.pid = fork_apart()
        if self.pid == 0:
            _child(_Spooler((reader, theirs.fileno(), target), limit, cleanup), told, answer)
        self._reader = reader
        theirs.close()
        for descriptor in (answer, told):
            os.close(descriptor)

    def opened(self) -> None:
        """The tracer has opened the FIFO: until then we read it too, so that it finds a reader in any case."""
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    def end_with_us(self, tracer_pid: int) -> None:
        """The tracer is attached to processes that can do without: end it should systrace itself be killed."""
        self._ask({"attached": tracer_pid})

    def note(self, line: bytes) -> None:
        """Put a `#` line into the recording at the next end of a line of the tracer's."""
        self._ask({"note": line.decode("ascii")})

    def finish(self) -> Spooled:
        """The job is over: wait for its last lines, then let the spooler forget what still comes."""
        self.opened()
        for _attempt in range(3):  # a spooler that is killed takes the question with it
            self._ask({"finish": True})
            if not wait_any([self._control.fileno()], ANSWER_SECONDS):
                continue
            with contextlib.suppress(OSError, ValueError):
                return Spooled(**json.loads(self._control.recv(65536)))
            break
        return Spooled(fault=KILLED, written=-1)

    def close(self) -> None:
        """Let go; the spooler ends with the tracer."""
        self.opened()
        self._control.close()
        self.heir.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)

    def _ask(self, message: dict[str, object]) -> None:
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(message).encode())


def _widen(pipe: int) -> None:
    for size in (16 * PIPE_BYTES, PIPE_BYTES):  # the first for root: rides out a busy machine
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)
            return


def _child(spooler: _Spooler, told: int, answer: int) -> NoReturn:
    """The forked process, the keeper: nothing of the job's may stay open in it."""
    status = 1
    try:
        detach_descriptors({*spooler.descriptors, told, answer})
        _keep(spooler, told, answer)
        status = 0
    finally:
        os._exit(status)


def _keep(spooler: _Spooler, told: int, answer: int) -> None:
    """Have a spooler running, and watch over the job once it is known."""

    def start(work: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                os.close(told)
                os.close(answer)
                work()
            finally:
                os._exit(0)
        return pid

    current = start(spooler.serve)

    def replace(pid: int, status: int) -> None:
        nonlocal current
        if pid == current and os.WIFSIGNALED(status):
            current = start(spooler.take_over)

    ended = pidfd(current)
    while ended in wait_any([told, ended], None) and told not in wait_any([told], 0):
        _pid, status = os.waitpid(current, 0)
        if not os.WIFSIGNALED(status):
            return
        replace(current, status)
        ended = pidfd(current)
    data = os.read(told, GUARDED.size)
    if len(data) == GUARDED.size:
        pid, tracer_pid, lent_at = GUARDED.unpack(data)
        Guard(pid, tracer_pid, lent_at, spooler.reader, answer).serve(replace)
    else:  # systrace is gone, or attached only
        while True:
            pid, status = os.waitpid(current, 0)
            if not os.WIFSIGNALED(status):
                return
            replace(pid, status)


def fork_apart(*, session: bool = True) -> int:
    """fork(2) a process that no terminal and no polite signal can end.

    With a `session` of its own it also gets a share of the processors of its own, as large as the job's (sched(7),
    autogrouping), and its priority says nothing against the job's.
    """
    mask = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE}
    )
    pid = os.fork()
    if pid == 0:
        os.setsid() if session else os.setpgid(0, 0)
    else:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def detach_descriptors(kept: set[int]) -> None:
    """Close all descriptors but `kept`; standard input, output and error become /dev/null."""
    try:
        numbers = [int(entry) for entry in os.listdir("/proc/self/fd")]  # noqa: PTH208
    except OSError:  # not even one is left to look with
        import resource

        numbers = list(range(min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], MANY)))
    for number in numbers:
        if number > 2 and number not in kept:
            with contextlib.suppress(OSError):
                os.close(number)
    null = os.open(os.devnull, os.O_RDWR)
    for number in {0, 1, 2} - kept:
        os.dup2(null, number)
    if null > 2:
        os.close(null)


class _Spooler:
    """The work of the forked process."""

    def __init__(self, descriptors: tuple[int, int, int], limit: int | None, cleanup: Path) -> None:
        self.descriptors = set(descriptors)
        self.reader, self.control, self.target = descriptors
        self._limit = limit
        self._cleanup = cleanup
        self._state = Spooled(written=os.lseek(self.target, 0, os.SEEK_CUR))
        self._take: Callable[[bytes], None] = self._head
        self._pending = b""
        self._attached = 0
        self._notes: list[bytes] = []

    def serve(self) -> None:
        """Copy until the tracer's end; then wait for the parent's last word."""
        capacity = fcntl.fcntl(self.reader, fcntl.F_GETPIPE_SZ)
        nap_ms = 1
        os.set_blocking(self.reader, False)
        both = select.poll()
        both.register(self.reader, select.POLLIN)
        both.register(self.control, select.POLLIN)
        only_control = select.poll()
        only_control.register(self.control, select.POLLIN)
        nap = select.poll()
        nap.register(self.control, select.POLLIN)
        nap.register(self.reader, 0)  # only the end
        while True:
            ready = dict((only_control if self._state.ended else both).poll())
            if self.control in ready:
                if not self._obey():
                    break
                self._insert()
            elif size := self._copy():
                self._insert()
                nap_ms = min(NAP_MS, nap_ms * 2) if size < capacity // 16 else max(1, nap_ms // 4)
                nap.poll(nap_ms)
        self._drop_until_end()

    def take_over(self) -> None:
        """The spooler was killed: what it had read and not written is lost, so the recording stops here."""
        self._state.fault = KILLED
        with contextlib.suppress(OSError):
            self._state.written = os.lseek(self.target, 0, os.SEEK_END)
        self._take = self._count
        self.serve()

    def _copy(self) -> int:
        """Take what is there; 0 when there was nothing or the tracer has closed the FIFO."""
        try:
            if self._take == self._write and self._room() > 2 * PIPE_BYTES:
                size = os.splice(self.reader, self.target, PIPE_BYTES)  # saves two copies
                self._state.written += size
            else:
                data = os.read(self.reader, PIPE_BYTES)
                size = len(data)
                self._take(data)
        except BlockingIOError:
            return 0
        except OSError:  # of splice: the disk is full, or its file system cannot
            data = os.read(self.reader, PIPE_BYTES)
            size = len(data)
            self._take(data)
        if not size:
            self._end()
        return size

    def _insert(self, *, last: bool = False) -> None:
        """The parent's notes, where no line of the tracer's is under way: a call that blocks has begun its line."""
        if not self._notes or (self._take != self._write and not last):
            return
        with contextlib.suppress(OSError):
            whole = os.pread(self.target, 1, self._state.written - 1) == b"\n"
            if whole or last:
                notes, self._notes = self._notes, []
                self._take(b"\n" * (not whole) + b"".join(notes))

    def _room(self) -> int:
        return sys.maxsize if self._limit is None else self._limit - self._state.written

    def _end(self) -> None:
        self._state.ended = True
        if self._take == self._head:
            self._take(b"")

    def _head(self, data: bytes) -> None:
        """Drop the launcher's own calls: the job begins with the second execve."""
        self._pending += data
        line_end = self._pending.find(b"\n")
        if line_end < 0 and data:
            return
        if EXECVE.match(self._pending) and LAUNCHER in self._pending[:line_end]:
            second = EXECVE.search(self._pending, line_end)
            if second is None:
                return
            self._pending = self._pending[second.start() :]
        self._take = self._write
        self._write(self._pending)
        self._pending = b""

    def _write(self, data: bytes) -> None:
        state = self._state
        if self._limit is not None and state.written + len(data) > self._limit:
            room = max(0, self._limit - state.written)
            kept = data[: data.rfind(b"\n", 0, room) + 1]
            state.fault = f"the recording reached its limit of {self._limit} bytes and stops there"
            self._take = self._count
            self._count(data[len(kept) :])
            data = kept
        view = memoryview(data)
        while view:
            try:
                done = os.write(self.target, view)
            except OSError as error:
                self._full(error, len(view))
                return
            state.written += done
            view = view[done:]

    def _count(self, data: bytes) -> None:
        self._state.lost += len(data)

    def _full(self, error: OSError, unwritten: int) -> None:
        """The disk is full (or gone): end at a whole line, with room for one more."""
        what = "disk full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else os.strerror(error.errno or 0)
        self._state.fault = f"{what}: the recording stops there"
        self._state.lost += unwritten
        self._take = self._count
        with contextlib.suppress(OSError):
            start = max(0, self._state.written - ENDING - (1 << 20))
            tail = os.pread(self.target, self._state.written - ENDING - start, start)
            whole = start + tail.rfind(b"\n") + 1
            os.ftruncate(self.target, whole)
            os.lseek(self.target, whole, os.SEEK_SET)
            self._state.written = whole

    def _obey(self) -> bool:
        """Read one message of the parent; false when the recording is over."""
        data = os.read(self.control, 65536)
        message = json.loads(data) if data else {}
        if "attached" in message:
            self._attached = message["attached"]
            return True
        if "note" in message:
            if self._take != self._count:  # a recording that has stopped takes no more
                self._notes.append(message["note"].encode() + b"\n")
            return True
        if "finish" in message:
            self._settle()
            self._insert(last=True)
            with contextlib.suppress(OSError):
                os.write(self.control, json.dumps(asdict(self._state)).encode())
            self._take = self._count
            return False
        # systrace was killed: record to the end all the same, then tidy up
        if self._attached:
            with contextlib.suppress(OSError):
                os.kill(self._attached, signal.SIGTERM)
        os.set_blocking(self.reader, True)
        while not self._state.ended:
            self._copy()
        return False

    def _settle(self) -> None:
        """Copy until the tracer's end, or until the lines of the job, which is over, must have come."""
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        waited = 0
        while not self._state.ended and waited < QUIET_LIMIT_MS:
            if not poll.poll(QUIET_MS):
                break
            waited += 1
            self._copy()

    def _drop_until_end(self) -> None:
        self._take = self._count
        os.set_blocking(self.reader, True)
        while not self._state.ended:
            self._copy()
        with contextlib.suppress(OSError):
            while os.read(self.control, 65536):  # until systrace lets go, or is killed while it reports
                pass
        shutil.rmtree(self._cleanup, ignore_errors=True)
