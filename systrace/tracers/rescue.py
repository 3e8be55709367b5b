"""Keeps a job alive whose tracer was killed while a seccomp filter depends on it.

`--seccomp-bpf` puts a filter into the job that hands the wanted calls to the tracer (SECCOMP_RET_TRACE). Without a
tracer each of these calls fails with ENOSYS (seccomp(2)), and the filter can never be taken out. So somebody has to
seize the job at once and wave every call through.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from pathlib import Path

from systrace.tracers.waiting import Running, stat_fields, status_field

# linux/ptrace.h
PTRACE_CONT = 7
PTRACE_SEIZE = 0x4206
PTRACE_LISTEN = 0x4208
PTRACE_EVENT_STOP = 128
OPTIONS = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC, TRACESECCOMP
WALL = 0x40000000  # __WALL of waitpid(2): threads, too
GROUP_STOPS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
ROUNDS = 200  # tasks that appear while we seize are found by looking again
LET_GO_SECONDS = 0.002


class Rescue:
    """One attempt for the tree of `pid`, whose tracer `tracer_pid` has just died. Made early: ctypes takes a while."""

    def __init__(self, pid: int, tracer_pid: int) -> None:
        self._pid = pid
        self._tracer_pid = tracer_pid
        self._ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self._ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._ptrace.restype = ctypes.c_long
        self._seized: set[int] = set()
        self._refused: set[int] = set()
        self._done = threading.Event()

    def start(self) -> str:
        """Seize and keep going until the last task has ended, in a thread of its own; says in words how it went."""
        threading.Thread(target=self._work, name="rescue").start()
        self._done.wait()
        if self._refused:
            return f"{len(self._refused)} of its threads could not be taken over: their calls fail with ENOSYS"
        if self._seized:
            return "its filter was taken over, the job goes on (calls made in that instant may have failed with ENOSYS)"
        return ""

    def _work(self) -> None:
        try:
            for _round in range(ROUNDS):
                if not self._seize_new():
                    break
        finally:
            self._done.set()
        while self._serve():
            pass

    def _seize_new(self) -> bool:
        """Seize all tasks not yet ours; false when nothing is left to do."""
        again = False
        for tid in tree(self._pid, self._tracer_pid):
            if tid in self._seized or status_field(tid, "Seccomp") != "2":
                continue
            if self._ptrace(PTRACE_SEIZE, tid, None, OPTIONS) == 0:
                self._seized.add(tid)
                self._refused.discard(tid)
                again = True
            elif (status_field(tid, "TracerPid") or "0") == str(self._tracer_pid):
                again = True  # the dead tracer has not let go yet: a matter of microseconds
                self._done.wait(LET_GO_SECONDS)
            elif status_field(tid, "TracerPid") == "0" and status_field(tid, "State") != "Z (zombie)":
                self._refused.add(tid)
        return again

    def _serve(self) -> bool:
        """Let one stopped task go on; false when none is left."""
        try:
            tid, status = os.waitpid(-1, WALL)
        except ChildProcessError:
            return False
        if os.WIFSTOPPED(status):
            number, event = os.WSTOPSIG(status), status >> 16
            if event == PTRACE_EVENT_STOP and number in GROUP_STOPS:
                self._ptrace(PTRACE_LISTEN, tid, None, None)
            else:
                self._ptrace(PTRACE_CONT, tid, None, None if event else number)
        return True


def tree(pid: int, tracer_pid: int) -> list[int]:
    """The threads of a process and its descendants, then those of all other processes that `tracer_pid` traces."""
    found: list[int] = []
    known: set[int] = set()
    todo = [pid]
    while todo:
        process = todo.pop()
        if process in known:
            continue
        known.add(process)
        tids = threads(process)
        found += tids
        todo += [child for tid in tids for child in children(process, tid)]
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit() and int(entry) not in known and status_field(int(entry), "TracerPid") == str(tracer_pid):
            found += threads(int(entry))
    return found


def threads(pid: int) -> list[int]:
    """The thread ids of a process, none when it is gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208
    except OSError:
        return []


def children(pid: int, tid: int) -> list[int]:
    """The child processes that one thread made (proc(5), CONFIG_PROC_CHILDREN)."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{tid}/children").read_bytes().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[Running]:
    """The living descendants of a process, parents first."""
    found: list[Running] = []
    pids = [pid]
    for parent in pids:
        for tid in threads(parent):
            for child in children(parent, tid):
                fields = stat_fields(child)
                if fields is not None and fields[0] == parent:  # else it ended, and its number went to a stranger
                    found.append(Running(child, fields[1]))
                    pids.append(child)
    return found
