"""Whose line it is: which threads there are, what call each is in, and who prints the lines without a pid column.

strace leaves the column out as long as it follows one task only (strace-format, trap 3): the first process has the
number 0 here until some line tells its own.
"""

from __future__ import annotations

from systrace.calls import EXECS, FORKS
from systrace.dataclass import dataclass
from systrace.model import Style

TELLING = FORKS | {"exit_group"}  # calls that say which threads there are


@dataclass(slots=True)
class Half:
    """A call whose end has not been seen."""

    lineno: int
    tid: int
    time_ns: int | None
    call: str | None  # None: nobody asked for it
    text: bytes  # after "name("
    raw: bytes
    replaced: bool = False  # an execve(2) that PTRACE_EVENT_EXEC followed: it has succeeded


class Threads:
    """All threads of one file; `tid` is the one whose file it is (-ff), 0 where the lines may be anybody's."""

    def __init__(self, style: Style, tid: int) -> None:
        self._style = style
        self._fixed_tid = tid
        self.pending: dict[int, Half] = {}
        self.renamed: list[int] = []  # the first process got this number; who reads it, empties it
        self._root = tid  # who prints lines without a pid, first of all the first process
        self.alive: set[int] = {tid}
        self._announced: set[int] = set()
        self.last = tid  # of the lines with a pid

    def of(self, pid: bytes | None) -> int:
        """Whose line it is. Without a pid column: the only task alive, which changes over time."""
        if pid:
            tid = int(pid)
            if tid not in self.alive:
                self._meet(tid)
            self.last = tid
            return tid
        if self._fixed_tid or len(self.alive) == 0:
            return self._root
        if len(self.alive) == 1:
            (only,) = self.alive
            return only
        return self.last if self.last in self.alive else self._root

    def of_resumed(self, pid: bytes | None, call: str | None) -> int:
        """The same of a call's second half; `call` is None where the line doesn't say which."""
        if not pid:
            if 0 in self.pending or self._style.pid != "bracket":
                return self.of(None)
            waiting = [tid for tid, half in self.pending.items() if call is not None and half.call == call]
            return waiting[0] if len(waiting) == 1 and waiting[0] in self.alive else self.of(None)
        tid = int(pid)
        if tid not in self.alive:  # seen for the first time, ending a call that began without a pid column
            half = self.pending.get(0)
            if call is not None and half is not None and half.call == call and tid not in self._announced:
                self.name_root(tid)
        return self.of(pid)

    def announce(self, tid: int) -> None:
        """A fork returned this number: whoever has it is not the first process."""
        if 0 in self.alive:
            self._announced.add(tid)

    def told(self, call: str, tid: int, retval: int | None) -> None:
        """A call of TELLING is over. After exit_group, with -qq, no other line says that this task is gone."""
        if call == "exit_group":
            if len(self.alive) > 1:
                self.alive.discard(tid)
        elif retval:
            self.announce(retval)

    def told_itself(self, half: Half, retval: int) -> None:
        """getpid or gettid returned: if the unnamed first process asked, that is its number."""
        if half.tid == 0 and 0 in self.alive:
            self.name_root(retval)

    def _meet(self, tid: int) -> None:
        if self._style.pid == "none":
            self._style.pid = "bracket"  # its pattern also matched the lines without a pid so far
        if 0 in self.alive and tid not in self._announced and self._style.pid == "bracket":
            half = self.pending.get(0)
            if half is None or (half.call is not None and half.call not in FORKS):
                self.name_root(tid)
                return
        self.alive.add(tid)
        if self._root == 0 and self._style.pid == "bare":
            self.alive.discard(0)
            self._root = tid

    def name_root(self, tid: int) -> None:
        """The unnamed first process turns out to be `tid`."""
        self.alive.discard(0)
        self.alive.add(tid)
        self._root = tid
        half = self.pending.pop(0, None)
        if half is not None:
            half.tid = tid
            self.pending[tid] = half
        self.renamed.append(tid)

    def attached(self, tid: int, by_number: bool) -> None:
        """strace says that it has this task; `by_number`: by -p, so that there is no unnamed first process."""
        self._announced.add(tid)
        if tid not in self.alive:
            if by_number:
                self.alive.discard(0)
            self.alive.add(tid)

    def superseded(self, gone: int, tid: int) -> None:
        """The thread `gone` called execve and is the process `tid` from now on."""
        self.alive.discard(gone)
        self.alive.add(tid)
        half = self.pending.get(gone)
        if half is not None and half.call in EXECS:
            half.tid = tid  # it stood there as unfinished already: then no line says <pid changed to ...>
            self.pending[tid] = self.pending.pop(gone)
        half = self.pending.get(tid)
        if half is not None and half.call in EXECS:
            half.replaced = True

    def gone(self, tid: int) -> None:
        """The task has ended, or is traced no more."""
        self.alive.discard(tid)
