"""Bytes whose lines have a longest length, so that what has no line ends fills neither the memory nor the day.

A log that was truncated while strace wrote on (logrotate's copytruncate) begins with a hole: gigabytes of NULs before
its first line. /dev/zero looks the same and never ends.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, cast

LONGEST_LINE = 1 << 24  # bytes; of a longer line its beginning is kept
_HOLE = 1 << 16  # bytes of a line, after which blocks of nothing but NULs are left out
_ENDLESS = 1 << 32  # bytes left out of one line of what need not have an end
_BLOCK = 1 << 14
_NULS = bytes(_BLOCK)


class EndlessLineError(ValueError):
    """A pipe or device that goes on and on without a line end."""

    def __init__(self, lines_before: bool) -> None:
        self.lines_before = lines_before
        super().__init__(f"a line goes on for more than {_ENDLESS >> 30} GB")


class _Cut(io.RawIOBase):
    """The same bytes without what makes a line longer than `LONGEST_LINE`, its end apart: lines keep their numbers."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._kept = 0  # bytes since the last line end
        self._left_out = 0
        self._lines = False  # whether there was one
        self._may_be_endless = _may_be_endless(stream)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As many bytes as are there, or some of them.

        Raises:
            EndlessLineError: more than 4 GB would have to be left out of a line of no regular file.
        """
        while data := self._stream.read1(len(buffer)):
            last = data.rfind(b"\n")
            if self._kept >= _HOLE and (self._kept >= LONGEST_LINE or data == _NULS[: len(data)]):
                if last < 0:
                    self._leave_out(data)
                    continue
                data = data[data.find(b"\n") if self._kept >= LONGEST_LINE else 0 :]
                last = data.rfind(b"\n")
            if last < 0:
                self._kept += len(data)
            else:
                self._kept = len(data) - last - 1
                self._left_out = 0
                self._lines = True
            buffer[: len(data)] = data
            return len(data)
        return 0

    def _leave_out(self, data: bytes) -> None:
        if not self._left_out and not self._may_be_endless and data[:1] == b"\0":
            with contextlib.suppress(OSError, ValueError):  # what is unpacked on the fly has no descriptor
                self._stream.seek(_end_of_hole(self._stream.fileno(), self._stream.tell()))
        self._left_out += len(data)
        if self._left_out > _ENDLESS and self._may_be_endless:
            raise EndlessLineError(self._lines)


def _end_of_hole(descriptor: int, position: int) -> int:
    """Where a sparse file goes on."""
    try:
        return os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nowhere
            return os.lseek(descriptor, 0, os.SEEK_END)
        raise


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines with their ends, the longest cut. Raises as `_Cut.readinto`."""
    raw = cast("io.RawIOBase", _Cut(cast(io.BufferedReader, stream)))
    return iter(io.BufferedReader(raw, _BLOCK))


def bounded_text(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    """The same of UTF-16, as UTF-8."""
    left_out = 0
    lines = whole = False
    may_be_endless = _may_be_endless(stream)
    with io.TextIOWrapper(stream, encoding, errors="replace", newline="\n") as text:
        for line in iter(partial(text.readline, LONGEST_LINE), ""):
            if whole or not lines:
                yield line.encode("utf-8", "replace")
                left_out = 0
            lines, whole = True, line.endswith("\n")
            left_out += len(line)
            if left_out > _ENDLESS and may_be_endless:
                raise EndlessLineError(lines_before=True)


def _may_be_endless(stream: BinaryIO) -> bool:
    with contextlib.suppress(OSError, ValueError):  # a buffer in memory has no descriptor
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    return False
