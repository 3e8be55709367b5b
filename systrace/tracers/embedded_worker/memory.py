"""The tracee's memory, by /proc/PID/mem (proc(5)), or process_vm_readv(2) where that is refused; process_vm_writev(2)."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from typing import Protocol

from ptrace.ctypes_libc import libc

_CAPACITY = 1 << 18
PAGE = mmap.PAGESIZE
_BUFFER = ctypes.create_string_buffer(_CAPACITY)
_VIEW = memoryview(_BUFFER).cast("B")


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_LOCAL = _Iovec(ctypes.addressof(_BUFFER), _CAPACITY)
_REMOTE = _Iovec()
_LOCAL_AT, _REMOTE_AT = ctypes.byref(_LOCAL), ctypes.byref(_REMOTE)
_readv = libc["process_vm_readv"]
_readv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
_readv.restype = ctypes.c_ssize_t
_writev = libc["process_vm_writev"]
_writev.argtypes = _readv.argtypes
_writev.restype = ctypes.c_ssize_t


class Source(Protocol):
    """Memory that was recorded while the tracee was in a call, for a tracer that doesn't stop it."""

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at `address`; None where they were not recorded."""
        ...

    def beginning(self, address: int, size: int) -> bytes | None:
        """As much as was recorded of `size` bytes at `address`; None: nothing."""
        ...

    def string(self, address: int, limit: int) -> tuple[bytes, bool] | None:
        """As `read_string`."""
        ...


_source: Source | None = None  # None: the tracee's own memory


def read_from(source: Source | None) -> None:
    """Take what is read from here on out of a recording of the memory, or (None) out of the tracee."""
    global _source
    _source = source


_files: dict[int, int] = {}  # thread -> descriptor of its /proc/TID/mem, _REFUSED
_REFUSED = -1
_MOST = 64  # as many files at once


def read(tid: int, address: int, size: int) -> bytes | None:
    """`size` bytes (at most 256 KiB) at `address`; None when any of them cannot be read.

    A pread(2) of the open file takes a quarter of the time of process_vm_readv(2) by ctypes; it also reads what the
    tracee itself may not (PROT_NONE), where strace shows a pointer.
    """
    if size <= 0:
        return b"" if size == 0 else None
    if _source is not None:
        return _source.read(address, size)
    if size > _CAPACITY:
        size = _CAPACITY
    file = _files.get(tid)
    if file is None:
        file = _open(tid)
    if file == _REFUSED:
        return _copy(tid, address, size)
    try:
        data = os.pread(file, size, address)
    except (OSError, OverflowError):  # not mapped; no address at all
        return None
    return data if len(data) == size else None


def read_beginning(tid: int, address: int, size: int) -> bytes | None:
    """`read`, or less where less was recorded."""
    return read(tid, address, size) if _source is None or size <= 0 else _source.beginning(address, size)


def forget(tid: int) -> None:
    """The thread has another memory now (execve(2)), or has ended: its file would go on showing the former one."""
    file = _files.pop(tid, _REFUSED)
    if file != _REFUSED:
        os.close(file)


def _open(tid: int) -> int:
    if len(_files) >= _MOST:
        forget(next(iter(_files)))
    try:
        file = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        file = _REFUSED
    _files[tid] = file
    return file


def _copy(tid: int, address: int, size: int) -> bytes | None:
    _REMOTE.base = address
    _LOCAL.length = _REMOTE.length = size
    if _readv(tid, _LOCAL_AT, 1, _REMOTE_AT, 1, 0) != size:
        return None
    return bytes(_VIEW[:size])


def read_string(tid: int, address: int, limit: int) -> tuple[bytes, bool] | None:
    """(text up to its NUL, whether it ended within `limit` bytes); None when it cannot be read.

    Reads page by page: a string may end just before an unmapped page.
    """
    if _source is not None:
        return _source.string(address, limit)
    found = b""
    while len(found) < limit:
        size = min(PAGE - address % PAGE, limit - len(found))
        piece = read(tid, address, size)
        if piece is None:
            return (found, False) if found else None
        end = piece.find(0)
        if end >= 0:
            return found + piece[:end], True
        found += piece
        address += size
    return found, False


_MOST_VISITED = 8  # of more, none is kept


class Window:
    """A stretch of memory, for who reads many small things that lie together."""

    __slots__ = ("_data", "_start", "_tid", "_visited")

    def __init__(self, tid: int) -> None:
        self._tid = tid
        self._start, self._data = 0, b""
        self._visited: list[tuple[int, bytes]] = []

    def unchanged(self) -> bool:
        """Whether all stretches that it went to are still as they were."""
        return all(data and read(self._tid, start, len(data)) == data for start, data in self._visited)

    def read(self, address: int, size: int) -> bytes | None:
        """As `memory.read`."""
        at = address - self._start
        if not 0 <= at <= len(self._data) - size:
            self._move(address)
            at = address - self._start
        data = self._data[at : at + size]
        return data if len(data) == size else read(self._tid, address, size)

    def string(self, address: int, limit: int) -> tuple[bytes, bool] | None:
        """As `memory.read_string`."""
        for _attempt in range(2):
            at = address - self._start
            end = self._data.find(0, at, at + limit) if 0 <= at < len(self._data) else -1
            if end >= 0:
                return self._data[at:end], True
            self._move(address)
        return read_string(self._tid, address, limit)

    def _move(self, address: int) -> None:
        """To the page of an address and those behind it, which need not be there."""
        page = address - address % PAGE
        self._start, self._data = page, read(self._tid, page, 16 * PAGE) or read(self._tid, page, PAGE) or b""
        self._visited = [*self._visited, (page, self._data)] if len(self._visited) < _MOST_VISITED else [(0, b"")]


def unpack(tid: int, address: int, layout: struct.Struct) -> tuple[int, ...] | None:
    """One structure at `address`; None for NULL and for memory that cannot be read."""
    data = read(tid, address, layout.size) if address else None
    return None if data is None else layout.unpack(data)


def write(tid: int, address: int, data: bytes) -> bool:
    """Put `data` (at most 256 KiB) at `address`; False when that cannot be written."""
    _VIEW[: len(data)] = data
    _REMOTE.base = address
    _LOCAL.length = _REMOTE.length = len(data)
    return bool(_writev(tid, _LOCAL_AT, 1, _REMOTE_AT, 1, 0) == len(data))
