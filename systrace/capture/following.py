"""Reading a recording while it grows. The reader is behind a file, so it may be as slow as it likes: it delays nobody."""

from __future__ import annotations

import io
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

from systrace.capture.spare import Spare

BLOCK = 1 << 20
IDLE_MS = (5, 200)  # between two looks at a file that doesn't grow: at first, at last
SHARE = 0.05  # of a processor for reading in passing: a job on all processors loses no more than that
SPARE_SHARE = 0.5  # where SPARE processors have nothing else to do: mostly as fast as strace writes
SPARE = 1.0  # a whole one: job and tracer take turns on the others, and each may be about to be woken on another one
SIP = 1 << 15  # bytes read in passing at once: some milliseconds of analysis
LOOK_MS = 250
HELD_BACK = 1 << 16


def follow(path: Path, ended: int) -> Iterator[bytes]:
    """The lines of a growing file, without newlines, as soon as they are there.

    Waits for more until the descriptor `ended` is readable, then gives what is left. The file is opened at once, as by
    the other two: it may be renamed or removed afterwards.
    """
    return _follow(path.open("rb", buffering=0), ended, [])


def at_end(path: Path, ended: int) -> Iterator[bytes]:
    """The same lines, but not one before `ended`."""
    return _at_end(path.open("rb", buffering=0), ended)


def in_passing(path: Path, ended: int) -> Iterator[bytes]:
    """The same lines; before `ended` only as fast as costs whoever asks for them `SHARE` of a processor.

    What a job records in hours is then read when it ends, and one that fills the file faster than it can be read is
    hardly disturbed; where `SPARE` processors have nothing else to do, `SPARE_SHARE` is taken. The last `HELD_BACK` bytes
    are left until `ended`: a full disk takes some of them back (`spool`).
    """
    return _in_passing(path.open("rb", buffering=0), ended)


def _at_end(file: io.FileIO, ended: int) -> Iterator[bytes]:
    _over(ended, None)
    yield from _follow(file, ended, [])


def _in_passing(file: io.FileIO, ended: int) -> Iterator[bytes]:
    rest: list[bytes] = []
    pause_ms = float(LOOK_MS)
    spare = Spare()
    with file:
        while not _over(ended, pause_ms):
            pause_ms = LOOK_MS
            if os.fstat(file.fileno()).st_size - file.tell() < HELD_BACK + SIP:
                continue
            before = time.process_time()
            yield from _whole_lines(file.read(SIP), rest)
            share = SPARE_SHARE if spare.processors() >= SPARE else SHARE
            pause_ms = (time.process_time() - before) * 1000 * (1 / share - 1)
        yield from _follow(file, ended, rest)


def _over(ended: int, milliseconds: float | None) -> bool:
    """Wait for the end, at most that long."""
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    return bool(poll.poll(milliseconds))


def _whole_lines(block: bytes, rest: list[bytes]) -> list[bytes]:
    """The lines that `block` completes; what is left of it goes to `rest`."""
    head, newline, tail = block.rpartition(b"\n")
    lines: list[bytes] = []
    if newline:
        lines = b"".join((*rest, head)).split(b"\n")
        rest.clear()
    rest.append(tail)
    return lines


def _follow(file: io.FileIO, ended: int, rest: list[bytes]) -> Iterator[bytes]:
    idle = IDLE_MS[0]
    over = False
    with file:
        while True:
            block = file.read(BLOCK)
            if block:
                idle = IDLE_MS[0]
                yield from _whole_lines(block, rest)
            elif over:
                break
            elif _over(ended, idle):
                over = True
            else:
                idle = min(idle * 2, IDLE_MS[1])
    if any(rest):
        yield b"".join(rest)
