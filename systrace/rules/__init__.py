"""Evidence -> findings: one file per family, found by walking this package; `ranking` picks the root cause.

A rule is a generator function under `@rule(CAUSE, ...)`. Its docstring is the page that `systrace explain CAUSE`
prints, with the headings `What it is:`, `Why it matters:`, `What proves it:`, `Not this:`, `What to do:`, `Source:`.
`fires` and `silent` are short traces that go through the whole pipeline as tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from systrace.model import Finding, Verdict
from systrace.registry import Registry
from systrace.rules.case import Case

Check = Callable[[Case], Iterator[Finding]]
_SECOND_PASS = ("retry-storm", "fallback-ok", "recovered-error", "not-network")  # they judge the findings of the others


@dataclass(frozen=True)
class Rule:
    """A cause, how to find it, and two traces that show when it does and does not apply."""

    cause: str
    check: Check
    fires: str
    silent: str

    @property
    def page(self) -> str:
        """The docstring."""
        return self.check.__doc__ or ""


RULES: Registry[Rule] = Registry("systrace.rules")


def rule(cause: str, *, fires: str, silent: str) -> Callable[[Check], Check]:
    """Enter a rule for a cause."""

    def enter(check: Check) -> Check:
        RULES.add(cause, Rule(cause, check, fires, silent))
        return check

    return enter


def check(case: Case) -> list[Finding]:
    """All findings, the heaviest first; the same on many sockets is one with a count."""
    from systrace.rules.ranking import mark_recovered, ranked
    from systrace.rules.roles import refine

    case.findings = [
        finding for each in RULES.values() if each.cause not in _SECOND_PASS for finding in each.check(case)
    ]
    refine(case)
    mark_recovered(case)
    second = [finding for cause in _SECOND_PASS for finding in RULES[cause].check(case)]
    return ranked(case, case.findings + second)


def verdict(case: Case, findings: list[Finding]) -> Verdict:
    """The answer for the whole job."""
    from systrace.rules.ranking import judge

    case.findings = findings
    return judge(case, findings)
