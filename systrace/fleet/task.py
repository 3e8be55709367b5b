"""One task: a recording, or all recordings of an archive -> rows. It runs in any process: what it needs is its argument."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from systrace import __version__
from systrace.dataclass import dataclass
from systrace.errors import InputError, MissingExtraError, SystraceError, TransientError
from systrace.fleet.finding import Found, PathPattern, key_of
from systrace.fleet.objects import is_url, opened
from systrace.fleet.tables import KEY, PATHS, TABLES, fitted
from systrace.idle_limits import Limit
from systrace.model import Analysis, Input, Keep
from systrace.pipeline import analyze, session_keys
from systrace.reporters.shapes.plain import encodable, parts
from systrace.sources.archives import MAGIC, TAR, Member, archive, members
from systrace.sources.foreign import binary, text
from systrace.sources.keys import PROMISE, recorded
from systrace.sources.logfile import decoded, siblings
from systrace.sources.logs import Recording, recording_of, recordings
from systrace.words import clean, safe

READ, UNREAD, OTHER = "read", "unread", "other"  # a recording; what should be one and cannot be read; anything else
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str).encode
_SURROGATE = "\\ud"  # how JSON writes half a character
_PACKED = "unpack it first"  # of archives: a recording may be inside
_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True)
class Began:
    """A recording of an archive is going to be read: said before, so that its name is known if the process dies of it."""

    name: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a file, or of a recording in an archive."""

    key: str
    name: str
    content: str
    kind: str
    row: Mapping[str, Any]  # of the table of recordings; of what is no recording, `reason` only
    tables: Mapping[str, bytes] = field(default_factory=dict)  # the rows of each table, one JSON object a line
    archive: str = ""  # the file that it is a member of
    transient: bool = False  # for no fault of the bytes: it is tried again the next time


@dataclass(frozen=True, slots=True)
class Task:
    """What to read, and how."""

    found: Found
    limits: Sequence[Limit] = ()
    redact_names: bool = False
    pattern: str | None = None

    def __call__(self, passed_over: Collection[str] = frozenset()) -> Iterator[Began | Result]:
        """Read it; never raises on what is read.

        Args:
            passed_over: names that are not to be read (again).
        """
        found = self.found
        if found.name in passed_over:
            return
        yield Began(found.name)
        try:
            recording = _opened(found.files)
            is_archive = recording.peek()[MAGIC] == TAR
        except Exception as error:  # noqa: BLE001 (see _unread)
            yield self._unread(found.name, error)
        else:
            if is_archive:
                recording.inputs.clear()  # closes the file
                yield from self._members(passed_over)
            else:
                yield self._result(found.name, recording)

    def _members(self, passed_over: Collection[str]) -> Iterator[Began | Result]:
        found = self.found
        seen: dict[str, int] = {}
        try:
            raw = opened(found.files[0]) if is_url(found.files[0]) else None
            with archive(found.files[0], raw) as inside:
                for member in members(found.name, inside):
                    name = _unique(f"{found.name}:{member.name}"[:_LONGEST_NAME], seen)
                    if name not in passed_over:
                        yield Began(name)
                        yield replace(self._member(name, member), archive=found.name)
        except Exception as error:  # noqa: BLE001 (see _unread)
            yield self._unread(found.name, error)
        else:  # known as a whole the next time
            yield Result(found.key, found.name, found.content, OTHER, {"reason": "a tar archive"})

    def _member(self, name: str, member: Member) -> Result:
        content = self.found.content
        if not member.link_to:
            return self._result(name, recording_of(member.inputs))
        if member.there:
            return Result(key_of(name, content), name, content, OTHER, {"reason": "a hard link in an archive"})
        return self._unread(
            name, InputError(f"{name}: a hard link to {member.link_to}, which was not read: unpack it first")
        )

    def _result(self, name: str, recording: Recording) -> Result:
        try:
            analysis = self._analysis(recording)
            complaint = recording.refusal(analysis) or recording.nothing_in(analysis)
            if complaint is None:
                return self._rows(name, analysis)
            fault: Exception = InputError(complaint)
        except Exception as error:  # noqa: BLE001 (of thousands of logs, one must not end all)
            fault = error
        of_the_bytes = isinstance(fault, InputError) and not isinstance(fault, TransientError)
        kind = _other_kind(recording) if of_the_bytes else None
        if kind is not None:
            content = self.found.content
            return Result(key_of(name, content), name, content, OTHER, {"reason": kind})
        return self._unread(name, fault)

    def _unread(self, name: str, error: Exception) -> Result:
        """What an error says of a log; only that of its bytes is so for ever."""
        if isinstance(error, SystraceError):
            reason = str(error)
        elif isinstance(error, OSError | MemoryError):
            reason = f"{name}: {getattr(error, 'strerror', None) or str(error) or 'out of memory'}"
        else:
            reason = f"{name}: systrace failed on it: {type(error).__name__}: {error}"
        if self.redact_names:
            reason = _anonymous(reason, [name, *self.found.files])
        transient = isinstance(error, TransientError | MissingExtraError | OSError | MemoryError)
        return unread(name, self.found.content, reason, transient=transient, redacted=self.redact_names)

    def _analysis(self, recording: Recording) -> Analysis:
        inputs = recording.inputs
        keys = session_keys(recorded=recorded(inputs)) if PROMISE in recording.peek() else None
        keep = Keep(requests=True, redact_names=self.redact_names)
        return analyze(inputs, keep=keep, keylog=keys, limits=self.limits)

    def _rows(self, name: str, analysis: Analysis) -> Result:
        content = self.found.content
        key, by_path = key_of(name, content), self._by_path(name)
        shapes = dict(parts(analysis)) | {"by_path": by_path}
        whole: dict[str, Any] = {}
        encoded: dict[str, bytes] = {}
        for each in TABLES.values():
            types = {column.name: column.type for column in each.columns}
            rows = []
            for row in each.rows(shapes, analysis):
                if each.name == "recordings":
                    row = {**row, "path": name, "version": __version__}
                    row["start_s"] = row["start_s"] if row["start_s"] is not None else _day(by_path.get("date"))
                if self.redact_names:
                    row = {**row, **dict.fromkeys(PATHS & row.keys())}
                row = {KEY: key, **{name: fitted(value, types[name]) for name, value in row.items() if name in types}}
                whole = row if each.name == "recordings" else whole
                rows.append(_line(row))
            encoded[each.name] = b"".join(rows)
        return Result(key, name, content, READ, encodable(whole), encoded)

    def _by_path(self, name: str) -> dict[str, str]:
        return PathPattern(self.pattern).of(name) if self.pattern is not None and not self.redact_names else {}


def unread(
    name: str, content: str, reason: str, archive: str = "", *, transient: bool = False, redacted: bool = False
) -> Result:
    """What should have been a recording."""
    key = key_of(name, content)
    path = None if redacted else name
    row = encodable({KEY: key, "path": path, "reason": clean(reason, 500), "version": __version__})
    return Result(key, name, content, UNREAD, row, {"recordings": _line(row)}, archive, transient)


def _anonymous(reason: str, names: Sequence[str]) -> str:
    """Without names of files, and without what stands in them."""
    for each in (*names, *map(safe, names)):
        reason = reason.replace(each, "the log")
    return re.sub(r"(systrace failed on it: \w+|a hard link)\b.*|; it begins with.*", r"\1", reason, flags=re.DOTALL)


def _unique(name: str, seen: dict[str, int]) -> str:
    """tar may hold two members of one name, or long ones that begin alike: the second is `NAME#2`."""
    count = seen[name] = seen.get(name, 0) + 1
    return name if count == 1 else _unique(f"{name}#{count}", seen)


def _line(row: Mapping[str, Any]) -> bytes:
    """A row as JSON; what is no text (a file's name) is looked for only where it can be."""
    line = _encode(row)
    return (_encode(encodable(row)) if _SURROGATE in line else line).encode() + b"\n"


def _opened(files: Sequence[str]) -> Recording:
    if is_url(files[0]):
        return recording_of([Input(name, decoded(name, opened(name)), tid) for tid, name in siblings(files)[0]])
    found, complaints = recordings(files)
    if complaints or len(found) != 1:
        raise TransientError(complaints[0] if complaints else f"{files[0]}: more than one recording")
    return found[0]


def _other_kind(recording: Recording) -> str | None:
    """What it is, where it is known to be something else: a page, a picture; None for what nobody knows."""
    head = b"".join(recording.head[:20])
    kind = binary(head) or text(head)
    return None if kind is None or _PACKED in kind else kind


def _day(date: str | None) -> float | None:
    """Midnight UTC of a day in a path: 2026-11-28 or 20261128."""
    try:
        day = datetime.date.fromisoformat(date or "")
    except ValueError:
        return None
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()
