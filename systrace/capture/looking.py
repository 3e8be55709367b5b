"""The first, passive look of `systrace attach`: judged as a recording that holds nothing but the look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from systrace.capture.concluding import report_of
from systrace.capture.reporting import complain
from systrace.dataclass import dataclass
from systrace.errors import CaptureError
from systrace.kernel.naming import may_look
from systrace.kernel.snapshot import still_there, take
from systrace.look.lines import lines_of
from systrace.look.nouns import Look
from systrace.model import Analysis, Input, Keep
from systrace.pipeline import analyze
from systrace.reporters.layout import Layout
from systrace.words import safe

GRAVE = ("fatal", "error")


@dataclass(frozen=True, slots=True)
class Looked:
    """What could be seen of one process and its children, and what it means."""

    look: Look
    analysis: Analysis

    @classmethod
    def at(cls, pid: int, keep: Keep | None = None, long_s: float | None = None) -> Looked:
        """`long_s`: see `Look.long_s`. Raises CaptureError: there is none."""
        look = take(pid)
        return cls.of(look if long_s is None else replace(look, long_s=long_s), keep)

    @classmethod
    def of(cls, look: Look, keep: Keep | None = None) -> Looked:
        """Judge it; `keep` says what of it may be shown."""
        return cls(look, analyze([Input(f"process {look.pid}", lines_of(look), as_is=True)], keep=keep or Keep()))

    @property
    def pid(self) -> int:
        """The process that was asked about."""
        return self.look.pid

    @property
    def who(self) -> str:
        """Number and name."""
        return f"{self.pid} ({safe(self.look.root.command)})"

    @property
    def headline(self) -> str:
        """The answer in one line."""
        return self.analysis.verdict.headline

    @property
    def variant(self) -> str:
        """Of the first finding."""
        return self.analysis.findings[0].variant

    @property
    def grave(self) -> bool:
        """Whether it is an error or fatal."""
        return self.analysis.findings[0].severity in GRAVE

    @property
    def refused(self) -> bool:
        """Whether neither its calls nor its descriptors may be read: it was not looked at, there is only a little to say."""
        return self.variant == "hidden" and not self.look.root.descriptors and not may_look(self.pid)

    def report(self, style: str, layout: Layout) -> bytes:
        """In one of the formats."""
        return report_of(self.analysis, style, layout)


def looks_at(pids: Sequence[int], keep: Keep) -> list[Looked]:
    """At each process once; who has gone meanwhile is named, and left out.

    Raises:
        CaptureError: none is there.
    """
    if len(pids) == 1:
        return [Looked.at(pids[0], keep)]
    looks: dict[int, Looked] = {}
    reasons = []
    for pid in pids:
        try:
            look = Looked.at(pid, keep)
        except CaptureError as error:
            reasons.append(str(error))
        else:
            looks.setdefault(look.pid, look)  # a thread's number stands for its process
    if not looks:
        raise CaptureError("; ".join(reasons))
    for reason in reasons:
        complain(reason)
    return list(looks.values())


def both_numbers(look: Look) -> str:
    """Of a process in a container."""
    inner = look.root.ns_pids[-1]
    return f"process {look.pid} is {inner} in its PID namespace (a container): the numbers here are those outside it"


def what_passive_gives(looked: Looked) -> str:
    """What `--passive` would add to a refusal: nothing about what is gone, has ended or is the kernel's own."""
    variant = looked.variant
    if variant in ("zombie", "kernel") or not looked.look.root.threads or not still_there(looked.look):
        return ""
    if variant == "hidden":
        return "; --passive tells the little that may be seen without that"
    return "; --passive reports what can be seen without tracing"
