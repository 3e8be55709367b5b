"""The report for people: the answer, its proof, what to run and change; the sockets; how well the log was read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import BinaryIO

from systrace.model import Analysis, Finding, Line, Step
from systrace.reporters import reporter
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.views.request_table import requests_table
from systrace.reporters.views.socket_table import socket_table
from systrace.shell import word
from systrace.words import columns, cut, cut_middle, duration, encoded, safe, size, wrap

_MORE_FINDINGS = 3  # beside the verdict's own
_WORDS = {"failed": "FAILED", "hung": "HUNG", "degraded": "DEGRADED", "healthy": "HEALTHY", "inconclusive": "NOT CLEAR"}
_COLOURS = {"failed": "red", "hung": "red", "degraded": "yellow", "healthy": "green", "inconclusive": "yellow"}
_NOTED = ("fatal", "error", "warning")
_EVIDENCE_TEXT_AT_LEAST = 30  # columns beside file:line, else the text goes below


@reporter
class TableReport:
    """`--format table`."""

    name = "table"
    suffix = ".txt"
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
    blocks, log = [_headline(analysis, layout)], _log_of(analysis)
    first = verdict.finding if verdict.finding is not None and verdict.finding < len(findings) else None
    if first is not None:
        blocks.append(_finding(findings[first], layout, verdict.headline, main=True, log=log))
    others = [finding for at, finding in enumerate(findings) if at != first]
    shown = others if layout.everything else [f for f in others if f.severity in _NOTED][:_MORE_FINDINGS]
    blocks += [_finding(finding, layout, "", main=layout.everything, log=log) for finding in shown]
    if len(others) > len(shown):
        hidden = len(others) - len(shown)
        lead = "and " if first is not None else ""
        blocks.append([f"{lead}{hidden} {'more ' if lead else ''}note{'s' if hidden > 1 else ''}: --all"])
    blocks += [socket_table(analysis, layout), _foot(analysis, layout)]
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


def _headline(analysis: Analysis, layout: Layout) -> list[str]:
    verdict = analysis.verdict
    word = _WORDS.get(verdict.outcome, verdict.outcome.upper())
    lines = wrap(verdict.headline, layout.width, f"{word}: ", "  ")
    painted = layout.paint(f"{word}:", _COLOURS.get(verdict.outcome, "bold"))
    bold = [layout.paint(line, "bold") for line in (lines[0][len(word) + 1 :].lstrip(), *lines[1:])]
    return [f"{painted} {bold[0]}", *bold[1:]]


def _finding(finding: Finding, layout: Layout, headline: str, main: bool, log: str) -> list[str]:
    """A block; findings beside the main one lose the length of their lists, not their sense."""
    many = 99 if layout.everything else 8 if main else 3
    lines = _title(finding, layout)
    if finding.summary.rstrip(".") not in headline:
        lines += wrap(finding.summary, layout.width, "  ", "  ")
    lines += _evidence(finding.lines, layout, many)
    lines += _list("Likely causes:", finding.causes, layout, many)
    lines += _commands(finding.next_steps, layout, many, log)
    lines += _list("Change:", finding.remedy, layout, many)
    if finding.refuted_by:
        lines += wrap(finding.refuted_by, layout.width, "  What would prove this wrong: ", "    ")
    return lines


def _title(finding: Finding, layout: Layout) -> list[str]:
    kind = f"{finding.cause} ({finding.variant})" if finding.variant else finding.cause
    words = [kind, finding.severity, finding.confidence]
    if finding.socket or finding.peer:
        words.append(" ".join(w for w in (finding.socket, finding.peer) if w))
    if finding.command and finding.pid:
        words.append(f"{finding.command}[{finding.pid}]")
    if finding.count > 1:
        words.append(f"{finding.count} times")
    colour = {"fatal": "red", "error": "red", "warning": "yellow"}.get(finding.severity, "bold")
    return [layout.paint(line, colour) for line in wrap(", ".join(words), layout.width, "* ", "  ")]


def _evidence(lines: Sequence[Line], layout: Layout, many: int) -> list[str]:
    if not lines:
        return []
    names = [_place(line) for line in lines[:many]]
    widest = max(columns(name) for name in names)
    room = layout.width - widest - 6
    out = ["  Evidence:"]
    for name, line in zip(names, lines, strict=False):
        text = safe(line.text.strip())
        if room >= _EVIDENCE_TEXT_AT_LEAST:
            first, *second = _halved(text, room)
            out.append(f"    {name}{' ' * (widest - columns(name))}  {first}")
            out += [f"{' ' * (widest + 6)}{line}" for line in second]
        else:
            out += [f"    {name}", *(f"      {line}" for line in _halved(text, layout.width - 6))]
    if len(lines) > many:
        out.append(f"    and {len(lines) - many} more: --all")
    return out


def _halved(text: str, room: int) -> list[str]:
    """At most two lines of safe text; what is left out is in the middle, as a call's result is at its end."""
    if columns(text) <= room:
        return [text]
    slack = room // 4  # the first line may end at a space within its last quarter
    short = cut_middle(text, 2 * room - slack)
    space = cut(short, room)[:-1].rfind(" ", room - slack)
    if space > 0:
        return [short[:space], short[space:].lstrip()]
    whole = cut_middle(text, 2 * room - 1)
    head = cut(whole, room)[:-1]
    return [head, whole[len(head) :]]


def _place(line: Line) -> str:
    """`job.strace:4131`; of the kernel's files all, as their last word alone says little."""
    if line.file.startswith("/proc/"):
        return safe(line.file)
    return f"{safe(PurePath(line.file).name or line.file)}:{line.line}"


def _list(title: str, items: Sequence[str], layout: Layout, many: int) -> list[str]:
    if not items:
        return []
    out = [f"  {title}"]
    for item in items[:many]:
        out += wrap(item, layout.width, "    - ", "      ")
    return out


def _commands(steps: Sequence[Step], layout: Layout, many: int, log: str) -> list[str]:
    """Commands are not broken: they are there to be copied. What they are for stands behind or above them."""
    out = ["  Run next:"] if steps else []
    for step in steps[:many]:
        command, why = step.command, step.why
        mark = "  # " if command and why else ""
        if command.startswith("systrace "):  # elsewhere LOG may be a word of the trace, within quotes
            command = command.replace(" LOG ", f" {log} ", 1)
        command = safe(command)
        if command and columns(f"    {command}{mark}{safe(why)}") <= layout.width:
            out.append(f"    {layout.paint(command, 'bold')}{mark}{safe(why)}")
            continue
        if why:
            out += wrap(why, layout.width, "    # ", "    # ")
        if command:
            out.append(layout.paint(f"    {command}", "bold"))
    return out


def _log_of(analysis: Analysis) -> str:
    """For a command: the file of a report, if it is one and not standard input or what is about to be deleted."""
    files = analysis.evidence.source.files
    return word(files[0]) if len(files) == 1 and Path(files[0]).is_file() else "LOG"


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
    return [*_job(analysis, layout), *wrap(text, layout.width)]


def _job(analysis: Analysis, layout: Layout) -> list[str]:
    """How the first process ended, where the log shows it."""
    first = next(iter(analysis.evidence.processes.values()), None)
    if first is None or not first.traced or not first.command:
        return []
    if first.signal is not None:
        end = f"was killed by {first.signal}"
    elif first.exit_code is not None:
        end = f"exited with status {first.exit_code}"
    else:
        end = "had not ended when the log ended"
    return wrap(f"The job {first.command}[{first.pid or '?'}] {end}.", layout.width)
