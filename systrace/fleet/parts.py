"""What stands in a folder of results, read with care: whatever else is in it is one clear line.

    OUT/TABLE/part-ID.ndjson.gz    rows
    OUT/state/part-ID.ndjson.gz    what is known of each recording; its first line says what no longer counts

That line has `replaces`, parts that this one stands for, and `gone`, keys whose rows in older parts count no longer. Of a key
that is in several parts the newest counts: two runs on one bucket may have read the same.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, BinaryIO

from systrace.dataclass import dataclass
from systrace.errors import InputError
from systrace.fleet.tables import TABLES, is_value
from systrace.outputs import beside

STATE = "state"
SUFFIX = ".ndjson.gz"
KEPT = ("key", "name", "content", "kind", "edition", "row", "archive")
_LEVEL = 4  # of gzip: a third of the time of 9 for 5 % more
_LONGEST_LINE = 1 << 28  # bytes
_DAMAGE = (OSError, EOFError, ValueError, RecursionError, zlib.error)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a file or recording."""

    key: str
    name: str
    content: str
    kind: str
    edition: str  # version and options by which it was read
    row: Mapping[str, Any]
    archive: str  # the file that it is a member of, or ""
    part: str = ""

    @property
    def file(self) -> str:
        """The file that it is, or is in."""
        return self.archive or self.name


NOBODY = Entry("", "", "", "", "", {}, "")


def entry_of(head: Mapping[str, Any], part: str = "") -> Entry:
    """An entry from its JSON.

    Raises:
        ValueError: it is none of ours.
    """
    fields = {name: head.get(name) for name in KEPT} if isinstance(head, dict) else {}
    row = fields.get("row")
    if not isinstance(row, dict) or not all(isinstance(fields[name], str) for name in KEPT if name != "row"):
        raise ValueError("an entry of another kind")
    for column in TABLES["recordings"].columns:
        if not is_value(row.setdefault(column.name, None), column.type):
            raise ValueError(f"{column.name} is of another type")
    return Entry(**fields, part=part)  # type: ignore[arg-type]


def is_store(folder: Path) -> bool:
    """Whether a folder holds results."""
    return all(os.path.isdir(folder / name) for name in (STATE, *TABLES))  # noqa: PTH112 (False where nobody may look)


def live_parts(folder: Path) -> list[str]:
    """The parts that count, the oldest first.

    Raises:
        InputError: one cannot be read.
    """
    found: dict[str, list[str]] = {}
    for path in sorted((folder / STATE).glob(f"part-*{SUFFIX}")):
        found[path.name.removeprefix("part-").removesuffix(SUFFIX)] = _names(path, "replaces")
    replaced = {each for names in found.values() for each in names}
    return [each for each in found if each not in replaced]


def _names(path: Path, what: str) -> list[str]:
    head: Any = next(_lines(path), {})
    names = head.get(what, []) if isinstance(head, dict) else None
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise InputError(f"{path} is not systrace's")
    return names


def entries(folder: Path, part: str) -> Iterator[Entry]:
    """What is known by one part.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / STATE / f"part-{part}{SUFFIX}"
    lines = _lines(path)
    next(lines, None)
    try:
        for line in lines:
            yield entry_of(line, part)
    except ValueError as error:
        raise InputError(f"{path} is not systrace's: {error}") from None


def _lines(path: Path) -> Iterator[Any]:
    try:
        with regular(path) as file, gzip.open(file) as lines:
            while line := lines.readline(_LONGEST_LINE):
                yield json.loads(line)
    except _DAMAGE as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def regular(path: Path) -> BinaryIO:
    """Open a file that must be one: a pipe in its place would be waited for.

    Raises:
        OSError: it is not there.
        InputError: it is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path} is no file of systrace's")
    return os.fdopen(descriptor, "rb")


def rows_of(folder: Path, table: str, part: str) -> Iterator[bytes]:
    """The rows of a table in one part; none where it has no such file.

    Raises:
        InputError: they cannot be read.
    """
    path = folder / table / f"part-{part}{SUFFIX}"
    try:
        with regular(path) as file, gzip.open(file) as lines:
            yield from lines
    except FileNotFoundError:
        return
    except _DAMAGE as error:
        raise InputError(f"{path} cannot be read: {error}") from None


@dataclass(slots=True)
class Contents:
    """What some parts know."""

    known: dict[str, Entry] = field(default_factory=dict)  # by key
    shadowed: dict[str, set[str]] = field(default_factory=dict)  # by part: the keys whose rows in it do not count

    def add(self, entry: Entry) -> None:
        """It is known by a newer part."""
        self.drop(entry.key)
        self.known[entry.key] = entry

    def drop(self, key: str) -> None:
        """It counts no longer."""
        if (before := self.known.pop(key, None)) is not None:
            self.shadowed.setdefault(before.part, set()).add(key)

    def move(self, parts: Sequence[str], part: str) -> None:
        """What counted in these is in that one now."""
        for each in parts:
            self.shadowed.pop(each, None)
        moved = [each for each in self.known.values() if each.part in parts]
        self.known |= {each.key: replace(each, part=part) for each in moved}


def contents(folder: Path, parts: Iterable[str]) -> Contents:
    """Read the state of parts, the oldest first.

    Raises:
        InputError: one cannot be read.
    """
    whole = Contents()
    for part in parts:
        for key in _names(folder / STATE / f"part-{part}{SUFFIX}", "gone"):
            whole.drop(key)
        for entry in entries(folder, part):
            whole.add(entry)
    return whole


@contextlib.contextmanager
def packed(path: Path) -> Iterator[BinaryIO]:
    """A new file, 0600, which has its name when it is whole and on the disk."""
    descriptor, part = beside(path, ".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as out:
                yield out  # type: ignore[misc]
            file.flush()
            os.fsync(descriptor)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def remove(folder: Path, parts: Iterable[str]) -> None:
    """The state last: what it names is looked for there."""
    for part in parts:
        for name in (*TABLES, STATE):
            (folder / name / f"part-{part}{SUFFIX}").unlink(missing_ok=True)
