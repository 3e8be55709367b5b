"""The same few calls with the same results again and again: a loop that gets nowhere, or looks for something.

Whole batches are only looked at closely where samples of them repeat: the usual log pays for some comparisons a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from systrace.calls import SLEEPS
from systrace.dataclass import dataclass
from systrace.model import DETACHED, Attached, Event, Exited, Fact, Printed, Repeat, Returned, Signalled

_SAMPLES = 8  # records of a batch that are compared with those before them
_BACK = 12  # records before one: several threads may take turns
_LONGEST = 4  # calls of a round
_NO_CALLS = (Attached, Fact, Printed, Returned, Signalled)  # a tick, and the call that it broke off going on
_LEAST = 20  # rounds
_MOST = 64  # loops that are kept


@dataclass(slots=True)
class _Thread:
    """What one thread does at present."""

    last: list[Event] = field(default_factory=list)  # up to _LONGEST calls
    period: int = 0  # calls of a round, while they repeat
    same: int = 0  # calls that were as those a round before
    first: Event | None = None


class Repeats:
    """Follows the events of a log."""

    def __init__(self) -> None:
        """None yet."""
        self._threads: dict[int, _Thread] = {}
        self.found: list[Repeat] = []

    def look(self, events: Sequence[Event | None]) -> None:
        """Take the next events, in order."""
        alike = _look_alike(events) if len(events) > 2 * _SAMPLES else bool(self._threads)  # few tell nothing
        if not self._threads and not alike:
            return
        for event in events:
            if event is not None and type(event) not in _NO_CALLS and event.record.outcome != DETACHED:
                self._next(event)
        if not alike:  # the loop is over
            self.finish(False)

    def _next(self, event: Event) -> None:
        if type(event) is Exited:
            if (ended := self._threads.pop(event.record.tid, None)) is not None:
                self._over(event.record.tid, ended, True)
            return
        thread = self._threads.setdefault(event.record.tid, _Thread())
        last = thread.last
        if thread.period and _same(last[-thread.period], event):
            thread.same += 1
        else:
            self._over(event.record.tid, thread, False)
            thread.period = next((n for n in range(1, len(last) + 1) if _same(last[-n], event)), 0)
            thread.same = 1 if thread.period else 0
            thread.first = last[-thread.period] if thread.period else None
        last.append(event)
        if len(last) > _LONGEST:
            del last[0]

    def _over(self, tid: int, thread: _Thread, at_end: bool) -> None:
        if thread.period and thread.first is not None and len(self.found) < _MOST:
            rounds = thread.same // thread.period + 1
            if rounds >= _LEAST:
                self.found.append(Repeat(tid, thread.first, thread.last[-thread.period :], rounds, at_end))

    def finish(self, at_end: bool = True) -> None:
        """The log, or the part of it that repeats, is over."""
        for tid, thread in self._threads.items():
            self._over(tid, thread, at_end)
        self._threads.clear()


def _look_alike(events: Sequence[Event | None]) -> bool:
    """Whether most of some samples are as a call of the same thread shortly before."""
    at = range(len(events) - 1, 0, -max(1, len(events) // _SAMPLES))
    alike = 0
    for i in at:
        event = events[i]
        before = events[max(0, i - _BACK) : i]
        alike += event is not None and any(each is not None and _same(each, event) for each in before)
    return alike > len(at) // 2


def _same(one: Event, other: Event) -> bool:
    a, b = one.record, other.record
    if a.retval != b.retval or a.syscall != b.syscall or a.errno != b.errno or a.tid != b.tid:
        return False
    return a.args == b.args or (a.syscall in SLEEPS and b"TIMER_ABSTIME" in a.args and b"TIMER_ABSTIME" in b.args)
