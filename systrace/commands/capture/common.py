"""What `run` and `attach` have in common: which tracer, what is analysed, how the report gets out."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systrace.errors import CaptureError, UsageError

if TYPE_CHECKING:
    from systrace.model import Analysis, Event
    from systrace.reporters.layout import Layout
    from systrace.tracers import Request, Tracer

LONGEST_SECONDS = 2_000_000
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(slots=True)
class Conclusion:
    """What an analyst process hands back."""

    report: bytes
    line: str
    healthy: bool
    failed: bool  # findings of severity error or fatal

    @classmethod
    def read(cls, answer: bytes) -> Conclusion:
        """From the bytes that `conclude` gave."""
        head, _newline, report = answer.partition(b"\n")
        return cls(report, **json.loads(head))


def watch(lines: Iterator[bytes], see: Callable[[Event], None]) -> None:
    """Show each event as it happens, without the cost of an analysis."""
    from systrace.model import Health, Input, Style
    from systrace.parser import records
    from systrace.parser.syscalls import NOTES, SYSCALLS, wanted_names
    from systrace.tracers.live import PLAIN_FILE, UNSHOWN, WAITS

    handlers = {**SYSCALLS, **NOTES}
    names = {spelling: name for spelling, name in wanted_names().items() if name not in UNSHOWN}
    for record in records([Input("live", lines)], names, Health(), Style(), True):
        if PLAIN_FILE(record.args) or (record.retval and record.syscall in WAITS):
            continue
        event = handlers[record.syscall](record)
        if event is not None:
            see(event)


def prepare() -> None:
    """Import what every report needs (decoders are for jobs that use the network)."""
    from systrace import pipeline  # noqa: F401
    from systrace.reporters import table  # noqa: F401
    from systrace.rules import RULES

    len(RULES)


def conclude(name: str, lines: Iterator[bytes], style: str, layout: Layout, keys: Path | None = None) -> bytes:
    """Analyse lines to their end; what `Conclusion.read` reads. `layout` is that of where the report will be shown.

    `keys` is where the job logs its TLS keys while it runs; the first line comes when that is over.
    """
    from systrace.model import Input
    from systrace.pipeline import analyze, session_keys
    from systrace.reporters.table import one_line

    lines = chain([next(lines, b"")], lines)
    keylog = session_keys(keys if keys is not None and keys.is_file() else None)
    analysis = analyze([Input(name, lines)], as_is=True, keylog=keylog)
    head = {
        "line": one_line(analysis),
        "healthy": analysis.verdict.outcome == "healthy",
        "failed": any(finding.severity in ("error", "fatal") for finding in analysis.findings),
    }
    return json.dumps(head).encode() + b"\n" + report_of(analysis, style, layout)


def report_of(analysis: Analysis, style: str, layout: Layout) -> bytes:
    """The report in one of the formats."""
    from systrace.reporters import REPORTERS
    from systrace.reporters.table import render
    from systrace.reporters.text import encoded

    if style == "table":
        return encoded(render(analysis, layout))
    out = io.BytesIO()
    REPORTERS[style].write(analysis, out)
    return out.getvalue()


def choose(name: str | None, *, quiet: bool = False) -> Tracer:
    """The tracer of this name, or the first that works here; unless `quiet`, a second choice is said to be one.

    Raises:
        UsageError: no tracer of that name.
        CaptureError: none works; says why.
    """
    from systrace.tracers import TRACERS

    if name is not None and name not in TRACERS:
        raise UsageError(f"there is no tracer {name!r}: choose from {', '.join(TRACERS)}")
    names = [name] if name is not None else sorted(TRACERS, key=lambda each: each != "strace")
    reasons: list[str] = []
    for each in names:
        reason = TRACERS[each].unavailable()
        if reason is None:
            if reasons and not quiet:
                complain(f"{'; '.join(reasons)}; the {each} tracer takes its place")
            return TRACERS[each]
        reasons.append(reason if reason.startswith(each) else f"{each}: {reason}")
    raise CaptureError("; ".join(reasons))


def wanted_calls() -> frozenset[str]:
    """The system calls that the parser knows: those alone are recorded."""
    from systrace.parser.syscalls import SYSCALLS

    return frozenset(SYSCALLS)


def header(tracer: Tracer, request: Request, *, attach: bool = False, pid: int | None = None) -> dict[str, Any]:
    """The facts for the first line of a recording."""
    from systrace import __version__
    from systrace.kernel.facts import host_facts
    from systrace.tracers import Described

    facts: dict[str, Any] = {"systrace_version": __version__, "tracer": tracer.name}
    if isinstance(tracer, Described):
        facts |= tracer.describe(request, attach=attach)
    return facts | {"user": os.getuid(), "cwd": _directory()} | host_facts(pid)


def _directory() -> str | None:
    """The working directory; None when it was deleted or cannot be reached any more."""
    try:
        return os.getcwd()  # noqa: PTH109 (a string)
    except OSError:
        return None


def size(text: str | None) -> int | None:
    """`64M` -> bytes.

    Raises:
        UsageError: no size.
    """
    if text is None:
        return None
    digits = text.lower().rstrip("b").rstrip("kmg")
    unit = text.lower().rstrip("b")[len(digits) :]
    if not digits.isdecimal() or unit not in UNITS:
        raise UsageError(f"{text!r} is no size: write 500k, 64M or 2G")
    return int(digits) * UNITS[unit]


def check_seconds(option: str, value: float | None) -> None:
    """Only times that poll(2), which counts milliseconds in 31 bits, can wait for.

    Raises:
        UsageError: another one, or no number (nan).
    """
    if value is not None and not 0 < value <= LONGEST_SECONDS:
        raise UsageError(f"{option} {value:g}: at most {LONGEST_SECONDS:,} s ({LONGEST_SECONDS // 86400} days)")


def style_of(name: str) -> str:
    """Check a report format.

    Raises:
        UsageError: unknown.
    """
    if name in ("table", "json"):
        return name  # the job is not to wait for the import of all formats
    from systrace.reporters import REPORTERS

    if name not in REPORTERS:
        raise UsageError(f"there is no report format {name!r}: choose from {', '.join(REPORTERS)}")
    return name


class ReportTo:
    """Where the report goes: standard error or output, or a file, opened early so that a wrong name is noticed."""

    def __init__(self, path: Path | None, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self.is_file = path is not None
        if path is not None:
            try:
                self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror}") from None

    def layout(self) -> Layout:
        """Width and colour of the terminal, if it is one."""
        from systrace.reporters.layout import Layout

        with os.fdopen(self._descriptor, "wb", buffering=0, closefd=False) as stream:
            return Layout.of(stream)

    def write(self, report: bytes) -> None:
        """Write it all; a reader that is gone is no reason to fail."""
        view = memoryview(report)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            return


def complain(text: str) -> None:
    """One line on standard error about the capture, never about the job."""
    from systrace.reporters.text import encoded

    ReportTo(None).write(encoded(f"systrace: {text}\n"))
