"""What BAD's verdict rests on, told of the step that GOOD has without that fault."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from systrace.compare.nouns import BAD, GOOD, REQUEST, Difference, Pair, Place, Step
from systrace.compare.shapes import host_shape, words_shape
from systrace.compare.steps import Known, port_shape
from systrace.compare.weighing import CULPRIT
from systrace.model import Finding
from systrace.words import duration

_SENTENCE_ENDS = re.compile(r"\. (?=[A-Z])")
_SERIOUS = ("fatal", "error")
_ALSO = 65  # as in `weighing`
_RANK = {"healthy": 0, "inconclusive": 0, "degraded": 1, "hung": 2, "failed": 2}


def culprit(good: Known, bad: Known, pairs: Sequence[Pair], others: Sequence[Difference]) -> Difference | None:
    """None where BAD has no fault, or GOOD the same one.

    A warning alone, a slow answer, counts only where something else of the same connection differs, too.
    """
    verdict, findings = bad.analysis.verdict, bad.analysis.findings
    if verdict.finding is None or verdict.finding >= len(findings) or not _RANK.get(verdict.outcome, 0):
        return None
    finding = findings[verdict.finding]
    mine = _signature(finding, bad)
    if any(_same(mine, _signature(each, good)) for each in good.analysis.findings) and (
        _RANK.get(good.analysis.verdict.outcome, 0) >= _RANK[verdict.outcome]
    ):
        return None
    order, pair = _pair_of(finding, pairs)
    if _failed_alike(pair) or (finding.severity not in _SERIOUS and not _differs(pair, others)):
        return None
    said = _SENTENCE_ENDS.split(verdict.headline, maxsplit=1)[0].rstrip(".")
    text = f"{said} [{_kind(finding)}]; {_without(pair)}"
    before = _how(pair.good) if pair is not None and pair.good is not None else ""
    told = replace(_fault(finding, bad, text, CULPRIT), good=before, order=float(order))
    if pair is None or pair.bad is None:
        return told
    place = pair.good.place if pair.good is not None else None
    return replace(told, step=pair.bad.text, peer=pair.bad.peer, good_place=place, bad_place=pair.bad.place)


def other_faults(good: Known, bad: Known, pairs: Sequence[Pair], main: Difference | None) -> Iterator[Difference]:
    """Further faults of BAD that GOOD has not got, serious ones only, each once."""
    told = [_signature(each, good) for each in good.analysis.findings]
    for at, finding in enumerate(bad.analysis.findings):
        if main is not None and at == bad.analysis.verdict.finding:
            continue
        signature = _signature(finding, bad)
        if finding.severity in _SERIOUS and not finding.recovered and not any(_same(signature, each) for each in told):
            told.append(signature)
            pair = _pair_of(finding, pairs)[1]
            if pair is not None and pair.bad is not None and pair.bad.failed:
                continue  # the step itself tells it, or both have it
            text = f"{finding.summary.rstrip('.')} [{_kind(finding)}], only in {BAD}"
            yield _fault(finding, bad, text, _ALSO)


def _kind(finding: Finding) -> str:
    return f"{finding.cause}/{finding.variant}" if finding.variant else finding.cause


def _fault(finding: Finding, known: Known, text: str, weight: int) -> Difference:
    line = finding.lines[0] if finding.lines else None
    place = Place(line.file, line.line, known.since(line.time_ns)) if line is not None else None
    step, who, peer = _kind(finding), finding.command or "", finding.peer or ""
    return Difference("cause", text, step, who, peer, "", _kind(finding), None, place, weight=weight, failed=True)


def _failed_alike(pair: Pair | None) -> bool:
    """Whatever the two logs let it be called."""
    if pair is None or pair.good is None or pair.bad is None:
        return False
    return pair.good.failed and pair.bad.failed and pair.good.outcome == pair.bad.outcome


def _differs(pair: Pair | None, others: Sequence[Difference]) -> bool:
    places = [step.place for step in pair or () if step is not None]
    peer = pair.bad.peer if pair is not None and pair.bad is not None else None
    return any(
        each.bad_place in places or (peer and each.peer == peer) for each in others if each.bad_place is not None
    )


_Signature = tuple[str, str, str, str]


def _same(one: _Signature, other: _Signature) -> bool:
    """What one of the logs does not show is not held against the other."""
    return one[0] == other[0] and all(a == b or not (a and b) for a, b in zip(one[1:], other[1:], strict=True))


def _signature(finding: Finding, known: Known) -> _Signature:
    """Cause, who met it, and with whom: name and port."""
    socket = known.evidence.sockets.get(finding.socket or "")
    name, port, _shown = known.end(socket)
    if socket is None:
        host, _, number = (finding.peer or "").rpartition(":")
        name, port = (
            host_shape(host),
            port_shape(int(number)) if number.isdecimal() else words_shape(finding.peer or ""),
        )
    role = known.role(finding.pid)
    return finding.cause, role, name, port


def _pair_of(finding: Finding, pairs: Sequence[Pair]) -> tuple[int, Pair | None]:
    """That of the step on which the fault was met, and its index: a request that failed, else the last one before the
    fault was known, else the connection."""
    best: tuple[tuple[int, int], Pair] | None = None
    for at, pair in enumerate(pairs):
        step = pair.bad
        if step is None or not _concerns(finding, step) or _is_after(step, finding):
            continue
        rank = 4 * (not step.optional) + 2 * (step.key.kind == REQUEST) + step.failed, at
        if best is None or rank >= best[0]:
            best = rank, pair
    return (best[0][-1], _twin(best[1], pairs)) if best is not None else (len(pairs), None)


def _twin(pair: Pair, pairs: Sequence[Pair]) -> Pair:
    """With the step of GOOD that an earlier try of the same was compared with, where this one has none."""
    step = pair.bad
    if pair.good is not None or step is None:
        return pair
    tries = (each.good for each in pairs if each.bad is not None and each.bad.key == step.key and each.bad.failed)
    return Pair(next((each for each in tries if each is not None and not each.failed), None), step)


def _is_after(step: Step, finding: Finding) -> bool:
    if finding.lines and finding.lines[-1].file == step.place.file and step.place.line:
        return step.place.line > finding.lines[-1].line
    end = finding.end_ns if finding.end_ns is not None else finding.time_ns
    return end is not None and step.start_ns > end


def _concerns(finding: Finding, step: Step) -> bool:
    if finding.socket:
        return step.socket == finding.socket
    return bool(finding.peer) and finding.peer in (step.exact, step.peer)


def _without(pair: Pair | None) -> str:
    """What the same was in GOOD."""
    if pair is None or pair.bad is None:
        return f"{GOOD} has no such fault"
    if pair.good is None:
        return f"in {GOOD} there is no such step ({pair.bad.text})"
    one, other = pair.good.key, pair.bad.key
    same = one.shape == other.shape and (one.peer, one.port) == (other.peer or one.peer, other.port or one.port)
    return f"in {GOOD} {'the same step' if same else 'in its place'} ({pair.good.text}): {_how(pair.good)}"


def _how(step: Step) -> str:
    took = max(step.times.values(), default=None)
    outcome = step.outcome or "no fault"
    return f"{outcome} in {duration(took)}" if took is not None and not step.failed else outcome
