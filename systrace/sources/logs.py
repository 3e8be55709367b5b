"""The logs of a command line: which can be read, and which are strace logs at all."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain, islice
from pathlib import Path

from systrace.calls import BLOCKING, either
from systrace.dataclass import dataclass
from systrace.errors import InputError
from systrace.model import Analysis, Input
from systrace.sources.foreign import binary, text

_HEAD = 300  # lines looked at
_QUOTED = 20  # of these, to tell what else it may be
_PEEKED = 1024  # bytes
_PATIENCE = 1 << 24  # bytes behind them in which a recording of ours may begin
_SIGNS = re.compile(
    rb"\)\s*= (?:-?\d|0x[0-9a-f]|\?)|<(?:unfinished|detached) \.\.\.>|<\.\.\. \w+ resumed>"
    rb"|^[^a-z]{0,60}(?:--- SIG|\+\+\+ )"
    rb"|^# systrace: \{|^(?:\S*strace: )?Process \d+ (?:attached|detached)"
    rb"|^[^a-z]{0,60}(?:pid +\d+\] )?[^a-z]{0,40}"  # one call that never returned, and nothing else
    rb"(?:%s)\((?:\d|0x|\[|\{|<|NULL|-1)(?:[^;()]|\([^;()]*\))*$" % either(BLOCKING)
)


@dataclass(slots=True)
class Recording:
    """The inputs of one recording, and how they begin."""

    inputs: list[Input]
    head: list[bytes] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its file, or the first of its `-ff` siblings and their number."""
        more = f" and {len(self.inputs) - 1} more" if len(self.inputs) > 1 else ""
        return self.inputs[0].name + more

    def complaint(self) -> str | None:
        """Why this is no strace log, once it was read; None where it is one, or empty.

        A file with anything in it must show one sign of strace among its first lines.
        """
        if (kind := binary(self._beginning())) is not None:
            return f"{self._called()}: this is no strace log, but {kind}"
        lines = [line.strip() for line in self.head if line.strip()]
        if not lines or any(_SIGNS.search(line) or _is_summary(line) for line in self.head):
            return None
        from systrace.masking.masks import Masks
        from systrace.words import payload

        if (kind := text(self._beginning())) is not None:
            return f"{self._called()}: this is no strace log, but {kind}"
        return f"{self._called()}: this is no strace log; it begins with {payload(Masks().data(lines[0]), 60)}"

    def foreign(self) -> bool:
        """An archive or the like, even if a log is inside."""
        return binary(self._beginning()) is not None

    def peek(self) -> bytes:
        """The first kilobyte or so, before it is read; the lines stay to be read.

        Raises:
            InputError: there is none that can be read.
        """
        first, taken = self.inputs[0], list[bytes]()
        if not self.head:
            lines = iter(first.lines)
            while sum(map(len, taken)) < _PEEKED and (line := next(lines, None)) is not None:
                taken.append(line)
            first.lines = chain(taken, lines)
        return self._beginning()

    def _beginning(self) -> bytes:
        return b"".join(self.head[:_QUOTED])

    def refusal(self, analysis: Analysis) -> str | None:
        """Why what was read is no strace log, nor a recording of ours; None where it is one."""
        complaint = self.complaint()
        return complaint if self.foreign() or not analysis.evidence.source.facts else None

    def nothing_in(self, analysis: Analysis) -> str | None:
        """What to say of a log without a single system call: nothing could be read from it, whatever its report says.

        A recording of systrace's own that goes to its end may hold none: nothing of interest was called, or a process that
        was attached to stood still.
        """
        facts = analysis.evidence.source.facts
        whole = "attached" in facts or ("end" in facts and not facts.get("fault"))
        return None if analysis.evidence.health.records or whole else self.without_calls()

    def without_calls(self) -> str:
        """What to say once it was read and no system call was in it: a monitor must not take that for healthy."""
        if not any(line.strip() for line in self.head):
            return f"{self._called()}: the log is empty"
        return f"{self._called()}: no system call is in this log"

    def _called(self) -> str:
        from systrace.words import safe

        return "standard input" if self.name == "-" else safe(self.name)


def _is_summary(line: bytes) -> bool:
    """The table of `strace -c`, which has no calls."""
    return line.lstrip().startswith((b"% time ", b"------ -----"))


def recordings(paths: Sequence[str]) -> tuple[list[Recording], list[str]]:
    """Open what can be opened: the recordings, and a line about each path that is none."""
    from systrace.sources.logfile import recordings as grouped

    problems = {path: problem for path in paths if (problem := _problem(path)) is not None}
    readable = [path for path in paths if path not in problems]
    found = [recording_of(inputs) for inputs in (grouped(readable) if readable else [])]
    return found, list(problems.values())


def recording_of(inputs: list[Input]) -> Recording:
    """A recording whose head fills while it is read."""
    recording = Recording(inputs)
    for each in inputs:
        each.lines = _tapped(each.lines, recording)
    return recording


def _problem(path: str) -> str | None:
    """Asked before opening, because a fifo can be opened only once."""
    if path == "-":
        return None
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        return _unfinished(path) or f"{path}: {getattr(error, 'strerror', None) or error}"
    if not os.access(path, os.R_OK):
        return f"{path}: Permission denied"
    if stat.S_ISDIR(mode) and not any(each.is_file() for each in Path(path).iterdir()):
        return f"{path}: no files in this directory"
    return None


def _unfinished(path: str) -> str | None:
    """`FILE.gz` that is not there, because `run --save` still writes the plain text that it will be made of."""
    file = Path(path)
    name = re.compile(re.escape(file.name) + r"(?:\.\d{1,20})?\.part")
    try:
        parts = [each for each in file.parent.iterdir() if name.fullmatch(each.name) and each.is_file()]
        part = max(parts, key=lambda each: each.stat().st_mtime, default=None)
    except (OSError, ValueError):
        return None
    if part is None:
        return None
    from systrace.shell import word

    return (
        f"{path} is not there, but {part} is: a recording in work, or one whose systrace was killed: "
        f"systrace parse {word(str(part))}"
    )


def _tapped(lines: Iterable[bytes], recording: Recording) -> Iterator[bytes]:
    """The lines; the first of them go to the recording's head. Those that follow pass no code of ours."""
    source = iter(lines)
    return chain(_first(source, recording), source)


def _first(source: Iterator[bytes], recording: Recording) -> Iterator[bytes]:
    """Those that are looked at.

    Raises:
        InputError: one file, and none of its first lines is of strace, nor of ours for a while: the rest, which may be
            endless, is not read.
    """
    head = recording.head
    for line in islice(source, max(0, _HEAD - len(head))):
        head.append(line[:4096])
        yield line
    if len(head) >= _HEAD and len(recording.inputs) == 1 and (complaint := recording.complaint()) is not None:
        left = _PATIENCE
        for line in source:
            yield line
            if line.startswith(b"# systrace: {"):
                break
            left -= len(line)
            if left < 0:
                raise InputError(complaint)
