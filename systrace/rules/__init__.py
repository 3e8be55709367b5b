"""Evidence -> findings -> the verdict.

    rule       what a rule is, and where it stands among the others: data, not code elsewhere
    causes/    the rules, one file a family; a new cause is a new function there and nothing else
    case/      what the log shows: who failed, which waits had no end, what is hidden
    content/   what the bytes say, and who died of them
    look/      what a look at live processes says; a state that nobody knows yet is a `@state` beside the rule of its cause
    advice/    what to do, for this client and this peer
    verdict/   which finding it was, what was made good, what can't be told

A rule is a generator function under `@rule(CAUSE, ...)`. Its docstring is the page that `systrace explain CAUSE`
prints, with the headings `What it is:`, `Why it matters:`, `What proves it:`, `Not this:`, `What to do:`, `Source:`.
`fires` and `silent` are short traces that go through the whole pipeline as tests.
"""

from __future__ import annotations

from systrace.model import Draft, Finding, Verdict
from systrace.rules.case.index import Case
from systrace.rules.rule import RULES, Phase, Rule, rule

__all__ = ["RULES", "Case", "Phase", "Rule", "judged", "rule"]


def judged(case: Case) -> tuple[list[Finding], Verdict]:
    """All findings, the heaviest first, the same on many sockets as one with a count; and the answer for the whole job."""
    from systrace.rules.advice.probes import complete
    from systrace.rules.case.elsewhere import heed_elsewhere
    from systrace.rules.look import alone, answer, diagnoses
    from systrace.rules.verdict.outcome import judge
    from systrace.words import without_holes

    if alone(case):
        told = [draft for diagnosis in diagnoses(case) for draft in diagnosis.findings]
        return [draft.final() for draft in told], answer(case)
    case.findings = check(case)
    for draft in case.findings:
        heed_elsewhere(case, draft)
        draft.summary = without_holes(draft.summary)
        draft.next_steps = complete(draft.next_steps)
    verdict = judge(case, case.findings)
    return [draft.final() for draft in case.findings], verdict


def check(case: Case) -> list[Draft]:
    """The drafts of all rules, ranked."""
    from systrace.rules.advice.roles import refine
    from systrace.rules.look import never_weaker
    from systrace.rules.verdict.explaining import ranked, said_best
    from systrace.rules.verdict.recovery import bring_back, mark_recovered

    first = [finding for each in RULES.values() if not each.judges for finding in each.check(case)]
    case.findings = said_best(never_weaker(case, first))
    refine(case)
    mark_recovered(case)
    bring_back(case)
    second = [finding for each in RULES.values() if each.judges for finding in each.check(case)]
    return ranked(case, case.findings + second)
