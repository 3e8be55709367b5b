"""Bytes whose lines have a longest length, so that what has no line ends fills neither the memory nor the day.

A log that was truncated while strace wrote on (logrotate's copytruncate) begins with a hole: gigabytes of NULs before
its first line. /dev/zero looks the same and never ends, and what unpacks to ten gigabytes may be twelve kilobytes long.
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
_PACKED = 1 << 29  # the same of what is unpacked on the fly, at some 300 MB/s
_BLANK = 1 << 18  # bytes of nothing but line ends and blanks, each a line to count
_BLOCK = 1 << 14
_NULS = bytes(_BLOCK)


class EndlessLineError(ValueError):
    """What goes on and on without a line end, or without anything in its lines."""

    def __init__(self, lines_before: bool, what: str) -> None:
        self.lines_before = lines_before
        super().__init__(what)


class _Cut(io.RawIOBase):
    """The same bytes without what makes a line longer than `LONGEST_LINE`, its end apart: lines keep their numbers."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._kept = 0  # bytes since the last line end
        self._left_out = 0
        self._blank = 0  # bytes since the last character that can be seen
        self._lines = False  # whether there was one with something in it
        self._most = _most_left_out(stream)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As many bytes as are there, or some of them.

        Raises:
            EndlessLineError: more than 4 GB would have to be left out of a line of no regular file, or 512 MB of what is
                packed; or there is nothing but line ends for a long time.
        """
        while data := self._stream.read1(len(buffer)):
            if data.isspace():
                self._blank = _counted(self._blank, data, self._lines)
            else:
                self._blank = 0
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
                self._lines |= not self._blank
            buffer[: len(data)] = data
            return len(data)
        return 0

    def _leave_out(self, data: bytes) -> None:
        if not self._left_out and self._most is None and data[:1] == b"\0":
            with contextlib.suppress(OSError, ValueError):
                self._stream.seek(_end_of_hole(self._stream.fileno(), self._stream.tell()))
        self._left_out += len(data)
        _check_left_out(self._left_out, self._most, self._lines)


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
    left_out = blank = 0
    lines = whole = said = False
    most = _most_left_out(stream)
    with io.TextIOWrapper(stream, encoding, errors="replace", newline="\n") as text:
        for line in iter(partial(text.readline, LONGEST_LINE), ""):
            if whole or not lines:
                yield line.encode("utf-8", "replace")
                left_out = 0
            lines, whole = True, line.endswith("\n")
            left_out += len(line)
            _check_left_out(left_out, most, said)
            blank = _counted(blank, line, said) if line.isspace() else 0
            said |= whole and not blank


def _most_left_out(stream: BinaryIO) -> int | None:
    """How much of one line may be left out: any amount of a regular file, where holes cost nothing."""
    with contextlib.suppress(OSError, ValueError):
        return None if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) else _ENDLESS
    return _PACKED  # what is unpacked on the fly has no descriptor


def _check_left_out(left_out: int, most: int | None, lines_before: bool) -> None:
    if most is not None and left_out > most:
        size = f"{most >> 30} GB" if most >> 30 else f"{most >> 20} MB"
        hint = "; if it is a log with a hole, unpack it first" if most == _PACKED else ""
        raise EndlessLineError(lines_before, f"a line goes on for more than {size}{hint}")


def _counted(blank: int, data: bytes | str, lines_before: bool) -> int:
    blank += len(data)
    if blank > _BLANK:
        raise EndlessLineError(lines_before, "nothing but empty lines, hundreds of thousands of them")
    return blank
