"""The folder of results. Whatever kills a run, what was read before stands there, and nothing half written counts.

    OUT/state/JOURNAL.journal      what this run has read, appended to as it comes: one header line and the rows, by table
    OUT/TABLE/part-ID.ndjson.gz    the same, table by table, once a run ends or its journal is long
    OUT/state/part-ID.ndjson.gz    what is known: written last; a part of a table counts when its ID is here
    OUT/state/SLOT.lock            held by the run that writes; two shards of one fleet are two slots

A part may stand for others: `replaces` in its first line names them, and they are removed. What a new version of systrace,
or other options, have read again is taken out of the older parts in that way.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from systrace.dataclass import dataclass
from systrace.errors import InputError, UsageError
from systrace.fleet.tables import KEY, TABLES
from systrace.fleet.task import Result
from systrace.outputs import beside, owner

STATE = "state"
SUFFIX = ".ndjson.gz"
JOURNAL = ".journal"
_LEVEL = 4  # of gzip: a third of the time of 9 for 5 % more
_LONG_JOURNAL = 1 << 28  # bytes, then a part is made of it
_MOST_PARTS = 24  # then they are made one
_ROW = len(f'{{"{KEY}":"')  # where the key stands in a row
_LONGEST_HEAD = 1 << 24


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


NOBODY = Entry("", "", "", "", "", {}, "")


class Store:
    """The results of a fleet, open for one run. `known` has everything in it, by key."""

    def __init__(
        self,
        folder: Path,
        edition: str,
        slot: str = "all",
        fetch: Callable[[str], None] | None = None,
        merging: bool = True,
    ) -> None:
        """Open it, or begin it; what a killed run left is taken over.

        Args:
            folder: where it is, or will be.
            edition: by what the results of this run are what they are; those of another are replaced as they are read again.
            slot: one run at a time for each.
            fetch: brings the tables of a part, before they are read, where they are elsewhere.
            merging: whether parts may be replaced: not where others could do the same and no lock tells them.

        Raises:
            UsageError: it is no such folder, is another user's, or another run writes there.
            InputError: what stands there cannot be read.
        """
        self.folder, self.edition, self._fetch, self._merging = folder, edition, fetch, merging
        _prepare(folder)
        self._lock = _locked(folder / STATE / f"{slot}.lock")
        try:
            self._open()
        except BaseException:
            self._lock.close()
            raise

    def _open(self) -> None:
        with _locked(self.folder / STATE / "commit.lock", wait=True):  # another shard may be replacing parts
            self.parts = live_parts(self.folder)
            self._parted = {each.key: each for part in self.parts for each in entries(self.folder, part)}
        self._fresh: dict[str, Entry] = {}  # in journals only
        self.known = dict(self._parted)
        self._left = _left_behind(self.folder)
        descriptor, self._journal = beside(self.folder / STATE / secrets.token_hex(6), JOURNAL)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._out = os.fdopen(descriptor, "wb", buffering=0)
        for journal, _lock in self._left:
            for head, _bodies in _records(journal):
                entry = _entry(head)
                if (
                    self._parted.get(entry.key) or NOBODY
                ).edition != entry.edition:  # else the kill came behind its part
                    self._fresh[entry.key] = self.known[entry.key] = entry
        if self._left:
            self.commit()

    def add(self, result: Result) -> Entry:
        """Keep a result: it is there from now on, whatever happens.

        Raises:
            UsageError: the disk is full.
        """
        fields = {name: getattr(result, name) for name in _KEPT if name != "edition"}
        head = fields | {"edition": self.edition}
        sizes = {name: len(rows) for name, rows in result.tables.items()}
        line = json.dumps(head | {"sizes": sizes}, separators=(",", ":")).encode() + b"\n"
        whole = memoryview(line + b"".join(result.tables.values()))
        try:
            while whole:
                whole = whole[self._out.write(whole) :]
        except OSError as error:
            raise UsageError(f"cannot write {self.folder}: {error.strerror}") from None
        entry = _entry(head)
        self._fresh[entry.key] = self.known[entry.key] = entry
        if self._out.tell() > _LONG_JOURNAL:
            self.commit()
        return entry

    def commit(self) -> None:
        """Make parts of the journals.

        Raises:
            UsageError: the disk is full; the journals stay, and the next run takes them over.
        """
        if self._fresh:
            try:
                with _locked(self.folder / STATE / "commit.lock", wait=True):
                    self._commit()
            except OSError as error:
                raise UsageError(f"cannot write {self.folder}: {error.strerror}") from None
        for path, lock in self._left:
            path.unlink(missing_ok=True)
            lock.close()
        self._left = []
        self._out.seek(0)
        self._out.truncate()

    def _commit(self) -> None:
        """While nobody else does: two that replaced one part would both have its rows."""
        others = live_parts(self.folder)
        for part in set(others) - set(self.parts):
            self._parted |= {each.key: each for each in entries(self.folder, part)}
        stale = {self._parted[key].part for key in self._fresh if key in self._parted}
        replaced = [each for each in others if self._merging and (each in stale or len(others) >= _MOST_PARTS)]
        part = self._part([*(path for path, _lock in self._left), self._journal], replaced)
        self.parts = [each for each in others if each not in replaced] + [part]
        moved = {key: each for key, each in self._parted.items() if each.part in replaced} | self._fresh
        self._parted |= {key: replace(each, part=part) for key, each in moved.items()}
        _remove(self.folder, replaced)
        self._fresh.clear()

    def _part(self, journals: Sequence[Path], replaced: Sequence[str]) -> str:
        """Write one, the fresh rows and what stays of those that it replaces."""
        part = f"{time.time_ns():015x}-{secrets.token_hex(4)}"
        written: set[str] = set()
        state = self.folder / STATE / f"part-{part}{SUFFIX}"
        with _packed(state) as known:
            known.write(json.dumps({"replaces": list(replaced)}).encode() + b"\n")
            with contextlib.ExitStack() as stack:
                outs = {
                    name: stack.enter_context(_packed(self.folder / name / f"part-{part}{SUFFIX}")) for name in TABLES
                }
                for each in replaced:
                    self._copy(each, outs, known)
                for head, bodies in (each for journal in journals for each in _records(journal)):
                    if head["key"] in self._fresh and head["key"] not in written:
                        written.add(head["key"])
                        known.write(json.dumps(head).encode() + b"\n")
                        for name, body in bodies.items():
                            outs[name].write(body)
        return part

    def _copy(self, part: str, outs: Mapping[str, BinaryIO], known: BinaryIO) -> None:
        if self._fetch is not None:
            self._fetch(part)
        for name, out in outs.items():
            path = self.folder / name / f"part-{part}{SUFFIX}"
            if path.exists():
                with gzip.open(path) as rows:
                    out.writelines(row for row in rows if row[_ROW : row.index(b'"', _ROW)].decode() not in self._fresh)
        for entry in entries(self.folder, part):
            if entry.key not in self._fresh:
                fields = {name: getattr(entry, name) for name in _KEPT}
                known.write(json.dumps(fields).encode() + b"\n")

    def close(self) -> None:
        """Give the folder free; an empty journal goes."""
        if not self._out.tell():
            self._journal.unlink(missing_ok=True)
        self._out.close()
        self._lock.close()


_KEPT = ("key", "name", "content", "kind", "edition", "row", "archive")


def _entry(head: Mapping[str, Any], part: str = "") -> Entry:
    return Entry(**{name: head[name] for name in _KEPT}, part=part)


def live_parts(folder: Path) -> list[str]:
    """The parts that count, the oldest first.

    Raises:
        InputError: one cannot be read.
    """
    found: dict[str, list[str]] = {}
    for path in sorted((folder / STATE).glob(f"part-*{SUFFIX}")):
        head = next(_lines(path), {})
        found[path.name.removeprefix("part-").removesuffix(SUFFIX)] = head.get("replaces", [])
    replaced = {each for names in found.values() for each in names}
    return [each for each in found if each not in replaced]


def entries(folder: Path, part: str) -> Iterator[Entry]:
    """What is known by one part.

    Raises:
        InputError: it cannot be read.
    """
    lines = _lines(folder / STATE / f"part-{part}{SUFFIX}")
    next(lines, None)
    try:
        for line in lines:
            yield _entry(line, part)
    except (KeyError, TypeError):
        raise InputError(f"{folder}: its state is not systrace's") from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path) as lines:
            for line in lines:
                yield json.loads(line)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def is_store(folder: Path) -> bool:
    """Whether a folder holds results."""
    return (folder / STATE).is_dir() and all((folder / name).is_dir() for name in TABLES)


def _prepare(folder: Path) -> None:
    try:
        if folder.exists():
            there = folder.stat()
            if not folder.is_dir():
                raise UsageError(f"--into {folder}: it is no folder")
            if there.st_uid != os.geteuid():
                raise UsageError(f"--into {folder}: it belongs to {owner(there.st_uid)}")
            if not (folder / STATE).is_dir() and any(folder.iterdir()):
                raise UsageError(f"--into {folder}: there are other files in it: name a new folder")
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in (STATE, *TABLES):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"--into {folder}: {getattr(error, 'strerror', None) or error}") from None


def _locked(path: Path, wait: bool = False) -> BinaryIO:
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        file.close()
        raise UsageError(f"{path.parent.parent}: another systrace is writing there") from None
    return file


def _left_behind(folder: Path) -> list[tuple[Path, BinaryIO]]:
    """Journals whose writers are gone, each locked."""
    found: list[tuple[Path, BinaryIO]] = []
    for path in sorted((folder / STATE).glob(f"*{JOURNAL}")):
        with contextlib.suppress(OSError):
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), "r+b")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found.append((path, file))
            except OSError:
                file.close()
    return found


def _records(journal: Path) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    """(header, rows by table) of each result; what a kill cut off at the end is left out."""
    with journal.open("rb") as file:
        while (line := file.readline(_LONGEST_HEAD)).endswith(b"\n"):
            try:
                head = json.loads(line)
                sizes = head.pop("sizes")
                bodies = {name: file.read(size) for name, size in sizes.items() if name in TABLES}
                _entry(head)
            except (ValueError, KeyError, TypeError, AttributeError):
                return
            if any(len(bodies[name]) < sizes[name] for name in bodies):
                return
            yield head, bodies


@contextlib.contextmanager
def _packed(path: Path) -> Iterator[BinaryIO]:
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


def _remove(folder: Path, parts: Iterable[str]) -> None:
    """The state last: what it names is looked for there."""
    for part in parts:
        for name in (*TABLES, STATE):
            (folder / name / f"part-{part}{SUFFIX}").unlink(missing_ok=True)
