"""Widens a job's seccomp filter while it runs, so that calls on descriptors stop it only where the descriptor matters.

Stopping at every read, write and close makes jobs that work on files dozens of times slower. So the job starts with a
filter that leaves these calls alone, and when a socket (or a log file) gets descriptor N, the thread is made to add
`stop at calls on N` (`at writes to N`) itself: at the end of the call that made N, its registers are set to run seccomp(2),
and restored after it. The filter stands in a page of its own, mapped and unmapped in the same way: no byte of the job's
memory is touched. A number is covered once and for all; filters are inherited (fork(2), execve(2)).

Where the kernel refuses (the process has given up its rights, or has a sandbox of its own), the process is stopped at
every call instead: slower, and nothing is missed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from systrace.calls import MAKERS
from systrace.tracers.embedded_worker import lending, memory, registers, requests, seccomp
from systrace.tracers.embedded_worker.coverage import Coverage
from systrace.tracers.embedded_worker.names import Abi
from systrace.tracers.embedded_worker.tracee import Tracee

_PAGE = 4096
_PROT, _MAP = 0x3, 0x22  # PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS
_STDOUT = 1
_MOST = 64  # descriptors that wait for a better place


class Abandoned(Exception):
    """The tracee ended meanwhile: `status` is its wait status, None when that is still to come."""

    def __init__(self, status: int | None = None) -> None:
        self.status = status


class Interrupted(Exception):
    """Another stop came first; the registers are as they were, and the tracee stands there."""

    def __init__(self, status: int) -> None:
        self.status = status


class Widener:
    """Adds descriptors to filters: `numbers` are the calls on sockets, `writes` those of them that write, `others` what
    filters are narrowed for by other arguments."""

    def __init__(self, abi: Abi, numbers: Sequence[int], writes: Sequence[int], others: Sequence[int] = ()) -> None:
        self._abi = abi
        self._numbers = numbers
        self._writes = writes
        self.narrowed = frozenset((*numbers, *others))
        self._layout = registers.LAYOUTS[abi.name]
        self.unbound = 0  # PTRACE_O_* of tracees that may outlive this process, but not while they call for us
        self._own = {name: number for number, name in abi.names.items() if name in ("mmap", "munmap", "seccomp")}

    def concerns(self, entry: requests.Entry) -> bool:
        """Whether the call is one of those that filters are narrowed for."""
        _, arch, number, _ = entry
        return number in self.narrowed and arch == self._abi.audit

    @staticmethod
    def possible(abi: Abi, wanted: frozenset[str]) -> bool:
        """Whether this machine allows it, and the recording stops at all that makes descriptors."""
        return abi.name in registers.LAYOUTS and wanted >= MAKERS

    def widen(self, tracee: Tracee) -> int | None:
        """Cover the tracee's new descriptors; it stands at the end of a call and still does so afterwards.

        Returns:
            None; or the wait status of another stop, which came first: then the tracee stands there.

        Raises:
            Abandoned: the tracee is gone.
        """
        coverage = tracee.coverage
        pending, tracee.fresh = tracee.fresh, []
        tracee.uncovered = False
        while pending and not coverage.full:
            fd = pending[0]
            wanted = self._wanted(tracee, coverage, fd)
            if wanted:
                try:
                    added = self._add(tracee, coverage, fd, wanted)
                except Interrupted as stop:
                    tracee.fresh, tracee.uncovered = pending, True
                    return stop.status
                if added is None:
                    tracee.fresh = pending[:_MOST]
                    return None
                coverage.full = not added
                if added and wanted is self._numbers:
                    tracee.files.keep(fd, tracee.files.text(tracee.tid, fd))
            del pending[0]
        return None

    def _wanted(self, tracee: Tracee, coverage: Coverage, fd: int) -> Sequence[int]:
        """The calls that have to stop at the number, and don't yet."""
        files = tracee.files
        if coverage.covers(fd):
            return ()
        if files.is_socket(tracee.tid, fd):
            files.watched.pop(fd, None)
            return self._numbers
        if files.is_stream(tracee.tid, fd):
            files.watch(tracee.tid, fd)
        elif not coverage.covers_writes(fd) and files.is_log(tracee.tid, fd):
            return self._writes
        return ()

    def _add(self, tracee: Tracee, coverage: Coverage, fd: int, numbers: Sequence[int]) -> bool | None:
        """True: the number is covered; False: the kernel refuses; None: not at this place, but at the next."""
        tid = tracee.tid
        if filters(tid) != coverage.filters:
            return False  # a sandbox of the program's own: it may kill whoever calls seccomp(2)
        if tracee.abi is not self._abi:
            return None  # a 32-bit program: all its reads and writes stop it anyway
        if not self.unbound:
            return self._extend(tracee, coverage, fd, numbers)
        # Nobody would give its registers back: should we be killed, it is better killed than let go so.
        requests.set_options(tid, self.unbound | requests.O_EXITKILL)
        try:
            return self._extend(tracee, coverage, fd, numbers)
        finally:
            requests.set_options(tid, self.unbound)

    def _extend(self, tracee: Tracee, coverage: Coverage, fd: int, numbers: Sequence[int]) -> bool | None:
        tid, own = tracee.tid, self._own
        first, last = coverage.block(fd)
        tests = [(self._abi, numbers, seccomp.on_descriptors([(first, last)]))]
        whole = numbers is self._numbers and not coverage.whole
        if whole:  # who uses a socket may hand on what it received
            output = seccomp.on_descriptors([(first, last), (_STDOUT, _STDOUT)])
            tests.insert(0, (self._abi, self._writes, output))  # the first test of a number decides
        code = seccomp.program([], tests)
        if not tracee.page:
            page = self._call(tid, own["mmap"], 0, _PAGE, _PROT, _MAP, 0xFFFFFFFF_FFFFFFFF, 0)
            if page is None:
                return None
            if page > 0xFFFFFFFF_FFFFF000:
                return False
            tracee.page = page  # kept when a signal comes first, for the next attempt
        header = (len(code) // 8).to_bytes(8, "little") + (tracee.page + 16).to_bytes(8, "little")  # sock_fprog
        if not memory.write(tid, tracee.page, header + code):
            return False
        result = self._call(
            tid, own["seccomp"], seccomp.SET_MODE_FILTER, seccomp.FLAG_TSYNC | seccomp.FLAG_SPEC_ALLOW, tracee.page
        )
        if result == 0:
            coverage.add(first, last, numbers is self._writes, whole)
        if self._call(tid, own["munmap"], tracee.page, _PAGE) == 0:
            tracee.page = 0
        return None if result is None else result == 0

    def _call(self, tid: int, number: int, *arguments: int) -> int | None:
        """Run one system call in the tracee, which stands at the end of another.

        Returns:
            Its result as an unsigned 64-bit number; None when the tracee was not in a plain 64-bit call.

        Raises:
            Interrupted: a signal came before the call began.
            Abandoned: the tracee ended.
        """
        layout = self._layout
        saved = registers.get(tid, layout)
        if saved is None:
            return None
        size = len(layout.instruction)
        if memory.read(tid, saved[layout.counter] - size, size) != layout.instruction:
            return None
        lending.lend(tid, saved, layout.shadowed)
        try:
            return self._make(tid, number, saved, registers.for_call(saved, layout, number, arguments))
        finally:
            lending.returned()

    def _make(self, tid: int, number: int, saved: registers.Registers, changed: registers.Registers) -> int:
        layout = self._layout
        if not registers.put(tid, changed):
            raise Abandoned
        status = _next_stop(tid)
        entry = requests.syscall_entry(tid) if status >> 8 == requests.SYSCALL_STOP else None
        if entry is None or entry[0] != requests.OP_ENTRY or entry[2] != number:
            registers.put_back(tid, saved, layout)
            raise Interrupted(status)
        while (ending := requests.syscall_exit(tid)) and ending[0] != requests.OP_EXIT:
            _next_stop(tid)
        if ending is None or not registers.put_back(tid, saved, layout):
            raise Abandoned
        return ending[1] & 0xFFFFFFFF_FFFFFFFF


def _next_stop(tid: int) -> int:
    if not requests.resume(requests.SYSCALL, tid):
        raise Abandoned
    _, status = os.waitpid(tid, requests.WALL)
    if not os.WIFSTOPPED(status):
        raise Abandoned(status)
    return status


def filters(tid: int) -> int:
    """How many seccomp filters the thread has (Linux 5.9), -1 when the kernel does not say."""
    try:
        for line in Path(f"/proc/{tid}/status").read_bytes().splitlines():
            if line.startswith(b"Seccomp_filters:"):
                return int(line.split()[1])
    except OSError:
        pass
    return -1
