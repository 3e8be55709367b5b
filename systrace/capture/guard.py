"""Keeps a job alive whose tracer is killed while a seccomp filter depends on it.

The filter hands the wanted calls to the tracer (SECCOMP_RET_TRACE). Without a tracer each of these calls fails with
ENOSYS (seccomp(2)), and the filter can never be taken out. So somebody has to seize the job at once and wave every call
through. To be there in time, the guard traces the tracer: a process that is killed stops once more before it lets go of
its tracees (PTRACE_EVENT_EXIT, ptrace(2)). Until it goes on, the job's calls wait for it; then it takes microseconds to
have all its tasks. Where the tracer may not be traced, the end of its output is the sign, and some calls may fail.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from systrace.capture.process_tree import tree
from systrace.tracers.embedded_worker.lending import Lent, find
from systrace.tracers.waiting import pidfd, status_field, tracer_of, wait_any

# linux/ptrace.h
PTRACE_CONT = 7
PTRACE_GETEVENTMSG = 0x4201
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_LISTEN = 0x4208
PTRACE_EVENT_EXIT = 6
SYSCALL_STOP = 0x80  # beside SIGTRAP, with PTRACE_O_TRACESYSGOOD
PTRACE_EVENT_STOP = 128
OPTIONS = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC, TRACESECCOMP
TRACEEXIT = 0x40
WALL = 0x40000000  # __WALL of waitpid(2): threads, too
GROUP_STOPS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
LET_GO_SECONDS = 0.5  # a dying tracer does so within a millisecond
DEAD_SECONDS = 0.005  # who can't be seized for so long may be a zombie, which never can
ROUNDS = 200  # tasks that appear while we seize are found by looking again


class Guard:
    """Watches over the tree of `pid`, whose tracer is `tracer_pid`, in a process that does nothing else."""

    def __init__(self, pid: int, tracer_pid: int, lent_at: int, reader: int, answer: int) -> None:
        """Begin to watch.

        Args:
            pid: the job.
            tracer_pid: who traces it.
            lent_at: see `Heir.guard`.
            reader: of the pipe into which the tracer writes.
            answer: what `Heir` reads.
        """
        self._pid = pid
        self._tracer_pid = tracer_pid
        self._reader, self._answer = reader, answer
        self._tracer_fd = pidfd(tracer_pid)
        self._ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self._ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._ptrace.restype = ctypes.c_long
        self._taken: set[int] = set()
        self._left: set[int] = set()  # dead, or somebody else's
        self._lent_at = lent_at
        self._lent: Lent | None = None
        self._status: int | None = None  # of a job that ended before its tracer could ask for it
        self._watches_tracer = self._ptrace(PTRACE_SEIZE, tracer_pid, None, TRACEEXIT) == 0

    def serve(self, on_child: Callable[[int, int], None]) -> None:
        """Until neither tracer nor tracees nor children are left; `on_child` is told of a child's end."""
        self._say("ready", "mends" if self._watches_tracer and self._lent_at and can_come_first() else "")
        if not self._watches_tracer:
            self._await_end()
            tasks = self._tasks()
            self._seize(tasks)
            self._complete(tasks)
        while True:
            try:
                tid, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                break
            if os.WIFSTOPPED(status):
                self._at_stop(tid, os.WSTOPSIG(status), status >> 16)
            elif tid == self._pid:
                self._say("status", shell_status(status))
            elif tid not in self._taken and tid != self._tracer_pid:
                on_child(tid, status)

    def _at_stop(self, tid: int, number: int, event: int) -> None:
        if event == PTRACE_EVENT_EXIT and tid == self._tracer_pid:
            tasks = self._tasks() if self._depends() else []
            self._lent, last = find(tid, self._lent_at) if tasks and self._lent_at else (None, None)
            with held_back(tasks, tid) as hold_back:
                # Who was on the way as we looked has come by now; after that, nobody can be made without the tracer.
                late = [each for each in self._tasks() if each not in tasks] if tasks else []
                hold_back(late)
                tasks += late
                self._status = ended_with(self._pid, last)
                self._ptrace(PTRACE_CONT, tid, None, None)
                self._seize(tasks)
            self._complete(tasks)
        elif self._lent is not None and tid == self._lent.tid and not self._returned(number, event):
            self._ptrace(PTRACE_INTERRUPT, tid, None, None)  # in the middle of the call: at its end, then
            self._ptrace(PTRACE_CONT, tid, None, None)
        elif event == PTRACE_EVENT_STOP and number in GROUP_STOPS:
            self._ptrace(PTRACE_LISTEN, tid, None, None)
        else:
            # A call that ended just as its tracer did is reported to us, with that one's mark (PTRACE_O_TRACESYSGOOD).
            self._ptrace(PTRACE_CONT, tid, None, None if event or number & SYSCALL_STOP else number)

    def _returned(self, number: int, event: int) -> bool:
        """Whether the registers that the tracer had lent are the task's own again, at this stop."""
        if self._lent is None or event not in (PTRACE_EVENT_STOP, 0) or number & SYSCALL_STOP:
            return False
        self._lent.give_back(self._ptrace)
        self._lent = None
        return True

    def _depends(self) -> bool:
        """Whether the tracer that ends leaves anybody behind: not where it has done its work."""
        message = ctypes.c_ulong()
        self._ptrace(PTRACE_GETEVENTMSG, self._tracer_pid, None, ctypes.addressof(message))
        killed = message.value & 0x7F != 0
        return killed or status_field(self._pid, "TracerPid") == str(self._tracer_pid)

    def _await_end(self) -> None:
        """Until the tracer has closed its file, and is dying."""
        poll = select.poll()
        poll.register(self._reader, 0)
        while not any(events & select.POLLHUP for _fd, events in poll.poll()):
            pass
        if self._tracer_fd is not None and tracer_lives(self._tracer_fd):
            wait_any([self._tracer_fd], None)  # it only closed its file

    def _tasks(self) -> list[int]:
        """The tasks that the filter leaves helpless, the job first, and the job itself in any case: for its status."""
        tasks = [tid for tid in tree(self._pid, self._tracer_pid) if status_field(tid, "Seccomp") == "2"]
        return [self._pid, *(tid for tid in tasks if tid != self._pid)]

    def _complete(self, tasks: list[int]) -> None:
        """Those that the tasks have made meanwhile; then it is said how it went."""
        if not tasks:
            return
        for _round in range(ROUNDS):
            tasks = self._tasks()
            self._taken.update(tid for tid in tasks if tid not in self._taken and tracer_of(tid) == os.getpid())
            new = [tid for tid in tasks if tid not in self._taken and tid not in self._left]  # nobody's yet
            if not new:
                break
            self._seize(new)
        if self._pid not in self._taken:
            self._say("status", "-1" if self._status is None else shell_status(self._status))
        if refused := sum(alive(tid) for tid in self._left):
            self._say("words", f"{refused} of its threads could not be taken over: their calls fail with ENOSYS")
        elif self._taken:
            self._say("words", "the job goes on untraced")

    def _seize(self, pending: list[int]) -> None:
        """Each of them, as fast as it goes, as soon as the tracer lets go."""
        ptrace, begun = self._ptrace, time.monotonic()
        while pending:
            left = []
            for tid in pending:
                if ptrace(PTRACE_SEIZE, tid, None, OPTIONS) == 0:
                    if self._lent is not None and tid == self._lent.tid:
                        ptrace(PTRACE_INTERRUPT, tid, None, None)  # before it runs on with what is not its own
                    self._taken.add(tid)
                elif ctypes.get_errno() != errno.ESRCH:
                    left.append(tid)
            pending = left
            waited = time.monotonic() - begun
            if pending and waited > DEAD_SECONDS:
                self._taken.update(tid for tid in pending if tracer_of(tid) == os.getpid())
                self._left.update(tid for tid in pending if not alive(tid) or waited > LET_GO_SECONDS)
                pending = [tid for tid in pending if tid not in self._taken and tid not in self._left]

    def _say(self, kind: str, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._answer, f"{kind} {text}\n".encode())


@contextlib.contextmanager
def held_back(tasks: list[int], tracer_pid: int) -> Iterator[Callable[[list[int]], None]]:
    """Nobody of the tasks gets a processor before us, as far as we are permitted to see to that; gives what adds more.

    With the right to real-time scheduling (sched(7)) they may run only where we run and come first. Without it, only
    where the dying tracer runs. Afterwards all is as it was.
    """
    here = os.sched_getaffinity(0)
    tracers: set[int] = set()
    with contextlib.suppress(OSError):
        tracers = os.sched_getaffinity(tracer_pid)
    ours = {min(here - tracers or here)}  # it may be on one processor only
    elsewhere = tracers - ours
    if not tasks or not elsewhere:
        yield lambda _tasks: None
        return
    before: dict[int, set[int]] = {}

    def hold_back(tasks: list[int]) -> None:
        for tid in tasks:
            with contextlib.suppress(OSError):
                allowed, only = os.sched_getaffinity(tid), ours if first else elsewhere
                # Who was made by one that was held back already has inherited that.
                before[tid] = next(iter(before.values()), allowed) if allowed == only else allowed
                os.sched_setaffinity(tid, only)

    try:
        first = _comes_first()
        os.sched_setaffinity(0, ours)
        with contextlib.suppress(OSError):
            os.sched_setaffinity(tracer_pid, elsewhere)
        hold_back(tasks)
        yield hold_back
    finally:
        for tid, allowed in before.items():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(tid, allowed)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, here)


def can_come_first() -> bool:
    """Whether a job's tasks can be kept from every processor until we have them (`held_back`)."""
    if len(os.sched_getaffinity(0)) < 2 or not _comes_first():
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def _comes_first() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    return True


def tracer_lives(descriptor: int) -> bool:
    """Whether the process of a pidfd has not ended."""
    return not wait_any([descriptor], 0)


def alive(tid: int) -> bool:
    """Whether a thread has not ended; a zombie has."""
    return (status_field(tid, "State") or "X")[0] not in "XZ"


def ended_with(pid: int, last: int | None) -> int | None:
    """The wait status of a process that has ended, also if nobody has asked for it (proc(5), stat); else None.

    `last` is the one that its tracer got last: when the process is gone, it was that one's, or the tracer has told of it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return last if last is not None and not os.WIFSTOPPED(last) else None
    ended = len(fields) > 49 and fields[0] == b"Z" and fields[17] == b"1"  # else only its first thread has
    return int(fields[49]) if ended else None


def shell_status(status: int) -> str:
    """A wait status as a shell says it."""
    code = os.waitstatus_to_exitcode(status)
    return str(code if code >= 0 else 128 - code)
