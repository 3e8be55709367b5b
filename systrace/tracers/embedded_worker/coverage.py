"""Which descriptor numbers a process's filter stops at: shared by its threads, copied by fork(2), kept by execve(2).

Of sockets every call is seen; of log files, standard output and standard error only what is written.
"""

from __future__ import annotations

# One filter a number, then one for blocks of numbers: each filter costs every call of the job a little.
_SINGLE, _SMALL, _LARGE = 16, 24, 28
_FEW = 64
_ALL = (0, 0x7FFFFFFF)


class Coverage:
    """`filters` counts those of the process, the first included."""

    __slots__ = ("_added", "_ranges", "_written", "filters", "full", "whole")

    def __init__(
        self,
        ranges: list[tuple[int, int]],
        filters: int,
        full: bool = False,
        written: list[tuple[int, int]] | None = None,
    ) -> None:
        self._ranges = ranges
        self._written = written if written is not None else []
        self._added: list[tuple[bool, bool]] = []  # one a filter after the first: of writes only? of all output, too?
        self.filters = filters
        self.whole = False  # writes to standard output stop it, however large
        self.full = full  # a filter could not be added: stop at every call

    def copy(self, filters: int | None = None) -> Coverage:
        """What a forked child starts with; `filters` are those that it has, where the last came too late for it."""
        copied = Coverage(list(self._ranges), self.filters, self.full, list(self._written))
        copied.whole = self.whole
        copied._added = list(self._added)
        while filters is not None and copied.filters > filters and copied._added:
            copied._take_back()
        return copied

    def beyond(self, other: Coverage) -> list[int]:
        """Numbers that are covered here and not in a copy of earlier."""
        late = self._ranges[len(other._ranges) :] + self._written[len(other._written) :]
        return [fd for first, last in late for fd in range(first, min(last, first + _FEW) + 1)]

    def _take_back(self) -> None:
        writes_only, whole = self._added.pop()
        (self._written if writes_only else self._ranges).pop()
        self.whole = self.whole and not whole
        self.filters -= 1

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The numbers, ends included."""
        return list(self._ranges)

    def covers(self, fd: int) -> bool:
        """Whether all calls on the number stop the process."""
        for first, last in self._ranges:  # noqa: SIM110 (this is the hot path)
            if first <= fd <= last:
                return True
        return False

    def overlaps(self, low: int, high: int) -> bool:
        """Whether that is so for any number from one to the other."""
        return any(first <= high and low <= last for first, last in self._ranges)

    def covers_writes(self, fd: int) -> bool:
        """Whether writes to the number stop the process."""
        return any(first <= fd <= last for first, last in self._written) or self.covers(fd)

    def block(self, fd: int) -> tuple[int, int]:
        """The numbers to cover next, so that `fd` is among them and there will never be too many filters."""
        count = len(self._ranges) + len(self._written)
        if count >= _LARGE:
            return _ALL
        size = 1 if count < _SINGLE else 16 if count < _SMALL else 256
        return fd // size * size, fd // size * size + size - 1

    def add(self, first: int, last: int, writes_only: bool = False, whole: bool = False) -> None:
        """The filter was added; `whole`: with it, writes to standard output stop the process, however large."""
        (self._written if writes_only else self._ranges).append((first, last))
        self._added.append((writes_only, whole))
        self.whole = self.whole or whole
        self.filters += 1
