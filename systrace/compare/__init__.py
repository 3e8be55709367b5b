"""Two runs of one job -> where they differ. Pure: two analyses in, a `Comparison` out.

`steps` and `talk` say what each run did, `shapes` what of that stays the same from run to run, `aligning` which step is
which, `weighing` and `timing` what differs and how much that tells, `culprit` what the bad run's verdict has to do with it.
Never compared: process ids, addresses behind a name, ports and descriptors that are handed out, the time of day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from systrace.calls import SOCKET_OPTIONS
from systrace.compare.aligning import aligned
from systrace.compare.culprit import culprit, other_faults
from systrace.compare.nouns import BAD, CONNECTION, GOOD, REQUEST, Comparison, Difference, Pair, Run, Step
from systrace.compare.shapes import words_shape
from systrace.compare.steps import Known, connections, lookups, processes
from systrace.compare.talk import dialogues, handshakes, web
from systrace.compare.timing import of_times, of_whole_job
from systrace.compare.weighing import MINOR, Shown, of_steps
from systrace.model import Analysis, Evidence

_READS = frozenset(("read", "write"))  # what is asked over a socket by these is not in a log of network calls
_PARTING = frozenset(("outcome", "only-good", "only-bad", "peer", "content", "request"))
_SLIGHT = 10  # as in `weighing`


def compare(good: Analysis, bad: Analysis) -> Comparison:
    """Where two recordings of one job differ; analyse them with `Keep(exchanges=True)`, or long connections lack steps."""
    before, now = Known(good), Known(bad)
    steps = _told_apart(_steps(before), _steps(now))
    pairs = list(_seen_by_both(aligned(*steps), _began_late(good.evidence), _began_late(bad.evidence)))
    runs = _run(before, len(steps[0])), _run(now, len(steps[1]))
    found = [*of_steps(pairs, _shown(before, steps[0]), _shown(now, steps[1])), *of_times(pairs)]
    if not any(each.kind == "time" for each in found) and (whole := of_whole_job(*runs)) is not None:
        found.append(whole)
    main = culprit(before, now, pairs, found)
    found += other_faults(before, now, pairs, main)
    ordered = sorted(found, key=lambda each: (-each.weight, -each.slower_s, each.order))
    ordered = [each for each in ordered if not _repeats(each, main)]
    if main is None and all(each.weight <= MINOR for each in ordered):
        ordered = []
    ordered, parted = _parted(([main] if main is not None else []) + ordered)
    alike = sum(1 for one, other in pairs if one and other and one.outcome == other.outcome)
    return Comparison(*runs, alike, ordered, parted, list(_unseen(before.evidence, now.evidence, *map(len, steps))))


def _steps(known: Known) -> list[Step]:
    """In order of time, then of lines."""
    found = [step for kind in (processes, lookups, handshakes, web, dialogues) for step in kind(known)]
    known.told = frozenset(step.socket for step in found if step.failed)
    found += connections(known)
    return sorted(found, key=lambda step: (step.start_ns, step.place.line))


def _began_late(evidence: Evidence) -> bool:
    """It was attached to, or its log lacks the beginning."""
    return any(socket.inherited for socket in evidence.sockets.values())


def _seen_by_both(pairs: Sequence[Pair], good_late: bool, bad_late: bool) -> Iterator[Pair]:
    """Without what came before the first step of a log that begins late."""
    both = False
    for pair in pairs:
        both = both or (pair.good is not None and pair.bad is not None)
        if both or not ((bad_late and pair.bad is None) or (good_late and pair.good is None)):
            yield pair


def _told_apart(good: list[Step], bad: list[Step]) -> tuple[list[Step], list[Step]]:
    """Without what only one of the logs shows: which command is at work; the names of all peers at a port."""
    roles = all(any(step.key.role for step in each) for each in (good, bad))
    named = [{step.key.port for step in each if step.key.peer} for each in (good, bad)]
    met = [{step.key.port for step in each} for each in (good, bad)]
    half = ((named[0] - named[1]) & met[1]) | ((named[1] - named[0]) & met[0])

    def known(step: Step) -> Step:
        key = step.key if roles else step.key._replace(role="")
        key = key._replace(peer="") if key.kind in (CONNECTION, REQUEST) and key.port in half else key
        return step if key is step.key else replace(step, key=key)

    return [known(step) for step in good], [known(step) for step in bad]


def _shown(known: Known, steps: Sequence[Step]) -> Shown:
    style = known.evidence.source.style
    return Shown(
        Counter(step.key for step in steps),
        frozenset(step.key.kind for step in steps),
        frozenset(step.key.role for step in steps),
        _mute(known.evidence),
        style.succeeded and bool(SOCKET_OPTIONS & style.syscalls or known.evidence.source.facts),
        all(process.traced for process in known.evidence.processes.values()),
        known.analysis.verdict.outcome == "inconclusive",
        bool(_READS & style.syscalls),
        not known.evidence.forgotten.made,
    )


def _mute(evidence: Evidence) -> frozenset[str]:
    """Connections over which nothing was sent, in a log that has neither read(2) nor write(2)."""
    if _READS & evidence.source.style.syscalls:
        return frozenset()
    return frozenset(
        socket.uid
        for socket in evidence.sockets.values()
        if not socket.sent.original_len and not any(each.outcome == "failed" for each in socket.attempts)
    )


def _run(known: Known, steps: int) -> Run:
    evidence, verdict = known.evidence, known.analysis.verdict
    source = evidence.source
    span = None
    if source.first_ns is not None and source.last_ns is not None:
        span = (source.last_ns - source.first_ns) / 1e9
    first = next(iter(evidence.processes.values()), None)
    job = first.command if first is not None else ""
    return Run(source.files, job, verdict.outcome, verdict.cause, verdict.headline, steps, span)


def _repeats(each: Difference, main: Difference | None) -> bool:
    """The culprit says it already."""
    return (
        main is not None
        and each is not main
        and each.kind in ("outcome", "only-bad")
        and each.bad_place == main.bad_place
        and each.bad_place is not None
        and each.count == 1
    )


def _parted(ordered: list[Difference]) -> tuple[list[Difference], int | None]:
    """With the one where they part first in the second place, behind the culprit, unless it is that; and its index."""
    candidates = [each for each in ordered if each.kind in _PARTING and each.weight > _SLIGHT]
    if not candidates:
        return ordered, 0 if ordered else None
    first = min(candidates, key=lambda each: each.order)
    main = ordered[0] if ordered[0].kind == "cause" else None
    if main is not None and main.order <= first.order:
        return ordered, 0
    rest = [each for each in ordered if each is not first and each is not main]
    return ([main] if main is not None else []) + [first, *rest], 0 if main is None else 1


def _unseen(good: Evidence, bad: Evidence, ours: int, theirs: int) -> Iterator[str]:
    """What one of the logs does not show, so that nothing can be said of it."""
    for name, one, other in ((GOOD, good, bad), (BAD, bad, good)):
        known = {words_shape(each) for each in other.health.limits}
        yield from (f"{name}: {limit}" for limit in one.health.limits if words_shape(limit) not in known)
        if one.health.torn or one.health.damage:
            yield f"{name} is damaged or has no end: what is missing at its end may have happened"
        if not (ours if one is good else theirs):
            yield f"{name} shows nothing that a job does: no process, no name, no connection"
    if good.source.style.clock == bad.source.style.clock == "none":
        yield "times: neither log has any"
