"""The folder of results. Whatever kills a run, what was read before stands there, and nothing half written counts.

    OUT/state/JOURNAL.journal      what this run has read, appended to as it comes (`fleet.journal`)
    OUT/TABLE/part-ID.ndjson.gz    the same, table by table, once a run ends or its journal is long (`fleet.parts`)
    OUT/state/part-ID.ndjson.gz    what is known: written last; a part of a table counts when its ID is here
    OUT/state/SLOT.lock            held by the run that writes; two shards of one fleet are two slots

A part may stand for others: `replaces` in its first line names them, and they are removed. What a new version of systrace,
or other options, have read again, and what was read of a log that has changed, is taken out of the older parts in that way.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from systrace.errors import UsageError
from systrace.fleet.journal import JOURNAL, left_behind, records
from systrace.fleet.parts import (
    KEPT,
    NOBODY,
    STATE,
    SUFFIX,
    Entry,
    contents,
    entries,
    live_parts,
    packed,
    remove,
    rows_of,
)
from systrace.fleet.tables import KEY, TABLES
from systrace.fleet.task import Result
from systrace.outputs import beside, owner

_LONG_JOURNAL = 1 << 28  # bytes, then a part is made of it
_MOST_PARTS = 24  # then they are made one
_LARGE = 1 << 23  # bytes of packed rows, some seconds' work
_ROW = len(f'{{"{KEY}":"')  # where the key stands in a row


class Store:
    """The results of a fleet, open for one run. `known` has everything in it, by key."""

    def __init__(
        self,
        folder: Path,
        edition: str,
        slot: str = "all",
        fetch: Callable[[str], bool] | None = None,
        merging: bool = True,
    ) -> None:
        """Open it, or begin it; what a killed run left is taken over.

        Args:
            folder: where it is, or will be.
            edition: by what the results of this run are what they are; those of another are replaced as they are read again.
            slot: one run at a time for each.
            fetch: brings the tables of a part, before they are read, where they are elsewhere; whether they are still there.
            merging: whether parts may be replaced: not where others could do the same and no lock tells them.

        Raises:
            UsageError: it is no such folder, is another user's, or another run writes there.
            InputError: what stands there cannot be read.
        """
        self.folder, self.edition, self._fetch, self._merging = folder, edition, fetch, merging
        _prepare(folder)
        self._files = contextlib.ExitStack()
        self._files.enter_context(_locked(folder / STATE / f"{slot}.lock"))
        with contextlib.ExitStack() as at_fault:
            at_fault.enter_context(self._files)
            self._open()
            at_fault.pop_all()

    def _open(self) -> None:
        self._fresh: dict[str, Entry] = {}  # in journals only
        self._gone: set[str] = set()  # what counts no longer, likewise
        with self._alone():
            self.parts = live_parts(self.folder)
            self._whole = contents(self.folder, self.parts)
            self._left = left_behind(self.folder)
            for _path, journal in self._left:
                self._files.enter_context(journal)
            descriptor, self._journal = beside(self.folder / STATE / secrets.token_hex(6), JOURNAL)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._out = self._files.enter_context(os.fdopen(descriptor, "r+b", buffering=0))
        self.known = dict(self._whole.known)
        for _path, journal in self._left:
            for head, _bodies in records(journal):
                entry = _entry(head)
                # else the kill came behind its part
                if (self._whole.known.get(entry.key) or NOBODY).edition != entry.edition:
                    self._learn(entry, head["gone"])
        if self._left:
            self.commit()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other shard looks at parts and journals, or replaces them."""
        with _locked(self.folder / STATE / "commit.lock", wait=True):
            yield

    def entry(self, result: Result) -> Entry:
        """What would be known by it."""
        return _entry({name: getattr(result, name) for name in KEPT if name != "edition"} | {"edition": self.edition})

    def add(self, result: Result, instead_of: Iterable[Entry] = ()) -> Entry:
        """Keep a result: it is there from now on, whatever happens.

        Args:
            result: what was read.
            instead_of: what was known before of the same file, and counts no longer.

        Raises:
            UsageError: the disk is full.
        """
        entry = self.entry(result)
        gone = [each.key for each in instead_of if each.key != entry.key and self.known.get(each.key) is each]
        sizes = {name: len(rows) for name, rows in result.tables.items()}
        line = json.dumps(_head(entry) | {"gone": gone, "sizes": sizes}, separators=(",", ":")).encode() + b"\n"
        whole = memoryview(line + b"".join(result.tables.values()))
        try:
            while whole:
                whole = whole[self._out.write(whole) :]
        except OSError as error:
            raise UsageError(f"cannot write {self.folder}: {error.strerror}") from None
        self._learn(entry, gone)
        if self._out.tell() > _LONG_JOURNAL:
            self.commit()
        return entry

    def _learn(self, entry: Entry, gone: Iterable[str]) -> None:
        for key in gone:
            self._fresh.pop(key, None)
            self.known.pop(key, None)
            self._gone.add(key)
        self._gone.discard(entry.key)
        self._fresh[entry.key] = self.known[entry.key] = entry

    def commit(self) -> None:
        """Make parts of the journals.

        Raises:
            UsageError: the disk is full; the journals stay, and the next run takes them over.
            InputError: a part that is to be replaced cannot be read; likewise.
        """
        try:
            with self._alone():
                if self._fresh:
                    self._commit()
                for path, _journal in self._left:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write {self.folder}: {error.strerror}") from None
        for _path, journal in self._left:
            journal.close()
        self._left = []
        self._out.seek(0)
        self._out.truncate()

    def _commit(self) -> None:
        """While nobody else does: two that replaced one part would both have its rows."""
        parts = live_parts(self.folder)
        if parts != self.parts:  # another shard was here
            self._whole = contents(self.folder, parts)
        whole, fresh = self._whole, _new_part()
        for key in self._gone:
            whole.drop(key)
        for entry in self._fresh.values():
            whole.add(replace(entry, part=fresh))
        full = len(parts) >= _MOST_PARTS
        old = [each for each in parts if self._merging and (full or whole.shadowed.get(each)) and self._is_here(each)]
        if self._size(old) <= _LARGE:
            self._write(fresh, old, parts)
            rest = fresh
        else:  # a log that grows would else have all of them written anew by each run
            self._write(fresh, (), parts)
            self._write(rest := _new_part(), old, parts, fresh=False)
        whole.move(old, rest)
        self.parts = [*(each for each in parts if each not in old), *sorted({fresh, rest})]
        remove(self.folder, old)
        self._fresh.clear()
        self._gone.clear()

    def _is_here(self, part: str) -> bool:
        return self._fetch is None or self._fetch(part)

    def _size(self, parts: Iterable[str]) -> int:
        paths = (_file(self.folder, name, part) for part in parts for name in TABLES)
        return sum(path.stat().st_size for path in paths if path.exists())

    def _write(self, part: str, old: Collection[str], parts: Collection[str], fresh: bool = True) -> None:
        """Write one: what stays of those that it replaces, and the fresh rows."""
        whole = self._whole
        stay = [each for each in parts if each not in old]
        gone = [key for each in stay for key in whole.shadowed.get(each, ()) if key not in whole.known]
        with packed(_file(self.folder, STATE, part)) as known, contextlib.ExitStack() as stack:
            known.write(json.dumps({"replaces": list(old), "gone": gone}).encode() + b"\n")
            outs = {name: stack.enter_context(packed(_file(self.folder, name, part))) for name in TABLES}
            for each in old:
                self._copy(each, whole.shadowed.get(each, ()), outs, known)
            if fresh:
                self._pour(outs, known)

    def _pour(self, outs: Mapping[str, BinaryIO], known: BinaryIO) -> None:
        """The journals' rows."""
        written: set[str] = set()
        with self._journal.open("rb") as own:
            for journal in (*(journal for _path, journal in self._left), own):
                for head, bodies in records(journal):
                    if head["key"] in self._fresh and head["key"] not in written:
                        written.add(head["key"])
                        known.write(json.dumps(_head(_entry(head))).encode() + b"\n")
                        for name, body in bodies.items():
                            outs[name].write(body)

    def _copy(self, part: str, shadowed: Collection[str], outs: Mapping[str, BinaryIO], known: BinaryIO) -> None:
        for name, out in outs.items():
            rows = rows_of(self.folder, name, part)
            out.writelines(
                row for row in rows if row[_ROW : row.find(b'"', _ROW)].decode("utf-8", "replace") not in shadowed
            )
        for entry in entries(self.folder, part):
            if entry.key not in shadowed:
                known.write(json.dumps(_head(entry)).encode() + b"\n")

    def close(self) -> None:
        """Give the folder free; an empty journal goes."""
        if not os.fstat(self._out.fileno()).st_size:
            self._journal.unlink(missing_ok=True)
        self._files.close()


def _new_part() -> str:
    return f"{time.time_ns():015x}-{secrets.token_hex(4)}"


def _head(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in KEPT}


def _entry(head: Mapping[str, Any]) -> Entry:
    return Entry(**{name: head[name] for name in KEPT})


def _file(folder: Path, name: str, part: str) -> Path:
    return folder / name / f"part-{part}{SUFFIX}"


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
