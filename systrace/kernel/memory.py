"""A few words of another process's memory, read without stopping it (/proc/PID/mem, needs ptrace-level access)."""

from __future__ import annotations

import os
import struct
from types import TracebackType

_PAGE = 4096
_LONGEST_PATH = 512


class Memory:
    """The address space of one process; use as a context manager. Reading never raises, it returns None."""

    def __init__(self, pid: int, bits: int = 64) -> None:
        self._path = f"/proc/{pid}/mem"
        self._fd = -2  # -1: refused
        self.bits = bits  # width of a pointer and a long

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at `address`, None unless all of them can be had."""
        if address <= 0 or size <= 0 or address + size >= 1 << 63:
            return None
        try:
            if self._fd == -2:
                self._fd = -1
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            if self._fd < 0:
                return None
            data = os.pread(self._fd, size, address)
        except OSError:
            return None
        return data if len(data) == size else None

    def path(self, address: int) -> bytes | None:
        """A C string of at most 512 bytes; it may end at the last mapped byte."""
        text = b""
        while len(text) < _LONGEST_PATH:
            at = address + len(text)
            part = self.read(at, min(_PAGE - at % _PAGE, _LONGEST_PATH - len(text)))
            if part is None:
                return None
            text += part
            if b"\0" in part:
                return text.partition(b"\0")[0]
        return text

    def words(self, address: int, count: int) -> tuple[int, ...] | None:
        """`count` signed longs of the process's own width."""
        size = self.bits // 8
        data = self.read(address, size * count)
        return struct.unpack(f"={count}{'q' if size == 8 else 'i'}", data) if data is not None else None

    def time_ns(self, address: int, *, unit: int = 1, wide: bool = False) -> int | None:
        """A timespec (`unit` 1) or timeval (`unit` 1000) in ns; `wide` for the 64-bit one of a 32-bit process."""
        if wide:
            data = self.read(address, 16)
            pair = struct.unpack("=qq", data) if data is not None else None
        else:
            pair = self.words(address, 2)
        if pair is None or not 0 <= pair[1] < 10**9 or pair[0] < 0:
            return None
        return int(pair[0]) * 10**9 + int(pair[1]) * unit
