"""A recording is analysed while it grows: what is seen, and what is concluded at its end."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from systrace.capture.answers import Answer, Report, Spool, part
from systrace.capture.telling import verdict_of
from systrace.dataclass import dataclass
from systrace.errors import SystraceError

if TYPE_CHECKING:
    from systrace.idle_limits import Limit
    from systrace.model import Analysis, Event, Keep
    from systrace.observations import Observation
    from systrace.reporters.layout import Layout


_CHECK_S = 30.0


@dataclass(slots=True)
class Conclusion:
    """What an analyst process hands back."""

    report: Report
    line: str  # the whole report of a healthy job for people; "" where a program reads
    healthy: bool
    failed: bool  # findings of severity error or fatal
    outcome: str = "inconclusive"
    cause: str = "inconclusive"
    peer: str = ""
    complaint: str = ""  # what could not be used
    more: tuple[Report, ...] = ()  # further reports
    facts: tuple[str, ...] = ()  # lines for the recording: what was learned after the job
    told: dict[str, Any] = field(default_factory=dict)  # what monitoring is told: fields of `telemetry.JobRun`
    sent: tuple[Report, ...] = ()  # and reports that go there

    @classmethod
    def read(cls, answer: Answer) -> Conclusion:
        """From what `conclude` gave: the reports, and a last line of what else is to be known."""
        view, end = memoryview(answer), answer.rfind(b"\n")
        facts = json.loads(bytes(view[end + 1 :]))
        begin, found = 0, []
        for size in facts.pop("sizes"):
            found.append(part(view[begin : begin + size]))
            begin += size
        shown = len(found) - facts.pop("sent", 0)
        facts["facts"] = tuple(facts.get("facts", ()))
        return cls(found[0], **facts, more=tuple(found[1:shown]), sent=tuple(found[shown:]))


def watch(lines: Iterator[bytes], see: Callable[[Event], None]) -> None:
    """Show each event as it happens, without the cost of an analysis."""
    from systrace.calls import LOOPS
    from systrace.capture.live import PLAIN_FILE, UNSHOWN
    from systrace.model import Health, Input, Style
    from systrace.parser import records
    from systrace.parser.syscalls import NOTES, SYSCALLS, wanted_names

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
    from systrace.reporters import REPORTERS
    from systrace.rules import RULES

    len(RULES), len(REPORTERS)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants of an analysis."""

    style: str  # format of the report
    layout: Layout  # of where it will be shown
    more: Sequence[tuple[str, Layout]] = ()  # formats of further reports
    keep: Keep | None = None  # whether secrets and names are shown
    limits: str | None = None  # a file of the user's own idle limits
    keys: Path | None = None  # where the job logs its TLS keys while it runs: the first line comes when that is over
    check: bool = False  # the network is asked about the accused peer at once
    sent: Sequence[str] = ()  # formats of what monitoring gets: that is masked even where the user sees all


def conclude(name: str, lines: Iterator[bytes], wishes: Wishes) -> Answer:
    """Analyse lines to their end; what `Conclusion.read` reads."""
    from systrace.model import Input, Keep
    from systrace.pipeline import analyze, session_keys
    from systrace.reporters import REPORTERS, kept, write_whole
    from systrace.reporters.formats.table import one_line
    from systrace.reporters.layout import PAGE

    every = [(wishes.style, wishes.layout), *wishes.more]
    keep = kept((REPORTERS[name] for name in [*(name for name, _layout in every), *wishes.sent]), wishes.keep or Keep())
    own, complaint = _own_limits(wishes.limits)
    lines = chain([next(lines, b"")], lines)
    keylog = session_keys(wishes.keys if wishes.keys is not None and wishes.keys.is_file() else None)
    analysis = analyze([Input(name, lines, as_is=True)], keep=keep, keylog=keylog, limits=own)
    analysis, learned = _checked(analysis, own) if wishes.check else (analysis, [])
    line = one_line(analysis) if REPORTERS[wishes.style].for_people else ""
    written = Spool()

    def size(style: str, layout: Layout) -> int:
        begin = written.tell()
        write_whole(REPORTERS[style], analysis, cast(BinaryIO, written), layout)
        return written.tell() - begin

    sizes = [size(*each) for each in every]
    if keep.secrets:
        _mask(analysis)
    sizes += [size(each, PAGE) for each in wishes.sent]
    facts = {
        "line": line,
        "healthy": analysis.verdict.outcome == "healthy",
        "failed": any(finding.severity in ("error", "fatal") for finding in analysis.findings),
        "outcome": analysis.verdict.outcome,
        "cause": analysis.verdict.cause,
        "peer": analysis.verdict.peer or "",
        "complaint": complaint,
        "sizes": sizes,
        "facts": [each.line.decode("ascii") for each in learned],
        "sent": len(wishes.sent),
        "told": verdict_of(analysis),
    }
    written.write(b"\n" + json.dumps(facts).encode())
    return written.whole()


def _mask(analysis: Analysis) -> None:
    from systrace.masking.masks import Masks
    from systrace.masking.report import mask_analysis

    mask_analysis(analysis, Masks())


def _checked(analysis: Analysis, limits: Sequence[Limit]) -> tuple[Analysis, list[Observation]]:
    """While the fault is there: what the network says of the peer that is accused; and the verdict with that."""
    from systrace import probes
    from systrace.pipeline import with_observations
    from systrace.probes.accused import accused

    targets = accused(analysis)
    if not targets:
        return analysis, []
    found = probes.run(targets, deadline_s=_CHECK_S)
    return with_observations(analysis, found, limits), found


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
    from systrace.reporters import REPORTERS, write_whole

    out = io.BytesIO()
    write_whole(REPORTERS[style], analysis, out, layout)
    return out.getvalue()
