"""The loop: waits for the next stop of any tracee, handles it, restarts the tracee."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from systrace.tracers.embedded_worker import memory, requests
from systrace.tracers.embedded_worker.coverage import Coverage
from systrace.tracers.embedded_worker.decode.processes import CLONE_FILES, CLONE_THREAD
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.inject import Abandoned, Widener, filters
from systrace.tracers.embedded_worker.names import Abi
from systrace.tracers.embedded_worker.sleepers import Sleepers
from systrace.tracers.embedded_worker.stops import GROUP_STOPS, Calls, child_files
from systrace.tracers.embedded_worker.tracee import Tracee, parent_of


class Loop:
    """All tracees. `filtered`: a seccomp filter picks the calls; otherwise every call of a tracee stops it.

    `on_stop` is told when an interrupted tracee goes on, `on_exec` when a tracee's execve(2) succeeded, `on_exit` a
    thread's wait status; `on_tick` runs a few times a second, and whenever a signal came.
    """

    def __init__(self, calls: Calls, abi: Abi, filtered: bool, widener: Widener | None = None) -> None:
        self.calls = calls
        self._widener = widener
        self.tracees: dict[int, Tracee] = {}
        self._abi = abi
        self._filtered = filtered
        self._sleepers = Sleepers(calls, abi, widener.narrowed) if widener is not None else None
        self._quiet = False
        self._detaching = False
        self.unbound = 0  # PTRACE_O_* of tracees that may outlive this process; 0: the kernel kills them with it
        self.mended = False  # whoever takes them over gives them their registers back (`lending`)
        self.on_stop: Callable[[int], None] = lambda _tid: None
        self.on_exec: Callable[[int], None] = lambda _tid: None
        self.on_exit: Callable[[int, int], None] = lambda _tid, _status: None
        self.on_tick: Callable[[], None] = lambda: None

    def add(self, tid: int, files: FileTable | None = None, coverage: Coverage | None = None) -> Tracee:
        """Enter a thread that was seized."""
        tracee = Tracee(tid, self._abi, files or FileTable(), coverage or Coverage([], 0))
        self.tracees[tid] = tracee
        return tracee

    def run(self) -> None:
        """Until no tracee is left."""
        wait = requests.wait
        while self.tracees:
            tid, status = wait()
            if tid > 0:
                if status == requests.AT_SECCOMP and not self._detaching and tid in self.tracees:
                    self._at_seccomp(self.tracees[tid])  # nearly all stops are these two
                elif status == requests.AT_SYSCALL and not self._detaching and tid in self.tracees:
                    self._at_syscall(self.tracees[tid])
                elif status & 0xFF == 0x7F:
                    self._stopped(tid, status)
                else:
                    self._ended(tid, status)
            elif tid == 0:
                self._tick()
            else:
                break  # no children at all: the rest were reaped by somebody else
        self.calls.output.flush()

    def _tick(self) -> None:
        if not self._quiet:
            self.calls.show_slow(self.tracees.values())
            if self._sleepers is not None:
                self._sleepers.look(list(self.tracees.values()))
            self.calls.output.flush()
            if not self.calls.output.open:
                self.stop()
        self._release_parked()
        self.on_tick()

    def stop(self) -> None:
        """Stop recording. Without a filter the tracees are let go; with one they go on, and only pass through here."""
        if self._quiet:
            return
        if self._filtered:
            for tracee in self.tracees.values():
                self.calls.suspend(tracee, "<detached ...>")
            self._quiet = True
        else:
            self._quiet = self._detaching = True
            for tracee in list(self.tracees.values()):
                self._let_go(tracee)
        self.calls.output.flush()
        self.calls.output.close()

    def _let_go(self, tracee: Tracee) -> None:
        self.calls.suspend(tracee, "<detached ...>")
        if tracee.parked:
            self._detach(tracee.tid)
        elif not requests.interrupt(tracee.tid):
            self.tracees.pop(tracee.tid, None)

    def _detach(self, tid: int, number: int = 0) -> None:
        requests.resume(requests.DETACH, tid, number)
        memory.forget(tid)
        self.tracees.pop(tid, None)

    # ------------------------------------------------------------------------------------------------------ stops

    def _stopped(self, tid: int, status: int) -> None:
        tracee = self.tracees.get(tid)
        if tracee is None:
            tracee = self.add(tid)
            if status >> 16 == requests.EVENT_STOP and not self._detaching:
                tracee.parked = True  # a new child came before its parent's report
                return
        if self._detaching:
            self._detach_at(tracee, status)
        elif status == requests.AT_SYSCALL:
            self._at_syscall(tracee)
        elif status == requests.AT_SECCOMP:
            self._at_seccomp(tracee)
        else:
            self._at_event(tracee, status >> 16, status >> 8 & 0xFF)

    def _at_event(self, tracee: Tracee, event: int, number: int) -> None:
        """Any stop but the two of a call; `number` is the signal of it."""
        if event == 0:
            self.calls.signal(tracee, number)
            self._resume(tracee, number)
        elif event in (requests.EVENT_FORK, requests.EVENT_VFORK, requests.EVENT_CLONE):
            self._at_fork(tracee, event)
        elif event == requests.EVENT_EXEC:
            self._at_exec(tracee)
        elif event == requests.EVENT_STOP and number in GROUP_STOPS:
            if not self._quiet:
                self.calls.event(tracee, f"--- stopped by {signal.Signals(number).name} ---")
            requests.resume(requests.LISTEN, tracee.tid)
            self.on_stop(tracee.tid)
        else:
            self._resume(tracee)
            if event == requests.EVENT_STOP:
                self.on_stop(tracee.tid)

    def _resume(self, tracee: Tracee, number: int = 0) -> None:
        runs = self._filtered and not tracee.in_call and not tracee.coverage.full and not tracee.uncovered
        request = requests.CONT if runs else requests.SYSCALL
        requests.resume(request, tracee.tid, number)  # False: it was killed, its status is on the way

    def _at_seccomp(self, tracee: Tracee) -> None:
        if self._quiet:
            requests.resume(requests.CONT, tracee.tid)
            return
        if not tracee.in_call:
            entry = requests.syscall_entry(tracee.tid)
            if entry is None:
                return
            tracee.filters = tracee.coverage.filters
            if self.calls.blind(tracee, entry):
                requests.resume(requests.SYSCALL, tracee.tid)
                tracee.in_call = self.calls.enter(tracee, entry, timed=True)
                return
            tracee.in_call = self.calls.enter(tracee, entry)
        to_its_end = tracee.in_call or tracee.coverage.full or tracee.uncovered
        requests.resume(requests.SYSCALL if to_its_end else requests.CONT, tracee.tid)

    def _at_syscall(self, tracee: Tracee) -> None:
        if not tracee.in_call:
            self._at_entry(tracee)
            return
        if not self._filtered and tracee.decoder is None:
            tracee.in_call = False  # the end of a call that nobody wants to see
            self._resume(tracee)
            return
        result = requests.syscall_exit(tracee.tid)
        if result is None:
            return
        if result[0] == requests.OP_EXIT:
            tracee.in_call = False
            if not self._quiet:
                self._at_end(tracee, result[1])
                return
        self._resume(tracee)

    def _at_end(self, tracee: Tracee, value: int) -> None:
        """Of a call. The line is written while the tracee runs again."""
        self.calls.look(tracee, value)
        if not tracee.fresh:
            self._resume(tracee)
            self.calls.tell(tracee)
            return
        self.calls.tell(tracee)
        if not self._widened(tracee):
            self._resume(tracee)

    def _at_entry(self, tracee: Tracee) -> None:
        """The beginning of a call, without a filter; with one, in a process that stops at every call."""
        entry = requests.syscall_entry(tracee.tid)
        if entry is not None and entry[0] == requests.OP_ENTRY and not self._quiet:
            if not self._filtered:
                tracee.in_call = True
                self.calls.enter(tracee, entry)
            elif self._widener is not None and self._widener.concerns(entry):
                tracee.in_call = self.calls.enter(tracee, entry)
        elif tracee.uncovered and not self._quiet and self._widened(tracee):
            return
        self._resume(tracee)

    def unbind(self, tid: int) -> None:
        """Let a stopped tracee outlive this process, and all that it makes."""
        requests.set_options(tid, self.unbound)
        if self._widener is not None and not self.mended:
            self._widener.unbound = self.unbound

    def _widened(self, tracee: Tracee) -> bool:
        """Look at descriptors that a call made. True when the tracee has reached another stop, or its end."""
        if self._widener is None:
            tracee.fresh.clear()
            return False
        try:
            status = self._widener.widen(tracee)
        except Abandoned as gone:
            if gone.status is not None:
                self._ended(tracee.tid, gone.status)
            return True
        if status is None:
            return False
        self._stopped(tracee.tid, status)
        return True

    def _at_fork(self, parent: Tracee, event: int) -> None:
        tid = requests.event_message(parent.tid)
        files = child_files(parent, event, CLONE_FILES)
        thread = parent.children_share & CLONE_THREAD
        parent.children_share = 0
        parent.born = tid
        if tid:
            child = self.tracees.get(tid)
            coverage = parent.coverage if thread else self._inherited(parent, tid)
            if files is parent.files and not thread:  # what one of them opens, the other's filter does not know
                parent.coverage.full = coverage.full = True
            if child is None:
                child = self.add(tid, files, coverage)
                child.abi = parent.abi
            else:
                # it may have been let go before this report, and have opened what no filter knows
                coverage.full = coverage.full or child.coverage.full
                child.files, child.coverage = files, coverage
            child.maker = parent
            if not thread:
                child.fresh += [*parent.coverage.beyond(coverage), *parent.fresh]  # some may be its sockets
                child.uncovered = bool(child.fresh)
            self._unpark(child)
        self._resume(parent)

    @staticmethod
    def _inherited(parent: Tracee, child: int) -> Coverage:
        """Which filters a forked child has: one that another thread added during the fork may have come too late."""
        late = parent.coverage.filters != parent.filters
        return parent.coverage.copy(filters(child) if late else None)

    def _unpark(self, tracee: Tracee) -> None:
        if tracee.parked:
            tracee.parked = False
            self._resume(tracee)

    def _release_parked(self, orphans: bool = False) -> None:
        """Children whose parent was killed before it could report them; `orphans`: but for those whose parent lives."""
        for tracee in [tracee for tracee in self.tracees.values() if tracee.parked]:
            if not orphans or parent_of(tracee.tid) not in self.tracees:
                self._unpark(tracee)

    def _at_exec(self, tracee: Tracee) -> None:
        former = requests.event_message(tracee.tid)
        if former and former != tracee.tid:
            caller = self.tracees.pop(former, None)
            if caller is not None:
                leader, tid = tracee, tracee.tid
                self.calls.superseded(caller, leader, tid)
                self.tracees[tid] = tracee = caller
        memory.forget(tracee.tid)
        memory.forget(former)
        tracee.files = tracee.files.after_exec(tracee.tid) if FileTable.narrowed else FileTable()
        tracee.page = 0
        tracee.coverage = tracee.coverage.copy()
        self.on_exec(tracee.tid)
        self._resume(tracee)

    def _detach_at(self, tracee: Tracee, status: int) -> None:
        """Let go at whatever stop comes first: it uses the interrupt up, so there may be no other (ptrace(2)).

        A signal is delivered on the way out; an interrupted call is restarted by the kernel as if nobody had looked.
        """
        event, number = status >> 16, status >> 8 & 0xFF
        if event in (requests.EVENT_FORK, requests.EVENT_VFORK, requests.EVENT_CLONE):
            child = requests.event_message(tracee.tid)
            if child and child not in self.tracees:
                self.add(child)  # attached by the kernel, stops in a moment
        elif event == requests.EVENT_EXEC:
            self.tracees.pop(requests.event_message(tracee.tid), None)
        self._detach(tracee.tid, number if event == 0 and number != requests.SYSCALL_STOP else 0)

    def _ended(self, tid: int, status: int) -> None:
        tracee = self.tracees.pop(tid, None)
        memory.forget(tid)
        if tracee is None:
            return
        if not self._quiet:
            self.calls.gone(tracee, status)
        if os.WIFSIGNALED(status):
            self._release_parked(orphans=True)
        self.on_exit(tid, status)
