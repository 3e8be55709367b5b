"""Files by which one step of a job hands data to the next: who wrote what another process read.

Paths are compared as the log prints them: a file that is reached by a symbolic link is not found.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from systrace.dataclass import dataclass
from systrace.model import FileOpened, Process, Renamed
from systrace.rules.case.index import Case, once

_WORDS = 32
_STEPS = 8  # copies and new names between the first writer and the reader


def sources(case: Case, reader: Process) -> list[tuple[Process, int]]:
    """(who wrote a file that this process read, when it was opened for reading), in the order of reading.

    Copies are followed: a process that reads one file and writes another stands before the one that wrote the first.
    """
    found: list[tuple[Process, int]] = []
    for use in reader.files:
        if isinstance(use, FileOpened) and not use.writes:
            at = case.at(use)
            found += [(writer, at) for writer in _writers(case, use.path, at) if writer is not reader]
    if not case.sees_files and reader.start_ns is not None:  # then the files that its command names
        at = reader.start_ns
        for word in reader.argv[1:_WORDS]:
            found += [(writer, at) for writer in _writers(case, word, at) if writer is not reader]
    return found


def only_into_files(process: Process) -> bool:
    """All that it wrote went into files that it opened: nothing to a pipe, or to what a shell gave it."""
    wrote = any(isinstance(use, FileOpened) and use.writes for use in process.files)
    return wrote and all(output.fd == 2 or output.path.startswith("/") for output in process.output)


def _writers(case: Case, path: str, before: int) -> Iterator[Process]:
    """Who wrote it last before that, and whose files that process had read then, back to the first."""
    seen: set[tuple[str, int]] = set()
    todo = [(path, before)]
    while todo and len(seen) < _STEPS:
        path, before = todo.pop(0)
        if (path, before) in seen:
            continue
        seen.add((path, before))
        writings = _writings(case).get(_name(path), [])
        earlier = range(bisect_right(writings, before, key=lambda one: one.at) - 1, -1, -1)
        last = next((writings[at] for at in earlier if _same(writings[at].path, path)), None)
        if last is None:
            continue
        if last.former:
            todo.append((last.former, last.at))
            continue
        yield last.process
        todo += [
            (use.path, case.at(use)) for use in last.process.files if isinstance(use, FileOpened) and not use.writes
        ]


@dataclass(frozen=True, slots=True)
class _Writing:
    at: int
    process: Process
    path: str
    former: str = ""  # the name that the file had before


@once
def _writings(case: Case) -> dict[str, list[_Writing]]:
    """By the last part of the path, in order."""
    found: dict[str, list[_Writing]] = {}
    for process in case.evidence.processes.values():
        for use in process.files:
            if isinstance(use, Renamed):
                found.setdefault(_name(use.new), []).append(_Writing(case.at(use), process, use.new, use.old))
            elif use.writes:
                found.setdefault(_name(use.path), []).append(_Writing(case.at(use), process, use.path))
        for output in process.output:
            if output.path.startswith("/"):  # standard output, which a shell above it has opened
                writing = _Writing(case.at(output.event), process, output.path)
                found.setdefault(_name(output.path), []).append(writing)
    for writings in found.values():
        writings.sort(key=lambda one: one.at)
    return found


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _same(one: str, other: str) -> bool:
    """The same file, as far as the log tells: without `-y` it does not name the folder of a short path."""
    if one.startswith("/") == other.startswith("/"):
        return one == other
    short, whole = (other, one) if one.startswith("/") else (one, other)
    return whole.endswith("/" + short.removeprefix("./"))
