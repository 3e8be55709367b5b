"""The report for people: the answer, its proof, what to run and change; the sockets; how well the log was read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import BinaryIO

from systrace.model import Analysis, Finding, Line, Process, Step
from systrace.reporters import Reporter, reporter
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.views.answer import SURE, Page, failed_process, headline_lines, last_words, log_of, named
from systrace.reporters.views.course import course_lines, tells_more
from systrace.reporters.views.request_table import requests_table
from systrace.reporters.views.socket_table import socket_table
from systrace.reporters.views.timers import timer_lines
from systrace.reporters.words.clock import Clock
from systrace.words import columns, cut_middle, duration, encoded, safe, size, wrap

_MORE_FINDINGS = 3  # beside the verdict's own
_NOTED = ("fatal", "error", "warning")
_FEW = 3  # likely causes, checks, changes
_TEXT = 240  # columns of one piece of proof
_RAW = 600  # ... of one that is a call: half of it for addresses and flags
_NARROW = 60  # columns below which continued lines are not set under their text


@reporter
class TableReport(Reporter):
    """`--format table`."""

    name = "table"
    suffixes = (".txt",)
    for_people = True

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write the report, and the requests below it where they are wanted."""
        text = render(analysis, layout)
        if layout.requests:
            text += "\n".join(["", *requests_table(analysis, layout), ""])
        out.write(encoded(text))


def render(analysis: Analysis, layout: Layout) -> str:
    """The whole report as text."""
    verdict, findings = analysis.verdict, analysis.findings
    blocks = [headline_lines(analysis, layout)]
    page = Page(analysis, Clock.of(analysis.evidence.source, layout.utc), log_of(analysis, layout))
    first = verdict.finding if verdict.finding is not None and verdict.finding < len(findings) else None
    if first is None and verdict.outcome in ("failed", "inconclusive"):
        blocks.append(_last_words(failed_process(analysis), "", page, layout))
    if first is not None:
        blocks.append(_finding(findings[first], layout, verdict.headline, main=True, page=page))
        if layout.everything or tells_more(analysis):
            blocks.append(course_lines(analysis, layout))
    others = [finding for at, finding in enumerate(findings) if at != first]
    shown = others if layout.everything else [f for f in others if f.severity in _NOTED][:_MORE_FINDINGS]
    blocks += [_finding(finding, layout, "", main=layout.everything, page=page) for finding in shown]
    if len(others) > len(shown):
        hidden = len(others) - len(shown)
        lead = "and " if first is not None else ""
        blocks.append([f"{lead}{hidden} {'more ' if lead else ''}note{'s' if hidden > 1 else ''}: --all"])
    blocks.append(socket_table(analysis, layout) + _foot(analysis, layout) + _more(analysis, page, first, layout))
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def one_line(analysis: Analysis) -> str:
    """The report of a run in which all is well."""
    sockets = [s for s in analysis.evidence.sockets.values() if s.kind == "socket" and s.is_network]
    connected = [s for s in sockets if any(a.outcome == "connected" for a in s.attempts) and s.type == "stream"]
    gone = analysis.evidence.forgotten
    moved = f"{size(gone.sent + sum(s.sent.original_len for s in sockets))} out, "
    moved += f"{size(gone.received + sum(s.received.original_len for s in sockets))} in"
    made = gone.made + len(connected)
    count = f"{made} connection{'' if made == 1 else 's'}, {moved}" if sockets else "no network use"
    return f"systrace: {safe(analysis.verdict.headline).rstrip('.')} ({count})"


def _finding(finding: Finding, layout: Layout, headline: str, main: bool, page: Page) -> list[str]:
    """A block; findings beside the main one lose the length of their lists, not their sense."""
    many = 99 if layout.everything else 8 if main else 3
    few = 99 if layout.everything else _FEW
    again = page.again(finding)
    lines = [] if headline else _title(finding, layout, _places(finding) if again else "")
    if headline and finding.summary.rstrip(".") not in headline:
        lines += wrap(finding.summary, layout.width)
    if not again or layout.everything:
        lines += _evidence(finding.lines, layout, many, page)
    if main:
        process = page.analysis.evidence.processes.get(finding.pid or -1)
        quoted = any(line.direction == "said" for line in finding.lines)
        lines += [] if quoted else _last_words(process, " ".join(line.raw for line in finding.lines), page, layout)
    lines += _list("Most likely", page.new(finding.causes), layout, few)
    steps = page.new([page.dated(step, finding) for step in finding.next_steps])
    lines += _commands(steps, layout, few, page.log)
    lines += timer_lines(page.analysis, layout) if main and headline else []
    lines += _list("Change", page.new(finding.remedy), layout, few)
    if finding.refuted_by and main:
        lines += wrap(page.dated(Step(why=finding.refuted_by), finding).why, layout.width, "Wrong if: ", "  ")
    return lines


def _places(finding: Finding) -> str:
    """The lines that prove what needs no proof in full."""
    numbers = sorted({line.line for line in finding.lines})
    shown = ", ".join(map(str, numbers[:_FEW])) + (", ..." if len(numbers) > _FEW else "")
    return f"line{'' if len(numbers) == 1 else 's'} {shown}" if numbers else ""


def _title(finding: Finding, layout: Layout, places: str = "") -> list[str]:
    kind = f"{finding.cause}/{finding.variant}" if finding.variant else finding.cause
    lead = {"fatal": "Also", "error": "Also", "warning": "Note"}.get(finding.severity, "Note")
    times = f" ({finding.count} times)" if finding.count > 1 else ""
    sure = SURE.get(finding.confidence, finding.confidence)
    colour = {"fatal": "red", "error": "red", "warning": "yellow"}.get(finding.severity, "bold")
    about = "; ".join(each for each in (kind, sure, places) if each)
    text = f"{finding.summary}{times} [{about}]"
    return [layout.paint(line, colour) for line in wrap(text, layout.width, f"{lead}: ", "  ")]


def _evidence(lines: Sequence[Line], layout: Layout, many: int, page: Page) -> list[str]:
    """A story with clock times; the lines that prove it at the right, their file named once."""
    if not lines:
        return []
    files = {line.file for line in lines if not line.file.startswith("/proc/")}
    one = next(iter(files)) if len(files) == 1 else ""
    out = [f"Proof ({safe(PurePath(one).name or one)}, line at the right)" if one else "Proof"]
    moments = [page.clock.moment(line.time_ns) for line in lines[:many]]
    stamps, before = max(map(len, moments)), ""
    for moment, line in zip(moments, lines, strict=False):
        who = f"{line.who} " if line.who and line.who != before and line.told and not layout.raw else ""
        before = line.who or before
        text = f"{who}{line.raw.strip() if layout.raw else line.text.strip()}"
        place = str(line.line) if one and line.file == one else _place(line)
        out += _row(f"  {moment:<{stamps}}  " if stamps else "  ", text, safe(place), layout)
    if len(lines) > many:
        out.append(f"  and {len(lines) - many} more: --all")
    return out


def _row(lead: str, text: str, place: str, layout: Layout) -> list[str]:
    """Text within its columns, and the place at the right of its last line; below it where there is no room."""
    indent = " " * min(len(lead), 4 if layout.width < _NARROW else 99)
    most = _RAW if layout.raw else _TEXT
    wrapped = wrap(text if columns(text) <= most else cut_middle(text, most), layout.width, lead, indent)
    lines = [part for line in wrapped for part in _folded(line, layout.width, indent)]
    room = layout.width - columns(lines[-1]) - columns(place)
    if room >= 2:
        lines[-1] += " " * room + place
    else:
        lines.append(" " * max(2, layout.width - columns(place)) + place)
    return lines


def _folded(line: str, width: int, indent: str) -> list[str]:
    """A line that is one long word, such as a payload, in pieces of the width."""
    pieces = []
    while columns(line) > width:
        end = next(at for at in range(min(width, len(line)), 0, -1) if columns(line[:at]) <= width)
        pieces.append(line[:end])
        line = indent + line[end:]
    return [*pieces, line]


def _last_words(process: Process | None, quoted: str, page: Page, layout: Layout) -> list[str]:
    words = last_words(page.analysis, process, quoted)
    return wrap(words, layout.width, "Its last words: ", "  ") if words else []


def _place(line: Line) -> str:
    """`job.strace:4131`; of the kernel's files all, as their last word alone says little."""
    if line.file.startswith("/proc/"):
        return safe(line.file)
    return f"{safe(PurePath(line.file).name or line.file)}:{line.line}"


def _list(title: str, items: Sequence[str], layout: Layout, many: int) -> list[str]:
    if not items:
        return []
    if len(items) == 1:
        return wrap(items[0], layout.width, f"{title}: ", "  ")
    out = [title]
    for item in items[:many]:
        out += wrap(item, layout.width, "  - ", "    ")
    if len(items) > many:
        out.append(f"  and {len(items) - many} more: --all")
    return out


def _commands(steps: Sequence[Step], layout: Layout, many: int, log: str) -> list[str]:
    """Commands are not broken: they are there to be copied. What they are for stands behind or above them."""
    out = ["Check"] if steps else []
    for step in steps[:many]:
        why, command = step.why, safe(named(step, log).command)
        mark = "  # " if command and why else ""
        if command and columns(f"  {command}{mark}{safe(why)}") <= layout.width:
            out.append(f"  {layout.paint(command, 'bold')}{mark}{safe(why)}")
            continue
        if why:
            out += wrap(why, layout.width, "  # ", "  # ")
        if command:
            out.append(layout.paint(f"  {command}", "bold"))
    if len(steps) > many:
        out.append(f"  # and {len(steps) - many} more: --all")
    return out


def _more(analysis: Analysis, page: Page, first: int | None, layout: Layout) -> list[str]:
    """Where to look on: the recording, the conversation, the page of the cause."""
    looks = []
    if first is not None and page.log != "LOG" and analysis.findings[first].socket:
        looks.append(f"systrace follow {page.log} --socket {safe(analysis.findings[first].socket or '')}")
    if first is not None and page.log != "LOG" and _is_remote(analysis, first):
        looks.append(f"systrace check {page.log}")
    if first is not None:
        looks.append(f"systrace explain {safe(analysis.findings[first].cause)}")
    lost = "Not saved: add --save FILE to keep the recording." if layout.saved_as == "" and first is not None else ""
    text = f"More: {', '.join(looks)}" if looks else ""
    return [line for each in (text, lost) if each for line in wrap(each, layout.width, "", "  ")]


def _is_remote(analysis: Analysis, first: int) -> bool:
    """Whether the network can be asked about whom the verdict accuses."""
    socket = analysis.evidence.sockets.get(analysis.findings[first].socket or "")
    return socket is not None and socket.is_network and socket.role != "listener"


def _foot(analysis: Analysis, layout: Layout) -> list[str]:
    evidence = analysis.evidence
    health, source = evidence.health, evidence.source
    lines, calls = ("" if count == 1 else "s" for count in (health.lines, health.records))
    if evidence.looks and not health.records and "attached" not in source.facts:
        return wrap("One look at the kernel's tables: nothing was stopped, no call was traced.", layout.width)
    words = [f"Read {health.lines} line{lines}, {health.records} call{calls}"]
    if source.first_ns is not None and source.last_ns is not None:
        words[0] += f" over {duration(source.last_ns - source.first_ns)}"
    if health.unparsed:
        words.append(f"{health.unparsed} line{'' if health.unparsed == 1 else 's'} not understood")
    elif health.records:
        words.append("every line understood")
    if health.orphan_resumes:
        words.append(f"{health.orphan_resumes} without their beginning")
    if health.clipped_strings:
        words.append(
            f"payload cut by strace -s on {health.clipped_strings} socket{'' if health.clipped_strings == 1 else 's'}"
        )
    text = ", ".join(words) + "."
    if health.damage:
        text += f" Damage: {'; '.join(health.damage)}."
    if health.limits:
        text += f" What this log cannot show: {'; '.join(health.limits)}."
    return wrap(text, layout.width)
