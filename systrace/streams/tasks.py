"""Processes and threads: who is whose child, who shares which descriptor table, how each ended."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from systrace.dataclass import dataclass
from systrace.model import MOST_OUTPUT, Endpoint, Process, Record, Socket, Span
from systrace.streams.descriptors import Table, standard_table

Facts = tuple[str, str, Endpoint | None, Endpoint | None]  # family, type, local, peer
_NUMBERS = 4096  # children of other PID namespaces whose end their parents may still ask for


@dataclass(slots=True, eq=False)
class Task:
    """A thread as strace shows it."""

    tid: int
    process: Process
    table: Table
    forking: tuple[bool, bool] | None = None  # (thread, shares files) while a fork has not returned
    last_wait: list[Span] = field(default_factory=list)  # waits that the last waiting call belonged to
    alive: bool = True
    blocked: dict[str, Any] | None = None  # what a snapshot at attach saw it wait for


class Tasks:
    """All tasks of the trace, found by tid."""

    def __init__(self) -> None:
        self.by_tid: dict[int, Task] = {}
        self.processes: dict[int, Process] = {}
        self.forking: dict[Task, None] = {}  # those whose fork has not returned, the latest last
        self.others: set[int] = set()  # see Table
        self._inner: dict[tuple[int, int], int] = {}  # (pid, a child's number in its PID namespace) -> the child's pid

    def forks(self, task: Task, thread: bool, files: bool) -> None:
        """The task is within a fork from now on: a new tid that turns up is its child."""
        self.forking.pop(task, None)
        self.forking[task] = None
        task.forking = (thread, files)

    def forked(self, task: Task) -> None:
        """Its fork has returned, or the task is gone."""
        self.forking.pop(task, None)
        task.forking = None

    def find(self, record: Record) -> Task:
        """The task that a record is of; an unknown one is the child of whoever forks just now, or new to us."""
        task = self.by_tid.get(record.tid)
        if task is not None:
            return task
        for parent in reversed(self.forking):
            if parent.alive and parent.forking is not None:
                thread, files = parent.forking
                return self.child(parent, record.tid, thread, files, record.time_ns)
        return self.stranger(record.tid, record.time_ns)

    def stranger(self, tid: int, time_ns: int | None) -> Task:
        """A task whose creation the log does not show."""
        process = Process(tid, start_ns=time_ns, threads={tid})
        self.processes[tid] = process
        task = Task(tid, process, standard_table(self.others))
        self.by_tid[tid] = task
        return task

    def child(self, parent: Task, tid: int, thread: bool, files: bool, time_ns: int | None) -> Task:
        """A new task of fork or clone; a known one is only told its parent, if it lives or came while this call lasted."""
        task = self.by_tid.get(tid)
        if task is not None and task is not parent and (task.alive or _began_within(task, time_ns)):
            if task.process is parent.process:
                return task
            if not thread:
                task.process.parent = parent.process.pid  # `find` may have guessed another one
            elif task.process.pid == tid:
                self._merge(task, parent)  # its lines came first: it looked like a process of its own
            return task
        if thread:
            process = parent.process
            process.threads.add(tid)
            process.began_threads = True
        else:
            process = Process(
                tid, parent.process.pid, parent.process.argv, parent.process.path, {tid}, start_ns=time_ns, traced=False
            )
            self.processes[tid] = process
        if thread or files:
            table = parent.table
            table.users += 1
        else:
            table = parent.table.copy()
        task = Task(tid, process, table)
        self.by_tid[tid] = task
        return task

    def number(self, parent: int, inner: int, child: Process) -> None:
        """The parent lives in a PID namespace where its child has this number."""
        child.ns_pid = inner
        if len(self._inner) >= _NUMBERS:
            del self._inner[next(iter(self._inner))]
        self._inner[parent, inner] = child.pid

    def outer(self, pid: int, number: int) -> int:
        """The child of `pid` that `pid` knows by this number, as the tracer knows it."""
        return self._inner.get((pid, number), number) if self._inner else number

    def join(self, task: Task, fd: int) -> Task | None:
        """Without clone in the log, threads look like processes of their own: one that uses a socket which it never
        opened, and which another task holds under that number, is taken for a thread of that one.
        """
        if task.process.parent is not None or len(task.process.threads) > 1 or fd < 3:
            return None
        for other in reversed(self.by_tid.values()):
            held = other.table.fds.get(fd)
            if other is task or not other.alive or held is None or held.socket is None or held.socket.kind != "socket":
                continue
            self._merge(task, other)
            return other
        return None

    def join_user(self, task: Task, user: Task, fd: int, facts: Facts) -> Task | None:
        """The same where `user` is known to use just this connection under this number. If it was opened in the log, and
        `task` was there before (its creation is not in the log), no fork can have handed it on: they share their tables.
        """
        held = user.table.fds.get(fd)
        if task.process.parent is not None or fd < 3 or not user.alive or user.table is task.table:
            return None
        if held is None or held.socket is None or held.socket.inherited or not _is_same(held.socket, facts):
            return None
        self._merge(task, user)
        return user

    def _merge(self, task: Task, other: Task) -> None:
        """Both are of one process: that of `other`."""
        gone, table, process = task.process, task.table, other.process
        self.processes.pop(gone.pid, None)
        for number, description in table.fds.items():
            if number not in other.table.fds:
                other.table.fds[number] = description
        for each in [one for one in dict.fromkeys(self.by_tid.values()) if one.process is gone]:
            if each.alive:
                other.table.users += 1
                process.threads.add(each.tid)
            each.table, each.process = other.table, process
        process.output = [*process.output, *gone.output][-MOST_OUTPUT:]
        process.spans = [*process.spans, *gone.spans]
        process.signals = [*process.signals, *gone.signals]
        for child in self.processes.values():
            if child.parent == gone.pid:
                child.parent = process.pid

    def rename(self, tid: int) -> bool:
        """The first process, unnamed so far, is `tid`: whether there was one. Its unnamed calls may have yet to end."""
        task = self.by_tid.get(0) if tid not in self.by_tid else None
        if task is None or task.tid:
            return False
        task.tid = tid
        self.by_tid[tid] = task
        process = task.process
        if process.pid == 0:
            self.processes.pop(0, None)
            process.pid = tid
            process.threads.discard(0)
            process.threads.add(tid)
            self.processes[tid] = process
            for other in self.processes.values():
                if other.parent == 0:
                    other.parent = tid
        return True

    def supersede(self, leader: int, gone: int) -> None:
        """The thread `gone` called exec: it goes on as the leader, all other threads of the process are no more."""
        task = self.by_tid.get(gone) or self.by_tid.get(leader)
        if task is None:
            return
        for tid in list(task.process.threads):
            self.by_tid.pop(tid, None)
        task.process.threads = {leader}
        task.tid = leader
        task.table.users = 1
        self.by_tid[leader] = task


def _began_within(task: Task, called_ns: int | None) -> bool:
    """Whether it is the child of a fork called then, though it has ended: one of vfork(2) may do all its work first."""
    began = task.process.start_ns
    return called_ns is not None and began is not None and began >= called_ns and task.process.pid == task.tid


def _is_same(socket: Socket, facts: Facts) -> bool:
    _, _, local, peer = facts
    return peer is not None and socket.peer == peer and socket.local in (None, local)
