"""What goes through an io_uring, told as the calls that it stands for: by threads that the kernel has not got.

A thread is in one call at a time, and a ring works on many operations at once. So each of these that is under way gets a
number that no thread can have; a `# systrace:` line says whose it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from systrace.tracers.ebpf_worker.descriptors import Descriptors
from systrace.tracers.ebpf_worker.records import Memory, Record
from systrace.tracers.embedded_worker.coverage import Coverage
from systrace.tracers.embedded_worker.names import Abi
from systrace.tracers.embedded_worker.requests import OP_ENTRY, Entry
from systrace.tracers.embedded_worker.stops import Calls
from systrace.tracers.embedded_worker.tracee import Tracee

FIRST = 1 << 22  # PID_MAX_LIMIT of linux/threads.h
_TIMEOUT, _ETIME = 11, -62
_TIME_AT = 16  # where no program has anything: the time of a time-out, which the kernel had read before
CALLS = {  # enum io_uring_op of linux/io_uring.h
    1: "readv", 2: "writev", 4: "read", 5: "write", 9: "sendmsg", 10: "recvmsg", _TIMEOUT: "clock_nanosleep",
    13: "accept4", 16: "connect", 19: "close", 22: "read", 23: "write", 26: "sendto", 27: "recvfrom", 34: "shutdown",
    45: "socket", 47: "sendto", 48: "sendmsg",
}  # fmt: skip


class Rings:
    """All operations under way. `at` sets the time of what is printed."""

    def __init__(self, calls: Calls, abi: Abi, memory: Memory, at: Callable[[int], None]) -> None:
        self.under_way: dict[int, Tracee] = {}  # struct io_kiocb -> the thread that stands for it
        self._calls = calls
        self._abi = abi
        self._numbers = {name: number for number, name in abi.names.items()}
        self._memory = memory
        self._at = at
        self._free: dict[int, list[int]] = {}  # process -> numbers that were given to it and are free
        self._owner: dict[int, int] = {}
        self._next = FIRST

    def submitted(self, tracee: Tracee, record: Record) -> None:
        """The ring began to work on it."""
        files = tracee.files
        assert isinstance(files, Descriptors)
        number = files.number_of(record.on) if record.args[0] == 2**64 - 1 else record.args[0]
        if number is None:
            self.unseen(tracee, record)
            return
        if record.on[1]:  # it is about a descriptor
            files.learn(tracee.tid, (number & 0xFFFFFFFF, *record.on[1:]))
        key = record.made[1][2]
        if key in self.under_way:  # its memory is used again: the end of what it was used for was lost
            self._give_up(self.under_way.pop(key))
        stand_in = self._stand_in(tracee, record)
        entry: Entry = (OP_ENTRY, self._abi.audit, self._numbers[CALLS[record.call]], self._arguments(record, number))
        self._at(record.entered)
        if self._calls.enter(stand_in, entry):
            self.under_way[key] = stand_in
        else:
            self._release(stand_in)

    def _arguments(self, record: Record, number: int) -> tuple[int, ...]:
        if record.call != _TIMEOUT:
            return (number, *record.args[1:])
        seconds, ns = record.args[4:6]
        self._memory.chunks.append((_TIME_AT, seconds.to_bytes(8, "little") + ns.to_bytes(8, "little"), False))
        return (number, 0, _TIME_AT, 0, 0, 0)

    def completed(self, _tracee: Tracee, record: Record) -> None:
        """It has a result."""
        stand_in = self.under_way.pop(record.made[1][2], None)
        if stand_in is None:
            return
        files = stand_in.files
        assert isinstance(files, Descriptors)
        files.learn(record.tid, record.on, record.made[0])
        result = 0 if record.call == _TIMEOUT and record.result == _ETIME else record.result
        self._at(record.left)
        self._calls.leave(stand_in, result)
        self._release(stand_in)

    def unseen(self, _tracee: Tracee, record: Record) -> None:
        """It is of a kind whose results cannot be told: the report has to say so."""
        note = {"ring_unseen": {"pid": record.tgid, "operation": record.call}}
        self._calls.output.line(f"# systrace: {json.dumps(note)}")

    def _stand_in(self, tracee: Tracee, record: Record) -> Tracee:
        free = self._free.setdefault(record.tgid, [])
        if free:
            tid = free.pop()
        else:
            tid, self._next = self._next, self._next + 1
            note = {"thread": {"pid": tid, "of": tracee.tid, "stands_for": "io_uring"}}
            self._calls.output.line(f"# systrace: {json.dumps(note)}")
        self._owner[tid] = record.tgid
        return Tracee(tid, self._abi, tracee.files, Coverage([], 0))

    def _give_up(self, stand_in: Tracee) -> None:
        if stand_in.printed:
            self._calls.awake(stand_in)
        self._release(stand_in)

    def _release(self, stand_in: Tracee) -> None:
        owner = self._owner.pop(stand_in.tid, None)
        if owner is not None:
            self._free.setdefault(owner, []).append(stand_in.tid)

    def ended(self, pid: int) -> None:
        """The process is gone: what was under way had no result."""
        for key, stand_in in list(self.under_way.items()):
            if self._owner.get(stand_in.tid) == pid:
                self._calls.suspend(stand_in, "<unfinished ...>")
                del self.under_way[key]
                self._owner.pop(stand_in.tid, None)
        self._free.pop(pid, None)
