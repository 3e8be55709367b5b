"""Prints the records as strace text, with the decoders of the embedded tracer."""

from __future__ import annotations

import json
import signal
import struct
import time
from collections.abc import Callable

from systrace.calls import PIPES
from systrace.tracers.ebpf_worker import records
from systrace.tracers.ebpf_worker.descriptors import Descriptors
from systrace.tracers.ebpf_worker.records import Descriptor, Memory, Record
from systrace.tracers.ebpf_worker.rings import Rings
from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.coverage import Coverage
from systrace.tracers.embedded_worker.names import Abi
from systrace.tracers.embedded_worker.output import stamp
from systrace.tracers.embedded_worker.requests import OP_ENTRY, Entry
from systrace.tracers.embedded_worker.stops import Calls, Clock
from systrace.tracers.embedded_worker.text import quote
from systrace.tracers.embedded_worker.tracee import Tracee

_RESTARTED = (-512, -513, -514, -516)  # include/linux/errno.h
_PAIRS = PIPES | {"socketpair"}
_ARGUMENTS_AT = 8  # where no program has anything


class RecordClock(Clock):
    """The time of the record that is being printed; of this moment while there is none."""

    def __init__(self) -> None:
        self.at = 0  # CLOCK_MONOTONIC, ns
        self._ahead = 0

    def adjust(self) -> None:
        """The wall clock may have been set."""
        self._ahead = time.time_ns() - time.monotonic_ns()

    def wall(self) -> int:
        """See `Clock`."""
        return self.at + self._ahead if self.at else time.time_ns()

    def monotonic(self) -> int:
        """See `Clock`."""
        return self.at or time.monotonic_ns()


class Reader:
    """All traced threads, and their lines."""

    def __init__(self, calls: Calls, clock: RecordClock, abis: list[Abi]) -> None:
        self.tracees: dict[int, Tracee] = {}
        self.doubtful: set[tuple[int, int]] = (
            set()
        )  # thread, since when: not certainly in the call that it is said to be in
        self._calls = calls
        self._clock = clock
        self._abis = abis
        self._memory = Memory()
        self._delivered: dict[int, int] = {}  # the last signal of each thread
        self._held: dict[int, Record] = {}  # ends of calls that a signal interrupted
        self.rings = Rings(calls, abis[0], self._memory, self._set_time)
        self._handlers: dict[int, Callable[[Tracee, Record], None]] = {
            records.ENTERED: self._entered,
            records.CALLED: self._called,
            records.FORKED: self._forked,
            records.ENDED: self._ended,
            records.SIGNALLED: self._signalled,
            records.EXECED: self._execed,
            records.SUBMITTED: self.rings.submitted,
            records.COMPLETED: self.rings.completed,
            records.UNSEEN: self.rings.unseen,
        }
        memory.read_from(self._memory)

    def _set_time(self, at: int) -> None:
        self._clock.at = at

    def add(self, tid: int, files: Descriptors | None = None) -> Tracee:
        """A thread that is traced from now on."""
        tracee = self.tracees[tid] = Tracee(tid, self._abis[0], files or Descriptors(), Coverage([], 0))
        return tracee

    def take(self, data: bytes) -> None:
        """One record."""
        record = records.parse(data)
        tracee = self.tracees.get(record.tid) or self.add(record.tid)
        held = self._held.pop(record.tid, None)
        if held is not None:
            self._release(tracee, record, held)
        self._memory.chunks = record.chunks()
        if record.lost:
            self.give_up(tracee)
        self._handlers[record.kind](tracee, record)
        self._clock.at = 0

    def lost(self, calls: int) -> None:
        """Records have found no room in the ring buffer."""
        note = {"lost": {"calls": calls, "time": stamp(self._clock.wall())}}
        self._calls.output.line(f"# systrace: {json.dumps(note)}")

    def give_up(self, tracee: Tracee) -> None:
        """The end of the call that it was in is not to be had."""
        if tracee.decoder is not None and tracee.printed:
            self._calls.awake(tracee)
        tracee.decoder = None

    # ------------------------------------------------------------------------------------------------------- calls

    def _enter(self, tracee: Tracee, record: Record) -> bool:
        abi = self._abis[1 if record.compat else 0]
        self._clock.at = record.entered
        self._learn(tracee, record.on, record.made[1])  # the latter: a second argument that is a descriptor
        args, inner = record.args, record.compat >> 1
        if inner:  # of socketcall(2): its arguments stood in memory
            self._memory.chunks.append((_ARGUMENTS_AT, struct.pack("=6I", *args), False))
            args = (inner, _ARGUMENTS_AT, 0, 0, 0, 0)
        entry: Entry = (OP_ENTRY, abi.audit, record.call, args)
        return self._calls.enter(tracee, entry)

    def _learn(self, tracee: Tracee, *descriptors: Descriptor, made_by: str = "") -> None:
        files = tracee.files
        assert isinstance(files, Descriptors)
        files.learn(tracee.tid, *descriptors, made_by=made_by)

    def _entered(self, tracee: Tracee, record: Record) -> None:
        self._enter(tracee, record)

    def _called(self, tracee: Tracee, record: Record) -> None:
        if self.doubtful and (record.tid, record.entered) in self.doubtful:
            return
        if tracee.decoder is None or tracee.clock_ns != record.entered:
            self._enter(tracee, record)
        if record.result in _RESTARTED:
            self._held[record.tid] = record
        else:
            self._leave(tracee, record)

    def _leave(self, tracee: Tracee, record: Record) -> None:
        second = record.made[1:] if tracee.name in _PAIRS else ()
        made = (record.made[0], *second, *records.handed_over(self._memory.chunks))
        self._learn(tracee, record.on, *made, made_by=tracee.name)
        self._clock.at = record.left
        self._calls.leave(tracee, record.result)

    def _release(self, tracee: Tracee, record: Record, held: Record) -> None:
        """A call was interrupted. If the thread has ended in it, then it has no result; else it is shown as it was."""
        if record.kind != records.ENDED or record.chunks():  # the latter: by a signal, which it was interrupted for
            self._memory.chunks = held.chunks()
            self._leave(tracee, held)

    def look(self, tid: int, record: Record, until: Callable[[], bool]) -> None:
        """The thread is in this call for long: print its beginning, from its memory as it is now.

        `until`: whether it is still in that call; else what was read may be of another.
        """
        tracee = self.tracees[tid]
        memory.read_from(None)
        try:
            self._enter(tracee, record)
        finally:
            memory.forget(tid)
            memory.read_from(self._memory)
            self._clock.at = 0
        if not until():
            tracee.decoder = None

    # ---------------------------------------------------------------------------------------------------- processes

    def _forked(self, parent: Tracee, record: Record) -> None:
        tid, child_files = record.result, record.on[2]
        assert isinstance(parent.files, Descriptors)
        files = parent.files if child_files == record.files else parent.files.copy()
        child = self.add(tid, files)
        child.abi = self._abis[1 if record.compat else 0]
        parent.born = tid
        if record.call != records.NO_CALL:
            if parent.decoder is None:
                self._enter(parent, record)
            child.maker = parent

    def _execed(self, tracee: Tracee, record: Record) -> None:
        former = record.result
        self._clock.at = record.left
        if former != record.tid:
            leader, caller = tracee, self.tracees.pop(former, None)
            if caller is not None:
                self._calls.superseded(caller, leader, record.tid)
                self.tracees[record.tid] = tracee = caller
        tracee.files = tracee.files.after_exec(record.tid)
        if tracee.decoder is not None and _unread(tracee.head) and len(self._memory.chunks) == 2:
            path, words = (chunk[1] for chunk in self._memory.chunks)
            arguments = ", ".join(map(quote, words.rstrip(b"\0").split(b"\0")))
            tracee.head = f"{quote(path)}, [{arguments}], NULL"

    def _ended(self, tracee: Tracee, record: Record) -> None:
        self._clock.at = record.left
        if record.on[0] and record.tid == record.tgid:
            return  # superseded: another of its threads goes on under this number
        certain = (record.tid, record.entered) not in self.doubtful
        if tracee.decoder is None and record.call != records.NO_CALL and certain:
            self._enter(tracee, record)
            self._clock.at = record.left
        if record.tid == record.tgid:
            self.rings.ended(record.tgid)
        self._tell_last(tracee, record)
        self._calls.gone(tracee, record.result & 0xFFFF)
        self.tracees.pop(record.tid, None)

    def _tell_last(self, tracee: Tracee, record: Record) -> None:
        """The signal that ended the process, unless it was delivered under its own number (a handler had been there)."""
        delivered = self._delivered.pop(record.tid, 0)
        if self._memory.chunks and record.tid == record.tgid:
            number, info, _ended = self._memory.chunks[0]
            if number != delivered and number in signal.valid_signals():
                self._calls.signalled(tracee, number, info.ljust(128, b"\0"))

    def _signalled(self, tracee: Tracee, record: Record) -> None:
        self._clock.at = record.left
        self._delivered[record.tid] = record.result
        info = self._memory.chunks[0][1] if self._memory.chunks else b""
        self._calls.signalled(tracee, record.result, info.ljust(128, b"\0"))
        if record.result == signal.SIGSTOP:
            self._calls.event(tracee, "--- stopped by SIGSTOP ---")

    def vanished(self, tid: int) -> None:
        """The kernel knows it no more, and its end was not recorded."""
        self.rings.ended(tid)
        tracee = self.tracees.pop(tid, None)
        if tracee is not None:
            self.give_up(tracee)


def _unread(head: str) -> bool:
    """Of an execve(2): pages of it were not in memory when it began."""
    path, _comma, rest = head.partition(", ")
    return path.startswith("0x") or rest.startswith(("0x", "[0x")) or ", 0x" in rest.partition("]")[0]
