"""Events -> sockets, processes and waits: `Tracker.feed` takes one event after the other, `finish` closes the books.

What each event does stands in one file a family: transfers, sockets, waiting, processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from systrace import model
from systrace.calls.errnos import UNDER_WAY, WOULD_BLOCK
from systrace.model import Event, Received, Record, Sent
from systrace.streams import connecting, processes, sockets, splicing, transfers, waiting
from systrace.streams.books import Books, Listener
from systrace.streams.growing import grown
from systrace.streams.marks import end_wait
from systrace.streams.snapshots import nanoseconds, waits_unseen

_ENDED = (model.RETURNED, model.RESTARTED)  # a call that a signal broke has lasted until that signal
_BLOCKING = frozenset((model.Connected, Sent, Received, model.Waited, model.Blocked, model.Accepted))


class Tracker(Books):
    """Follows every descriptor of every process: the books, and who writes what into them."""

    def __init__(self, listener: Listener | None = None, watch: str | None = None) -> None:
        super().__init__(listener, watch)
        self._by_tid = self.tasks.by_tid
        self.held: dict[int, Event] = {}  # by tid: calls without -T, until the thread's next line shows their end
        self._ready: set[int] = set()  # of these: threads whose last wait found something ready
        self._handlers: dict[type[Event], Callable[[Books, Any, Any], None]] = {
            **transfers.HANDLERS, **splicing.HANDLERS, **sockets.HANDLERS, **waiting.HANDLERS, **processes.HANDLERS,
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------------------ feed

    def feed(self, event: Event) -> None:
        """Take the next event."""
        record = event.record
        time_ns = record.time_ns
        if time_ns is not None:
            duration = record.duration_ns
            ended = time_ns if duration is None else time_ns + duration
            if self.last_ns is None:
                self.last_ns = time_ns
            if self.first_ns is None or time_ns < self.first_ns:  # a call that began first may end last
                self.first_ns = time_ns
            if ended > self.last_ns:
                self.last_ns = ended
            if (self.held or duration is None) and self._hold(event, record, time_ns):
                return
        task = self._by_tid.get(record.tid)
        if task is None or not task.alive:
            self._handle(event)
            return
        handler = self._handlers.get(type(event))  # what `_handle` does, without its cost
        if handler is not None:
            task.process.traced = True
            handler(self, task, event)

    def _hold(self, event: Event, record: Record, time_ns: int) -> bool:
        """Without -T a call's end is its thread's next line: the held call is handled now. Is this one to be held?"""
        held = self.held.pop(record.tid, None)
        if held is not None:
            held.record.duration_ns = max(0, time_ns - (held.record.time_ns or time_ns))
            self._handle(held)
            if isinstance(held, model.Waited) and held.record.retval:
                self._ready.add(record.tid)
        if self.held and isinstance(event, Received) and event.size:
            self._asked_before(event, record, time_ns)
        if record.duration_ns is not None or record.outcome not in _ENDED or type(event) not in _BLOCKING:
            return False
        if self._did_not_wait(event, record):
            return False
        self.held[record.tid] = event
        return True

    def _did_not_wait(self, event: Event, record: Record) -> bool:
        """What the thread does next is no end of a call that returned at once; another thread may meet its effect first."""
        if isinstance(event, model.Connected):
            return record.errno in UNDER_WAY and self._limit(event, sends=True) is None
        if not isinstance(event, Sent | Received):
            return False
        if record.errno in WOULD_BLOCK and self._limit(event, sends=type(event) is Sent) is None:
            return True
        said_ready = record.tid in self._ready  # by the wait before it
        self._ready.discard(record.tid)
        return said_ready

    def _asked_before(self, event: Received, record: Record, time_ns: int) -> None:
        """What another thread sent on this connection is no later than the answer, though that thread is silent since."""
        task = self._by_tid.get(record.tid)
        for tid, held in list(self.held.items()):
            other = self._by_tid.get(tid)
            if not isinstance(held, Sent) or held.fd != event.fd or task is None or other is None:
                continue
            if other.table is task.table and (held.record.time_ns or time_ns) <= time_ns:
                del self.held[tid]
                held.record.duration_ns = time_ns - (held.record.time_ns or time_ns)
                self._handle(held)

    def _limit(self, event: Sent | Received | model.Connected, sends: bool) -> int | None:
        """SO_SNDTIMEO or SO_RCVTIMEO in ns: with it EAGAIN, of a blocking connect EINPROGRESS, ends a wait (socket(7))."""
        task = self._by_tid.get(event.record.tid)
        description = task.table.fds.get(event.fd) if task is not None else None
        socket = description.socket if description is not None else None
        if socket is None:
            return None
        return socket.sndtimeo_ns if sends else socket.rcvtimeo_ns

    def _handle(self, event: Event) -> None:
        handler = self._handlers.get(type(event))
        if handler is None:
            return
        record = event.record
        task = self._by_tid.get(record.tid)
        if task is None or not task.alive:
            if type(event) in (model.Fact, model.Printed) or (task is not None and type(event) is model.Exited):
                handler(self, task, event)
                return
            if type(event) is model.Attached and (event.renames or event.gone):
                self.rename(record.tid)  # before a task of that number is made up
            if task is not None:
                processes.gone(self, task)
            task = self.tasks.find(record)
        task.process.traced = True
        handler(self, task, event)

    # ---------------------------------------------------------------------------------------------------------- finish

    def finish(self, until_ns: int = 0) -> None:
        """The log has ended: what was held is handled, what still waits is marked so.

        Args:
            until_ns: when the last call had ended that told nothing.
        """
        if self.last_ns is not None:
            self.last_ns = max(self.last_ns, until_ns)
        self._from_facts()
        for event in sorted(self.held.values(), key=lambda e: e.record.lineno):
            self._handle(event)
        self.held.clear()
        for task in list(self.tasks.by_tid.values()):
            if task.alive and task.process.exit_event is not None:
                processes.gone(self, task)  # no +++ line tells it: an old strace, or -qq
        for socket in self.lookup.sockets.values():
            if socket.closed_by:
                continue
            connecting.settle_if_ready(socket, None)
            if socket.waiting is not None:
                pending = socket.waiting.end_ns is None
                end_wait(self, socket, "end of log", None)
                if pending and socket.waits:
                    socket.waits[-1].end_ns = None
            if self.listener is not None and (socket.sent.calls or socket.received.calls):
                self.listener.ended(socket, False, "unfinished")

    def _from_facts(self) -> None:
        """The recording's own word on when it ended; and, where it shows no call at all, on what was waited for."""
        end_ns = nanoseconds(self.facts.get("end"))
        if end_ns is None:
            return
        if self.first_ns is None and self.looked_ns is not None:
            self.first_ns = min(self.looked_ns, end_ns)
            for task, span in waits_unseen(self.tasks):
                task.process.traced = True
                task.process.spans = grown(task.process.spans, span)
                self.spans.append(span)
        if self.first_ns is not None:
            self.last_ns = max(self.last_ns or end_ns, end_ns)
