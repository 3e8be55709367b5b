"""Logs that were merged by the start of each line (strace-log-merge, sort): a wait stands before what happened in it.

strace itself writes a call that others overlap in two halves. Where a whole line says that it lasted past the next
thread's line, the log was put together afterwards, and its records are given out in order of completion.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import pairwise

from systrace.model import Record
from systrace.parser.irregular import HALVES

_LOOKS = 17  # batches in which an overlap must show; after them nothing is looked at any more
_OVERLAP_NS = 20_000_000  # on a busy machine lines come milliseconds late; shorter waits mean nothing either
_SECOND = 1_000_000_000


class Completion:
    """Batches of records in, the same in order of completion out."""

    def __init__(self) -> None:
        self.merged = False
        self._looks = _LOOKS
        self._held: list[tuple[int, int, Record]] = []
        self._count = 0

    @property
    def as_read(self) -> bool:
        """Whether records go through in the order in which they stand, from now on."""
        return not self.merged and not self._looks

    def ordered(self, batch: list[Record]) -> list[Record]:
        """What of this batch and of those before is known to come next."""
        if not self.merged:
            if not self._looks:
                return batch
            self._looks -= 1
            self.merged = _overlap(batch)
            if not self.merged:
                return batch
        return list(self._sorted(batch))

    def rest(self) -> list[Record]:
        """What was held back at the end."""
        return [heappop(self._held)[2] for _ in range(len(self._held))]

    def _sorted(self, batch: list[Record]) -> Iterator[Record]:
        held = self._held
        for record in batch:
            start = record.time_ns
            if start is None:
                yield record
                continue
            while held and held[0][0] <= start:
                yield heappop(held)[2]
            self._count += 1
            heappush(held, (start + (record.duration_ns or 0), self._count, record))


def _overlap(batch: list[Record]) -> bool:
    for record, after in pairwise(batch):
        if not record.duration_ns or record.duration_ns <= _OVERLAP_NS or record.tid == after.tid:
            continue
        if record.time_ns is None or after.time_ns is None or after.lineno < record.lineno or HALVES in record.raw:
            continue  # the second half of a call stands later than its start
        whole_seconds = after.time_ns % _SECOND == 0  # of -t
        if record.time_ns + record.duration_ns > after.time_ns + _OVERLAP_NS and not whole_seconds:
            return True
    return False
