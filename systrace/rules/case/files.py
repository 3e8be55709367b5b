"""Files by which one step of a job hands data to the next: who wrote what another process read.

Paths are compared as the log prints them; without `-y` those of different folders look alike, and one that a program
reached by another name (a symbolic link, chdir(2) without `-y`) is not found.
"""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import FileOpened, Process, Renamed
from systrace.rules.case.index import Case, once

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
    return found


def _writers(case: Case, path: str, before: int) -> Iterator[Process]:
    """Who wrote it last before that, and whose files that process had read then, back to the first."""
    seen: set[tuple[str, int]] = set()
    todo = [(path, before)]
    while todo and len(seen) < _STEPS:
        path, before = todo.pop(0)
        if (path, before) in seen:
            continue
        seen.add((path, before))
        writings = _writings(case).get(path, [])
        last = max((one for one in writings if one[0] <= before), key=lambda one: one[0], default=None)
        if last is None:
            continue
        at, writer, former = last
        if former is not None:
            todo.append((former, at))
            continue
        yield writer
        todo += [(use.path, case.at(use)) for use in writer.files if isinstance(use, FileOpened) and not use.writes]


@once
def _writings(case: Case) -> dict[str, list[tuple[int, Process, str | None]]]:
    """Path -> (when, by whom, the name that the file had before)."""
    found: dict[str, list[tuple[int, Process, str | None]]] = {}
    for process in case.evidence.processes.values():
        for use in process.files:
            if isinstance(use, Renamed):
                found.setdefault(use.new, []).append((case.at(use), process, use.old))
            elif use.writes:
                found.setdefault(use.path, []).append((case.at(use), process, None))
        for output in process.output:
            if output.path.startswith("/"):  # standard output, which a shell above it has opened
                found.setdefault(output.path, []).append((case.at(output.event), process, None))
    return found
