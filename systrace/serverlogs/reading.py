"""An access log: which kind it is, and those of its lines that may be about requests of the trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field

from systrace.dataclass import dataclass
from systrace.errors import InputError
from systrace.serverlogs import FORMATS, Entry, Format
from systrace.sources.logfile import lines_of
from systrace.words import clean

_HEAD = 50  # lines in which the first one that is known has to come: headers and others' lines stand before it


@dataclass(slots=True)
class ServerLog:
    """What is kept of a log."""

    name: str
    kind: str
    zoned: bool = True  # else its times are off by a zone
    entries: list[Entry] = field(default_factory=list)  # those that were wanted
    lines: int = 0
    unknown: int = 0  # lines of another kind
    first_ns: int | None = None  # the time that it covers
    last_ns: int | None = None

    def covers(self, ns: int) -> bool:
        """Whether a request of that moment would stand in it."""
        return self.first_ns is not None and self.last_ns is not None and self.first_ns <= ns <= self.last_ns


def read(path: str, wanted: Callable[[Entry], bool]) -> ServerLog:
    """Read a log, compressed or not.

    Raises:
        InputError: it cannot be read, or is of no known kind; the message quotes its first line.
    """
    try:
        return _read(path, lines_of(path), wanted)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _read(path: str, lines: Iterable[bytes], wanted: Callable[[Entry], bool]) -> ServerLog:
    found: ServerLog | None = None
    kind: Format | None = None
    first = b""
    for number, line in enumerate(lines, 1):
        text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
        first = first or line
        if kind is None:
            kind = next((each for each in FORMATS.values() if entry_of(each, text, number) is not None), None)
            if kind is None:
                if number >= _HEAD:
                    break
                continue
            found = ServerLog(path, kind.name, kind.zoned)
        assert found is not None
        entry = entry_of(kind, text, number)
        found.lines += 1
        if entry is None:
            found.unknown += 1
            continue
        found.first_ns = entry.start_ns if found.first_ns is None else min(found.first_ns, entry.start_ns)
        found.last_ns = entry.end_ns if found.last_ns is None else max(found.last_ns, entry.end_ns)
        if wanted(entry):
            found.entries.append(entry)
    if found is None:
        known = ", ".join(FORMATS)
        raise InputError(
            f"{path}: no access log that is known ({known}); it begins: {clean(first, 120) or '(nothing)'}"
        )
    return found


def entry_of(kind: Format, text: str, line: int) -> Entry | None:
    """Who can write a log can write anything: an odd number makes a line unknown, and costs no other line."""
    try:
        return kind.entry(text, line)
    except (ValueError, OverflowError):
        return None
