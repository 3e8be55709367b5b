"""What an analyst hands back: in memory, or, where that is much, in a file that has no name."""

from __future__ import annotations

import io
import mmap
import tempfile
from typing import Any, BinaryIO

IN_MEMORY = 8 << 20  # bytes
_AT_ONCE = 1 << 20
Answer = bytes | mmap.mmap
Report = bytes | memoryview


class Spool(io.RawIOBase):
    """An answer that is being written. Much of it goes to a file; where the disk has no room, to memory after all."""

    def __init__(self) -> None:
        self._memory: io.BytesIO | None = io.BytesIO()
        self._file: io.FileIO | None = None
        self._size = 0
        self._full = False  # so is the disk

    def writable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Bytes so far."""
        return self._size

    def write(self, data: Any, /) -> int:
        """All of it."""
        size = memoryview(data).nbytes
        if self._memory is not None and self._size + size > IN_MEMORY and not self._full:
            self._to_file()
        try:
            self._put(data)
        except OSError:
            self._to_memory()
            self._put(data)
        self._size += size
        return size

    def whole(self) -> Answer:
        """All that was written."""
        if self._memory is not None:
            return self._memory.getvalue()
        assert self._file is not None
        with self._file as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _put(self, data: Any) -> None:
        if self._memory is not None:
            self._memory.write(data)
            return
        assert self._file is not None
        view = memoryview(data).cast("B")
        while view:
            view = view[self._file.write(view) or 0 :]

    def _to_file(self) -> None:
        memory, self._memory = self._memory, None
        assert memory is not None
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (`whole` closes it)
            self._put(memory.getbuffer())
        except OSError:
            self._memory, self._full = memory, True

    def _to_memory(self) -> None:
        """Of the file the bytes that were written whole."""
        assert self._file is not None
        self._memory, self._full = io.BytesIO(), True
        with self._file as file:
            file.seek(0)
            self._memory.write(file.read(self._size))


def received(pipe: BinaryIO) -> Answer:
    """All of what comes through a pipe."""
    spool = Spool()
    while piece := pipe.read(_AT_ONCE):
        spool.write(piece)
    return spool.whole()


def part(answer: memoryview) -> Report:
    """A part of an answer, as bytes where it is little."""
    return bytes(answer) if len(answer) <= IN_MEMORY else answer
