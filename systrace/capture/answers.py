"""What an analyst hands back: in memory, or, where that is much, in a file that has no name."""

from __future__ import annotations

import mmap
from typing import IO, BinaryIO

IN_MEMORY = 8 << 20  # bytes
_AT_ONCE = 1 << 20
Answer = bytes | mmap.mmap
Report = bytes | memoryview


def spool() -> IO[bytes]:
    """To write an answer into."""
    import tempfile

    return tempfile.SpooledTemporaryFile(IN_MEMORY)


def whole(written: IO[bytes]) -> Answer:
    """All of what was written into a spool, which is closed."""
    with written:
        if written.tell() <= IN_MEMORY:
            written.seek(0)
            return written.read()
        return _mapped(written)


def received(pipe: BinaryIO) -> Answer:
    """All of what comes through a pipe.

    Raises:
        OSError: it is much, and there is no room for it.
    """
    first = pipe.read(IN_MEMORY + 1)
    if len(first) <= IN_MEMORY:
        return first
    import shutil
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(first)
        del first
        shutil.copyfileobj(pipe, file, _AT_ONCE)
        return _mapped(file)


def part(answer: memoryview) -> Report:
    """A part of an answer, as bytes where it is little."""
    return bytes(answer) if len(answer) <= IN_MEMORY else answer


def _mapped(file: IO[bytes]) -> mmap.mmap:
    file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
