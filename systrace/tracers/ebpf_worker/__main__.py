"""The worker: loads the BPF programs, follows the job or running processes, writes what they do until all have ended."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path

from systrace.dataclass import dataclass
from systrace.tracers.ebpf_worker import interest, libbpf, records
from systrace.tracers.ebpf_worker.descriptors import Descriptors
from systrace.tracers.ebpf_worker.reader import Reader, RecordClock
from systrace.tracers.ebpf_worker.records import Record
from systrace.tracers.embedded_worker.attach import socket_names
from systrace.tracers.embedded_worker.decode.structures import Limits
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.names import native
from systrace.tracers.embedded_worker.output import Output
from systrace.tracers.embedded_worker.stops import Calls
from systrace.tracers.waiting import Running, status_field
from systrace.tracers.workers import received, say, say_fault

OBJECT = Path(__file__).with_name("capture.bpf.o")
RING = 1 << 25  # bytes
MOST = 16_384  # bytes of a string
_TICK_MS = 50
_LOOK_S = 0.2
_SLOW_NS = 200_000_000
_KEY = struct.Struct("=I")
_SETTINGS = struct.Struct("=5I")
_TASK = struct.Struct("=iIQ8QiIQiIQII")  # struct task
_NOTHING = ((-1, 0, 0), (-1, 0, 0))
_ROUNDS = 100  # a program that makes threads faster than that is not caught whole


@dataclass(frozen=True, slots=True)
class Task:
    """What the other side asks for, as it comes over the socket; paths are latin-1 for bytes."""

    output: str
    syscalls: list[str]
    string_limit: int
    pids: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)


def load(library: ctypes.CDLL) -> tuple[libbpf.Object, bool]:
    """The programs, and whether those for io_uring are among them: its tracepoints change from kernel to kernel.

    Raises:
        BpfError: the kernel takes them not.
    """
    # Not those that are in use: their numbers have gaps where some are switched off.
    image, sizes = OBJECT.read_bytes(), {"ring": RING, "scratch": library.libbpf_num_possible_cpus()}
    try:
        return libbpf.Object(library, image, sizes), True
    except libbpf.BpfError:
        return libbpf.Object(library, image, sizes, without=("ring_submitted", "ring_completed")), False


class Worker:
    """Records one job, or processes that run."""

    def __init__(self, control: socket.socket, task: Task) -> None:
        self._control = control
        self._task = task
        self._missing: set[int] = set()
        self._lost = 0

    def run(self) -> int:
        """Do the task; 0 unless nothing could be traced."""
        task = self._task
        Limits.strings = min(task.string_limit, MOST)
        library = libbpf.find()
        if library is None:
            say(self._control, "failed", text="libbpf is not installed")
            return 2
        wanted = frozenset(task.syscalls)
        if wanted:
            wanted |= {"restart_syscall"}
        abis = native()
        try:
            program, rings = load(library)
            self._fill(program, [interest.table(abi, wanted) for abi in abis])
            self._tasks, self._counters = program.table("tasks"), program.table("counters")
            path = os.fsencode(task.output.encode("latin-1"))
            output = Output(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            clock = RecordClock()
            clock.adjust()
            numbers = {abi: abi.numbers(wanted) for abi in abis} if wanted else {}
            self._calls = Calls(output, numbers, clock)
            self._reader = Reader(self._calls, clock, abis)
            output.line(f"# systrace: {json.dumps({'rings_recorded': rings})}")
            ring = libbpf.Ring(library, program.table("ring"))
            program.attach()
        except libbpf.BpfError as error:
            say(self._control, "failed", text=str(error))
            return 2
        gone = self._attach() if task.pids else self._follow_job()
        if gone:
            return 2
        os.chdir("/")  # the job's directory is the job's alone
        self._loop(ring, clock, output)
        return 0

    def _fill(self, program: libbpf.Object, tables: list[dict[int, bytes]]) -> None:
        calls = program.table("calls")
        for position, table in enumerate(tables):
            for number, value in table.items():
                calls.put(_KEY.pack(number + position * interest.CALLS), value)
        settings = _SETTINGS.pack(Limits.strings, interest.STREAM_BUDGET, interest.OPEN_BUDGET, RING // 8, RING // 4)
        program.table("settings").put(_KEY.pack(0), settings)

    # ------------------------------------------------------------------------------------------------------- whom

    def _track(self, tid: int, *, muted: bool = False, call: int = -1, args: Iterable[int] = ()) -> int:
        """Follow a thread; gives the time from which on."""
        words, now = (*args, *[0] * 8)[:8], time.monotonic_ns()
        self._tasks.put(_KEY.pack(tid), _TASK.pack(call, 0, now, *words, -1, 0, 0, -1, 0, 0, muted, 0))
        return now

    def _follow_job(self) -> bool:
        """The job waits until it is followed. True when it never came."""
        say(self._control, "ready")
        word = self._control.recv(32)
        if not word:
            return True
        pid = int(word)
        files = Descriptors()
        files.look_around(pid)
        self._reader.add(pid, files)
        self._track(pid, muted=True)
        say(self._control, "following")
        return False

    def _attach(self) -> bool:
        """Follow all threads of the processes. True when the first of them is not there, or another by now."""
        task = self._task
        processes = list(map(Running, task.pids, task.starts))
        for process in processes:
            pid = process.pid
            if process.replaced():
                say(self._control, "failed", pid=pid, what="replaced")
                return True
            files = Descriptors()
            FileTable.names.update(socket_names(pid))
            files.look_around(pid)
            if not self._follow_threads(pid, files) and process is processes[0]:
                say(self._control, "failed", pid=pid, what="gone")
                return True
        say(self._control, "started", pid=processes[0].pid)
        return False

    def _follow_threads(self, pid: int, files: Descriptors) -> bool:
        ended: set[int] = set()
        for _round in range(_ROUNDS):
            try:
                names = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
                fresh = {int(name) for name in names} - self._reader.tracees.keys() - ended
            except OSError:
                break
            for tid in fresh:
                self._reader.add(tid, files)
                self._follow_sleeper(tid)
                if (status_field(tid, "State") or "Z")[0] in "ZX":  # it ended before it was followed
                    self._tasks.remove(_KEY.pack(tid))
                    self._reader.tracees.pop(tid, None)
                    ended.add(tid)
            if not fresh:
                break
        return any(tracee.files is files for tracee in self._reader.tracees.values())

    def _follow_sleeper(self, tid: int) -> None:
        """What it sleeps in is told from now on; but only if it is certain that it slept all the while."""
        before = _sleep(tid)
        since = self._track(tid, call=before.call, args=before.args)
        if before.call >= 0 and _sleep(tid) != before:
            self._reader.doubtful.add((tid, since))

    # ------------------------------------------------------------------------------------------------------- reading

    def _loop(self, ring: libbpf.Ring, clock: RecordClock, output: Output) -> None:
        reader, looked = self._reader, 0.0
        while reader.tracees and output.open:
            found = ring.read(_TICK_MS)
            for record in found:
                reader.take(record)
            clock.adjust()
            self._tell_lost()
            if len(found) < libbpf.AT_ONCE and time.monotonic() - looked > _LOOK_S:  # what is on its way is no news
                self._show_slow()
                looked = time.monotonic()
            output.flush()
            if self._told_to_stop():
                break
        self._tell_lost()
        for tracee in reader.tracees.values():
            self._calls.suspend(tracee, "<detached ...>")
        output.flush()
        output.close()

    def _tell_lost(self) -> None:
        counts = [self._counters.get(_KEY.pack(which), 8) or b"" for which in (0, 1)]  # enum counter
        lost = sum(int.from_bytes(count, "little") for count in counts)
        if lost > self._lost:
            self._reader.lost(lost - self._lost)
            self._lost = lost

    def _show_slow(self) -> None:
        """Print the first half of calls that have been under way for a while; forget threads whose end was lost.

        The kernel is asked whether they are: the record of the end may be on its way, or lost.
        """
        now = time.monotonic_ns()
        for tid, tracee in list(self._reader.tracees.items()):
            key = _KEY.pack(tid)
            state = self._tasks.get(key, _TASK.size)
            if state is None:
                self._unknown(tid)
                continue
            self._missing.discard(tid)
            call, compat, entered, *rest = _TASK.unpack(state)
            told = tracee.decoder is not None and tracee.printed
            if call < 0 or told or now - entered < _SLOW_NS or (tid, entered) in self._reader.doubtful:
                continue
            if tracee.decoder is None:
                args, on = tuple(rest[:6]), (rest[8], rest[9], rest[10])
                record = Record(
                    records.ENTERED, compat, call, tid, 0, 0, entered, entered, args, 0, 0, on, _NOTHING, b""
                )
                self._reader.look(tid, record, lambda key=key, state=state: self._tasks.get(key, _TASK.size) == state)  # type: ignore[misc]
            if tracee.decoder is not None and tracee.clock_ns == entered:
                self._calls.suspend(tracee, "<unfinished ...>")
        self._calls.show_slow(self._reader.rings.under_way.values())

    def _unknown(self, tid: int) -> None:
        """The kernel's half follows it no more. Its last record may be on its way for one more look."""
        if tid in self._missing:
            self._reader.vanished(tid)
            self._missing.discard(tid)
        else:
            self._missing.add(tid)

    def _told_to_stop(self) -> bool:
        try:
            word = self._control.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            word = b""
        return bool(word) or bool(self._task.pids)


@dataclass(frozen=True, slots=True)
class Sleep:
    """The call that a thread sleeps in (-1: none that could be told), and how often it had gone to sleep then."""

    call: int = -1
    args: tuple[int, ...] = ()
    switches: str | None = None


def _sleep(tid: int) -> Sleep:
    """See proc(5): /proc/PID/syscall. A 32-bit program's numbers are of another table, which nothing here tells."""
    try:
        switches = status_field(tid, "voluntary_ctxt_switches")
        words = Path(f"/proc/{tid}/syscall").read_text().split()
        with Path(f"/proc/{tid}/exe").open("rb") as program:
            wide = program.read(5)[4:] == b"\2"  # EI_CLASS, elf(5)
    except OSError:
        return Sleep()
    if len(words) < 9 or not wide:  # running, in no call
        return Sleep()
    return Sleep(int(words[0]), tuple(int(word, 16) for word in words[1:7]), switches)


def main() -> int:
    """Read the task, do it, give the worker's exit status."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    task = Task(**received(control))
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # of a terminal: they are meant for the job
    gc.freeze()
    gc.set_threshold(50_000)
    worker = Worker(control, task)
    try:
        return worker.run()
    except Exception as error:  # noqa: BLE001 (standard error is the job's: the other side is told instead)
        say_fault(control, error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
