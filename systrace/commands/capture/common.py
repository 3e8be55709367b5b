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

from systrace.commands.capture.reporting import complain
from systrace.errors import CaptureError, SystraceError, UsageError

if TYPE_CHECKING:
    from systrace.idle_limits import Limit
    from systrace.model import Analysis, Event
    from systrace.reporters.layout import Layout
    from systrace.tracers import Request, Tracer


@dataclass(slots=True)
class Conclusion:
    """What an analyst process hands back."""

    report: bytes
    line: str
    healthy: bool
    failed: bool  # findings of severity error or fatal
    outcome: str = "inconclusive"
    cause: str = "inconclusive"
    peer: str = ""
    complaint: str = ""  # what could not be used

    @classmethod
    def read(cls, answer: bytes) -> Conclusion:
        """From the bytes that `conclude` gave."""
        head, _newline, report = answer.partition(b"\n")
        return cls(report, **json.loads(head))


def watch(lines: Iterator[bytes], see: Callable[[Event], None]) -> None:
    """Show each event as it happens, without the cost of an analysis."""
    from systrace.calls import LOOPS
    from systrace.model import Health, Input, Style
    from systrace.parser import records
    from systrace.parser.syscalls import NOTES, SYSCALLS, wanted_names
    from systrace.tracers.live import PLAIN_FILE, UNSHOWN

    handlers = {**SYSCALLS, **NOTES}
    names = {spelling: name for spelling, name in wanted_names().items() if name not in UNSHOWN}
    for record in records([Input("live", lines)], names, Health(), Style(), True):
        if PLAIN_FILE(record.args) or (record.retval and record.syscall in LOOPS):
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


def conclude(
    name: str,
    lines: Iterator[bytes],
    style: str,
    layout: Layout,
    keys: Path | None = None,
    limits: str | None = None,
) -> bytes:
    """Analyse lines to their end; what `Conclusion.read` reads. `layout` is that of where the report will be shown.

    `keys` is where the job logs its TLS keys while it runs; the first line comes when that is over. `limits` is a file of
    the user's own idle limits.
    """
    from systrace.model import Input
    from systrace.pipeline import analyze, session_keys
    from systrace.reporters.table import one_line

    own, complaint = _own_limits(limits)
    lines = chain([next(lines, b"")], lines)
    keylog = session_keys(keys if keys is not None and keys.is_file() else None)
    analysis = analyze([Input(name, lines, as_is=True)], keylog=keylog, limits=own)
    head = {
        "line": one_line(analysis),
        "healthy": analysis.verdict.outcome == "healthy",
        "failed": any(finding.severity in ("error", "fatal") for finding in analysis.findings),
        "outcome": analysis.verdict.outcome,
        "cause": analysis.verdict.cause,
        "peer": analysis.verdict.peer or "",
        "complaint": complaint,
    }
    return json.dumps(head).encode() + b"\n" + report_of(analysis, style, layout)


def _own_limits(path: str | None) -> tuple[list[Limit], str]:
    """The user's idle limits, and why they can't be used."""
    from systrace.idle_limits import read

    if path is None:
        return [], ""
    if Path(path).exists() and not Path(path).is_file():
        return [], f"{path}: it is no file"  # a pipe would be waited for
    try:
        return read(Path(path), users=True), ""
    except SystraceError as error:
        return [], str(error)


def report_of(analysis: Analysis, style: str, layout: Layout) -> bytes:
    """The report in one of the formats."""
    from systrace.reporters import REPORTERS
    from systrace.reporters.table import render
    from systrace.words import encoded

    if style == "table":
        return encoded(render(analysis, layout))
    out = io.BytesIO()
    REPORTERS[style].write(analysis, out)
    return out.getvalue()


def tracers_for(name: str | None) -> tuple[list[Tracer], list[str]]:
    """The tracers that work here, the one of this name or else strace first, and why those before the first do not.

    Raises:
        UsageError: no tracer of that name.
    """
    from systrace.tracers import TRACERS

    if name is not None and name not in TRACERS:
        raise UsageError(f"there is no tracer {name!r}: choose from {', '.join(TRACERS)}")
    usable: list[Tracer] = []
    reasons: list[str] = []
    for each in sorted(TRACERS, key=lambda each: each != (name or "strace")):
        reason = TRACERS[each].unavailable()
        if reason is None:
            usable.append(TRACERS[each])
        elif not usable:
            reasons.append(reason if reason.startswith(each) else f"{each}: {reason}")
    return usable, reasons


def choose(name: str | None, *, quiet: bool = False) -> Tracer:
    """The tracer of this name, or the first that works here; unless `quiet`, a second choice is said to be one.

    Raises:
        UsageError: no tracer of that name.
        CaptureError: it does not work, or none does; says why.
    """
    from systrace.tracers import TRACERS

    usable, reasons = tracers_for(name)
    if name is not None:
        reason = TRACERS[name].unavailable()
        if reason is not None:
            raise CaptureError(reason if reason.startswith(name) else f"{name}: {reason}")
        return TRACERS[name]
    if not usable:
        raise CaptureError("; ".join(reasons))
    if usable[0].name != "strace" and not quiet:
        complain(f"{'; '.join(reasons)}; the {usable[0].name} tracer takes its place")
    return usable[0]


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
    return facts | {"user": os.getuid(), "cwd": working_directory()} | host_facts(pid)


def working_directory() -> str | None:
    """Where we are; None where that was removed, or may not be looked at."""
    try:
        return os.getcwd()  # noqa: PTH109 (a string)
    except OSError:
        return None


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
