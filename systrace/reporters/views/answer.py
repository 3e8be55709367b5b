"""The answer of a report: what it is about, the verdict's sentence, and its findings as cards; for every format of people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TypeVar

from systrace.dataclass import dataclass
from systrace.model import Analysis, Finding, Output, Process, Step
from systrace.reporters.layout import Layout
from systrace.reporters.words.clock import Clock
from systrace.reporters.words.endings import ended_by
from systrace.reporters.words.outcomes import COLOURS, WORDS
from systrace.shell import word
from systrace.words import clean, cut, safe, wrap

SURE = {"confirmed": "proven", "likely": "likely", "possible": "a guess"}
_SENTENCE_ENDS = re.compile(r"\. (?=[A-Z])")
_JOB = 60  # columns of a command
T = TypeVar("T")


def headline_lines(analysis: Analysis, layout: Layout) -> list[str]:
    """Outcome, job, host, time and status; then one sentence, its class at the end."""
    verdict = analysis.verdict
    word = WORDS.get(verdict.outcome, verdict.outcome.upper())
    about, (sentence, more) = ", ".join(about_job(analysis, layout)), answer(analysis)
    lines = wrap(about or sentence, layout.width, f"{word}: ", "  ")
    lines[0] = layout.paint(f"{word}:", COLOURS.get(verdict.outcome, "bold")) + lines[0][len(word) + 1 :]
    if about:
        lines += _paragraph(sentence, more, layout)
    elif more:
        lines += wrap(more, layout.width)
    return lines


def _paragraph(sentence: str, more: str, layout: Layout) -> list[str]:
    """The sentence in bold, what follows it in the same paragraph."""
    bold, both = wrap(sentence, layout.width), wrap(f"{sentence} {more}".strip(), layout.width)
    painted = [layout.paint(line, "bold") for line in bold]
    shared = both[len(bold) - 1][len(bold[-1]) :] if len(both) >= len(bold) else ""
    return [*painted[:-1], f"{painted[-1]}{shared}", *both[len(bold) :]]


def answer(analysis: Analysis) -> tuple[str, str]:
    """(the first sentence of the headline with its class behind it, the others)."""
    verdict, at = analysis.verdict, analysis.verdict.finding
    first, *more = _SENTENCE_ENDS.split(verdict.headline, maxsplit=1)
    rest = more[0] if more else ""
    if at is None or at >= len(analysis.findings):
        return f"{first}." if more else first, rest
    finding = analysis.findings[at]
    kind = f"{finding.cause}/{finding.variant}" if finding.variant else finding.cause
    times = f" ({finding.count} times)" if finding.count > 1 and f"{finding.count} " not in first else ""
    return f"{first.rstrip('.')}{times} [{kind}; {SURE.get(finding.confidence, finding.confidence)}].", rest


def about_job(analysis: Analysis, layout: Layout) -> list[str]:
    """Which job, where, when, and how it ended, as far as the log tells."""
    evidence = analysis.evidence
    source, job = evidence.source, first_process(analysis)
    name = cut(safe(command), _JOB) if (command := job_of(analysis)) else ""
    host = source.facts.get("host")
    words = [f"{name} on {clean(str(host), 60)}" if name and host else name]
    words.append(Clock.of(source, layout.utc).span(source.first_ns, source.last_ns))
    status, by = source.facts.get("exit_status"), ended_by(source)
    words.append(_end(job, status if isinstance(status, int) else None))
    if by is not None:
        words.append(f"it had stalled and was ended by systrace ({by})")
    return [word for word in words if word]


def job_of(analysis: Analysis) -> str:
    """The command that was recorded, unsafe text; "" where nobody knows."""
    given, job = analysis.evidence.source.facts.get("command"), first_process(analysis)
    return " ".join(map(str, given)) if isinstance(given, list) else job.command if job is not None else ""


def first_process(analysis: Analysis) -> Process | None:
    first = next(iter(analysis.evidence.processes.values()), None)
    return first if first is not None and first.traced and first.command else None


def last_words(analysis: Analysis, process: Process | None, quoted: str) -> str:
    """What a process wrote to its standard error last, unsafe text; "" where the proof quotes it already."""
    said = b"".join(o.data for o in process.output if _is_error(o)) if process is not None else b""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line[:1].strip()]  # not what goes on
    if not lines or safe(lines[-1])[:40] in quoted:
        return ""
    return analysis.evidence.masks.text(lines[-1])


def failed_process(analysis: Analysis) -> Process | None:
    """Of those that failed and said something, the last; the job itself, where nobody did."""
    failed = [p for p in analysis.evidence.processes.values() if p.exit_code and any(map(_is_error, p.output))]
    return max(failed, key=lambda p: p.end_ns or 0, default=first_process(analysis))


def _is_error(output: Output) -> bool:
    return output.fd == 2 or output.path == "stderr"


def _end(job: Process | None, status: int | None) -> str:
    """How the first process ended."""
    if job is None:
        return ""
    if job.signal is not None:
        return f"killed by {job.signal}"
    code = job.exit_code if job.exit_code is not None else status  # systrace itself waited for it
    return "had not ended" if code is None else f"exit status {code}"


@dataclass(frozen=True, slots=True)
class Page:
    """What all blocks of one report share."""

    analysis: Analysis
    clock: Clock
    log: str  # the recording's name for a command, or LOG
    said: set[object] = field(default_factory=set)  # causes, steps and changes that stand above

    def new(self, items: Sequence[T]) -> list[T]:
        """Those that were not said of an earlier finding."""
        fresh = [item for item in items if item not in self.said]
        self.said.update(fresh)
        return fresh

    def again(self, finding: Finding) -> bool:
        """Whether the same was said of another peer, or at another time."""
        return not self.new([(finding.cause, finding.variant, finding.pid)])

    def dated(self, step: Step, finding: Finding) -> Step:
        """The very second, in place of the words for it."""
        moment = self.clock.moment(finding.end_ns if finding.end_ns is not None else finding.time_ns)
        if not moment:
            return step
        why = step.why.replace("from that second on", f"from {self.clock.moment(finding.time_ns) or moment} on")
        why = why.replace("at that second", f"at {moment}").replace("of that time", f"of {moment}")
        return replace(step, why=why.replace("at that time", f"at {moment}"))


def log_of(analysis: Analysis, layout: Layout) -> str:
    """For a command: the file of a report, if it is one and not standard input or what is about to be deleted."""
    if layout.saved_as:
        return word(layout.saved_as)
    files = analysis.evidence.source.files
    return word(files[0]) if len(files) == 1 and Path(files[0]).is_file() else "LOG"


@dataclass(frozen=True, slots=True)
class Card:
    """One finding as people read it; what stands on an earlier card is not said again."""

    finding: Finding
    title: str
    kind: str  # cause/variant
    sure: str
    causes: list[str]
    steps: list[Step]  # with the recording's name in their commands
    remedy: list[str]
    wrong_if: str


def cards(analysis: Analysis, layout: Layout) -> list[Card]:
    """The verdict's own finding first, then the others in order of weight."""
    page = Page(analysis, Clock.of(analysis.evidence.source, layout.utc), log_of(analysis, layout))
    findings, at = analysis.findings, analysis.verdict.finding
    main = findings[at] if at is not None and at < len(findings) else None
    ordered = ([main] if main is not None else []) + [each for each in findings if each is not main]
    return [_card(finding, page, analysis.verdict.headline if finding is main else "") for finding in ordered]


def _card(finding: Finding, page: Page, headline: str) -> Card:
    return Card(
        finding,
        headline or finding.summary,
        f"{finding.cause}/{finding.variant}" if finding.variant else finding.cause,
        SURE.get(finding.confidence, finding.confidence),
        page.new(finding.causes),
        [named(step, page.log) for step in page.new([page.dated(step, finding) for step in finding.next_steps])],
        page.new(finding.remedy),
        page.dated(Step(why=finding.refuted_by), finding).why if finding.refuted_by else "",
    )


def named(step: Step, log: str) -> Step:
    """With the recording's name in its command: elsewhere LOG may be a word of the trace, within quotes."""
    if not step.command.startswith("systrace "):
        return step
    return replace(step, command=step.command.replace(" LOG ", f" {log} ", 1))
