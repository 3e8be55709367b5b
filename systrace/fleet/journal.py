"""The journal of a run: what it has read and is in no part yet, one header line and the rows by table for each recording."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from systrace.fleet.parts import STATE, contents, entry_of, live_parts
from systrace.fleet.tables import TABLES

JOURNAL = ".journal"
_LONGEST_HEAD = 1 << 24
Record = tuple[dict[str, Any], dict[str, bytes]]  # header, rows by table


def records(journal: BinaryIO) -> Iterator[Record]:
    """What is in a journal; what a kill cut off at its end is left out."""
    journal.seek(0)
    left = os.fstat(journal.fileno()).st_size
    while (line := journal.readline(_LONGEST_HEAD)).endswith(b"\n"):
        try:
            head = json.loads(line)
            entry_of(head)
            gone, sizes = head.pop("gone", []), head.pop("sizes")
            if not all(isinstance(sizes[name], int) and 0 <= sizes[name] <= left for name in TABLES if name in sizes):
                return
            if (
                not isinstance(sizes, dict)
                or not isinstance(gone, list)
                or not all(isinstance(key, str) for key in gone)
            ):
                return
            bodies = {name: journal.read(sizes[name]) for name in TABLES if name in sizes}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        if any(len(bodies[name]) < sizes[name] for name in bodies):
            return
        yield head | {"gone": gone}, bodies


def left_behind(folder: Path) -> list[tuple[Path, BinaryIO]]:
    """Journals whose writers are gone, each locked."""
    found: list[tuple[Path, BinaryIO]] = []
    for path, file in _opened(folder, os.O_RDWR):  # NFS wants that for a lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.append((path, file))
        except OSError:
            file.close()
    return found


def cut_off(folder: Path) -> tuple[int, bool]:
    """(how many results are in journals only, whether a run still writes one)."""
    waiting: set[str] = set()
    running = False
    for _path, file in _opened(folder, os.O_RDONLY):
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                running = True
            waiting |= {head["key"] for head, _bodies in records(file)}
    if waiting:  # else the kill came behind the part
        waiting -= contents(folder, live_parts(folder)).known.keys()
    return len(waiting), running


def _opened(folder: Path, flags: int) -> Iterator[tuple[Path, BinaryIO]]:
    for path in sorted((folder / STATE).glob(f"*{JOURNAL}")):
        with contextlib.suppress(OSError):
            file = os.fdopen(os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_nlink:
                yield path, file
            else:
                file.close()
