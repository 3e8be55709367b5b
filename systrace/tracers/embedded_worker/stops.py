"""What each ptrace stop of a thread means, and the lines that it prints."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterable, Mapping

from systrace.calls import CHILDREN, DUPLICATES, EXECS, FORKS, PIPES
from systrace.calls.numbers import SOCKETCALLS
from systrace.tracers.embedded_worker import memory, requests
from systrace.tracers.embedded_worker.decode import DECODERS, UNKNOWN, unknown
from systrace.tracers.embedded_worker.decode.processes import format_siginfo
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.names import ABIS, Abi, failure, signal_name
from systrace.tracers.embedded_worker.output import Output, stamp
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

_SLOW_NS = 200_000_000  # a call that lasts longer is printed as <unfinished ...>, so that a reader sees it
_ERRNO_MAX = 4095
# Where it matters to others which descriptors a process still has.
_TURNS = FORKS | EXECS | CHILDREN | PIPES | DUPLICATES
# A tracee may pass anything. Should a decoder stumble over it, the call is shown raw: an error that left this process
# would kill the job (EXITKILL).
_MISTAKES = (ArithmeticError, LookupError, OSError, TypeError, ValueError, struct.error)


class Clock:
    """What time it is for what is being printed."""

    def wall(self) -> int:
        """ns since the epoch."""
        return time.time_ns()

    def monotonic(self) -> int:
        """CLOCK_MONOTONIC, ns."""
        return time.monotonic_ns()


class Calls:
    """Prints calls: `enter` and `leave` are the two ends of one."""

    def __init__(self, output: Output, wanted: Mapping[Abi, Iterable[int]], clock: Clock | None = None) -> None:
        self.output = output
        self._clock = clock or Clock()
        self._calls = {
            abi.audit: {number: (abi.name_of(number), DECODERS.get(abi.name_of(number), UNKNOWN)) for number in numbers}
            for abi, numbers in wanted.items()
        }
        self._all = not self._calls  # nothing named: everything is wanted

    def enter(self, tracee: Tracee, entry: requests.Entry, timed: bool = False) -> bool:
        """A thread enters a call; `timed`: when, is known already. False when its end need not be looked at."""
        _, arch, number, args = entry
        known = self._calls.get(arch)
        call = known.get(number) if known is not None else self._any(arch, number)
        if tracee.abi.audit != arch:
            tracee.abi = ABIS.get(arch, tracee.abi)
        if call is not None and call[0] == "socketcall":
            call, args = self._socketcall(tracee, args)
        if tracee.observed:
            self.awake(tracee)
        tracee.decoder = None
        if call is None:
            return False
        name, decoder = call
        if tracee.muted:
            if not name.startswith("execve"):
                return False
            tracee.muted = False
        if decoder.skip is not None and decoder.skip(tracee, args):
            return False
        self._place_maker(tracee)
        if not timed:
            tracee.entered_ns, tracee.clock_ns = self._clock.wall(), self._clock.monotonic()
        if name in _TURNS and tracee.files.watched:
            tracee.files.look(tracee.tid)
        self._tell_lost(tracee)
        tracee.name, tracee.args, tracee.decoder = name, args, decoder
        tracee.printed = False
        if name == "restart_syscall":
            tracee.head = f"<... resuming interrupted {tracee.interrupted or 'system call'} ...>"
        else:
            try:
                tracee.head = decoder.enter(tracee, args)
            except _MISTAKES:
                tracee.head = unknown(tracee, args)
        if not decoder.returns:
            self.output.line(f"{_opening(tracee)}) = ?")
            tracee.decoder = None
            return False
        return True

    def blind(self, tracee: Tracee, entry: requests.Entry) -> bool:
        """Whether the thread may run before `enter`, as that looks at nothing that the call can change."""
        _, arch, number, args = entry
        known = self._calls.get(arch)
        call = known.get(number) if known is not None else None
        if call is None or not call[1].blind or tracee.muted or tracee.observed or tracee.abi.audit != arch:
            return False
        if call[0] != "socket" and not tracee.files.keeps(args[0]):
            return False
        tracee.entered_ns, tracee.clock_ns = self._clock.wall(), self._clock.monotonic()
        return True

    def _any(self, arch: int, number: int) -> tuple[str, Decoder] | None:
        abi = ABIS.get(arch)
        if not self._all or abi is None:
            return None
        name = abi.name_of(number)
        return name, DECODERS.get(name, UNKNOWN)

    def _socketcall(self, tracee: Tracee, args: Args) -> tuple[tuple[str, Decoder] | None, Args]:
        """i386 programs of old make all socket calls through one, with the arguments in memory."""
        name = SOCKETCALLS.get(args[0])
        data = memory.read(tracee.tid, args[1], 24) or memory.read(tracee.tid, args[1], 12)
        if name is None or data is None:
            return None, args
        words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
        return (name, DECODERS.get(name, UNKNOWN)), (*words, *[0] * (6 - len(words)))

    def leave(self, tracee: Tracee, value: int) -> None:
        """The call returned."""
        self.look(tracee, value)
        self.tell(tracee)

    def look(self, tracee: Tracee, value: int) -> None:
        """The call returned: read what it left behind. From then on the thread may run."""
        decoder = tracee.decoder
        if decoder is None:
            return
        tracee.lasted = self._clock.monotonic() - tracee.clock_ns
        args = tracee.args
        failed = -_ERRNO_MAX <= value < 0
        tail, result = "", failure(value) if failed else str(value)
        try:
            if decoder.leave is not None:
                tail = decoder.leave(tracee, args, value)
            if decoder.result is not None and not failed:
                result = decoder.result(tracee, args, value)
        except _MISTAKES:
            pass  # the bare number, then
        if value == -516:  # ERESTART_RESTARTBLOCK
            tracee.interrupted = tracee.name
        tracee.end = f"{tail}) = {result}"

    def tell(self, tracee: Tracee) -> None:
        """Write the line of the call that `look` saw the end of."""
        if tracee.decoder is None:
            return
        lasted = tracee.lasted
        self._tell_lost(tracee)
        if tracee.printed:
            start = f"{stamp(tracee.entered_ns + lasted)} <... {tracee.name} resumed>"
        else:
            start = f"{stamp(tracee.entered_ns)} {tracee.name}({tracee.head}"
        self.output.line(f"{tracee.tid} {start}{tracee.end} <{stamp(lasted)}>")
        tracee.decoder = None

    def _tell_lost(self, tracee: Tracee) -> None:
        """Descriptors that were closed meanwhile, in calls that did not stop it."""
        if tracee.files.lost:
            for fd, text in tracee.files.lost:
                self.output.line(f"{tracee.tid} {stamp(tracee.entered_ns)} close({fd}{text}) = 0 <0.000000>")
            tracee.files.lost.clear()

    def asleep(self, tracee: Tracee, number: int, args: Args) -> None:
        """It sleeps in a call that did not stop it (`sleepers`)."""
        call = self._calls[tracee.abi.audit].get(number)
        if call is None or (call[1].skip is not None and call[1].skip(tracee, args)):
            return
        tracee.name, decoder = call
        tracee.args, tracee.observed = args, True
        tracee.entered_ns, tracee.clock_ns = tracee.slept_ns
        try:
            tracee.head = decoder.enter(tracee, args)
        except _MISTAKES:
            tracee.head = unknown(tracee, args)
        self._place_maker(tracee)
        self.output.line(f"{_opening(tracee)} <unfinished ...>")
        tracee.decoder, tracee.printed = decoder, True

    def awake(self, tracee: Tracee) -> None:
        """That call is over; with what result, nobody has seen."""
        now, lasted = self._clock.wall(), self._clock.monotonic() - tracee.clock_ns
        self.output.line(f"{tracee.tid} {stamp(now)} <... {tracee.name} resumed>) = ? (not seen) <{stamp(lasted)}>")
        tracee.decoder, tracee.observed = None, False

    def show_slow(self, tracees: Iterable[Tracee]) -> None:
        """Print the first half of calls that have been blocked for a while."""
        now = self._clock.monotonic()
        for tracee in tracees:
            if tracee.decoder is not None and not tracee.printed and now - tracee.clock_ns > _SLOW_NS:
                self.suspend(tracee, "<unfinished ...>")

    def suspend(self, tracee: Tracee, mark: str) -> None:
        """Print the open call, if there is one, without a result: `mark` says why. As in strace, a call that stands
        in the log as unfinished gets no second mark."""
        if tracee.decoder is not None and not tracee.printed:
            self.output.line(f"{_opening(tracee)} {mark}")
            tracee.printed = True

    def _show_maker(self, tracee: Tracee) -> None:
        """The fork stands before what the child does: a reader learns from it whose child or thread that is."""
        if tracee.maker is not None and tracee.maker.born == tracee.tid:
            self.suspend(tracee.maker, "<unfinished ...>")
        tracee.maker = None

    def _place_maker(self, tracee: Tracee) -> None:
        """Who made it is shown before its first line."""
        if tracee.maker is not None:
            self._show_maker(tracee)

    def event(self, tracee: Tracee, text: str) -> None:
        """A line that is no call."""
        self._place_maker(tracee)
        if not tracee.muted:
            self.output.line(f"{tracee.tid} {stamp(self._clock.wall())} {text}")

    def signal(self, tracee: Tracee, number: int) -> None:
        """A signal is about to be delivered."""
        info = requests.siginfo(tracee.tid)
        if info is not None:
            self.signalled(tracee, number, info)

    def signalled(self, tracee: Tracee, number: int, info: bytes) -> None:
        """Print it; `info` is its siginfo_t."""
        if tracee.observed:
            self.awake(tracee)
        self.event(tracee, f"--- {signal_name(number)} {format_siginfo(info)} ---")
        self.output.flush()  # who relays signals looks into the recording whether the job has had this one

    def gone(self, tracee: Tracee, status: int) -> None:
        """The thread's exit status: the last line of it."""
        if tracee.decoder is not None:
            if tracee.printed:
                self.event(tracee, f"<... {tracee.name} resumed>) = ?")
            else:
                self.output.line(f"{_opening(tracee)} <unfinished ...>) = ?")
        if os.WIFSIGNALED(status):
            dumped = " (core dumped)" if os.WCOREDUMP(status) else ""
            self.event(tracee, f"+++ killed by {signal_name(os.WTERMSIG(status))}{dumped} +++")
        else:
            self.event(tracee, f"+++ exited with {os.WEXITSTATUS(status)} +++")

    def superseded(self, tracee: Tracee, leader: Tracee | None, tid: int) -> None:
        """A thread that is not the leader called execve(2): it goes on under the leader's id."""
        if leader is not None:
            self.suspend(leader, "<unfinished ...>")
        self.suspend(tracee, f"<pid changed to {tid} ...>")
        former, tracee.tid = tracee.tid, tid
        self.event(tracee, f"+++ superseded by execve in pid {former} +++")


def _opening(tracee: Tracee) -> str:
    return f"{tracee.tid} {stamp(tracee.entered_ns)} {tracee.name}({tracee.head}"


GROUP_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def child_files(parent: Tracee, event: int, clone_files: int) -> FileTable:
    """The descriptor table of a new thread or process."""
    shares = parent.children_share & clone_files if parent.children_share else event == requests.EVENT_CLONE
    return parent.files if shares else parent.files.copy()
