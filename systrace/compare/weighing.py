"""Pairs of steps -> differences that matter: what came of them, what they were about, what one run did alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from systrace.compare.nouns import BAD, CONNECTION, GOOD, LOOKUP, PROCESS, REQUEST, Difference, Key, Pair, Step
from systrace.compare.shapes import only_ids_differ, words_shape
from systrace.compare.steps import broke_later
from systrace.words import size

TIMES, LEAST_BYTES, LEAST_MORE = 2, 1000, 3  # beyond so many times and so much more it is no noise
_CUT = "…"  # the log does not show the rest of a target
_FEW = 3  # of what changes something, even one more counts

# The larger the more telling.
CULPRIT, PARTED = 1000, 900
_FAILS, _EXTRA_FAILURE, _EXIT, _CONTENT, _PEER, _OUTCOME, _OTHER = 80, 70, 60, 58, 55, 50, 48
_ALONE, _EMPTY, _TIME, _OPTION, _SIZE, _COUNT, _LOOKUP, _HEALED, _SLIGHT = 42, 45, 40, 35, 30, 25, 20, 18, 10
MINOR = 5  # told beside others, and no difference that matters by itself


_Alike = tuple[str, Key, str, str]  # kind, step, what it was in GOOD, in BAD


class Shown(NamedTuple):
    """What a log shows at all: what it cannot show is not missing."""

    counts: Counter[Key]
    kinds: frozenset[str]  # of steps
    roles: frozenset[str]
    mute: frozenset[str]  # sockets whose bytes the log does not show
    options: bool  # setsockopt(2) would be there
    children: bool  # what they did is there
    unclear: bool  # the verdict: too little is there to tell whether something failed
    bytes: bool = True  # read(2) or write(2) are there
    all: bool = True  # connections that ended well were not too many to be kept


def of_steps(pairs: Sequence[Pair], good: Shown, bad: Shown) -> list[Difference]:
    """All but those of times, each kind of step once for each way in which it differs."""
    found: list[tuple[_Alike, Difference]] = []
    mute = _without_bytes(pairs, good, bad)
    for order, pair in enumerate(pairs):
        if pair.good is not None and pair.bad is not None:
            told = _of_both(pair.good, pair.bad, good, bad)
            key = pair.bad.key
        elif (step := pair.bad or pair.good) is not None:
            told, key = _of_one(step, pair.bad is not None, good, bad, mute), step.key
        found += [((each.kind, key, each.good, each.bad), replace(each, order=order)) for each in told]
    return list(_joined(found, good, bad))


def _without_bytes(pairs: Sequence[Pair], good: Shown, bad: Shown) -> frozenset[str]:
    """Connections of which the other log shows the connect, and nothing that was said over it."""
    both = [
        (one, other) for one, other in pairs if one is not None and other is not None and one.key.kind == CONNECTION
    ]
    return frozenset(
        [f"{GOOD} {one.socket}" for one, other in both if other.socket in bad.mute]
        + [f"{BAD} {other.socket}" for one, other in both if one.socket in good.mute]
    )


def _joined(found: Sequence[tuple[_Alike, Difference]], good: Shown, bad: Shown) -> Iterator[Difference]:
    """Those alike as one, the first of them with their number."""
    groups: dict[_Alike, list[Difference]] = defaultdict(list)
    for alike, each in found:
        groups[alike].append(each)
    for (_kind, key, _good, _bad), group in groups.items():
        of = max(good.counts[key], bad.counts[key], len(group))
        first = group[0]
        times = f" ({len(group)} of {of} times)" if len(group) > 1 and first.kind != "count" else ""
        yield replace(first, count=len(group), of=of, text=f"{first.text}{times}")


# -------------------------------------------------------------------------------------------------------- of both runs


def difference(kind: str, weight: int, text: str, pair: Pair, good: str = "", bad: str = "") -> Difference:
    """One of a pair; the step is called as BAD has it, where it has it."""
    step = pair.bad or pair.good
    assert step is not None
    return Difference(
        kind,
        text,
        step.text,
        step.who,
        step.peer,
        good,
        bad,
        pair.good.place if pair.good is not None else None,
        pair.bad.place if pair.bad is not None else None,
        weight=weight,
        failed=pair.bad is not None and pair.bad.failed,
    )


def _of_both(good: Step, bad: Step, before: Shown, now: Shown) -> Iterator[Difference]:
    pair = Pair(good, bad)
    unclear = (now.unclear and not bad.failed) or (before.unclear and not good.failed)
    unclear = unclear or (broke_later(good) and broke_later(bad))  # what each log lets it be called; `culprit` compares
    unclear = unclear or (broke_later(bad) and now.bytes > before.bytes)  # the other could not show it
    unclear = unclear or (broke_later(good) and before.bytes > now.bytes)
    if good.outcome and bad.outcome and good.outcome != bad.outcome and not unclear:
        weight = _HEALED if good.failed and not bad.failed else _FAILS if bad.failed else _OUTCOME
        if bad.key.kind == PROCESS:
            weight = min(weight, _EXIT)
        elif bad.key.kind == LOOKUP and not bad.failed:
            weight = _OTHER
        text = f"{bad.text}: {bad.outcome} in {BAD}, {good.outcome} in {GOOD}"
        yield difference("outcome", weight, text, pair, good.outcome, bad.outcome)
    yield from _of_peers(pair, good, bad)
    if bad.key.kind == PROCESS and words_shape(good.exact) != words_shape(bad.exact):
        text = f"{bad.text} in {BAD} as: {bad.exact}; in {GOOD} as: {good.exact}"
        yield difference("arguments", MINOR, text, pair, good.exact, bad.exact)
    if _others(good.content, bad.content) and good.outcome == bad.outcome:
        text = f"{bad.text}: {bad.content} came in {BAD}, {good.content} in {GOOD}"
        yield difference("content", _CONTENT, text, pair, good.content, bad.content)
    if bad.key.kind != CONNECTION or (good.socket not in before.mute and bad.socket not in now.mute):
        yield from _of_sizes(pair, good, bad)
    if before.options and now.options:
        for name in sorted(good.options.keys() | bad.options.keys()):
            yield from _of_option(pair, name, good.options, bad.options)


def _of_peers(pair: Pair, good: Step, bad: Step) -> Iterator[Difference]:
    one, other = good.key, bad.key
    if _others(one.peer, other.peer) or _others(one.port, other.port):
        text = f"{bad.text}: {BAD} turned to {bad.peer}, {GOOD} to {good.peer}"
        yield difference("peer", _PEER, text, pair, good.peer, bad.peer)
    elif one.shape != other.shape and _CUT not in good.exact + bad.exact:
        text = f"{bad.text} in {BAD}, where {GOOD} had {good.text}"
        weight = MINOR if only_ids_differ(one.shape, other.shape) else _OTHER
        yield difference("request", weight, text, pair, good.text, bad.text)


def _others(one: str, other: str) -> bool:
    return one != other and bool(one) and bool(other)


def _of_sizes(pair: Pair, good: Step, bad: Step) -> Iterator[Difference]:
    if good.size is None or bad.size is None:
        return
    low, high = sorted((good.size, bad.size))
    if high > TIMES * low and (high - low >= LEAST_BYTES or low == 0):
        text = f"{bad.text}: {size(bad.size)} came in {BAD}, {size(good.size)} in {GOOD}"
        weight = _SIZE if bad.size else _EMPTY
        yield difference("size", weight, text, pair, size(good.size), size(bad.size))


def _of_option(pair: Pair, name: str, good: Mapping[str, str], bad: Mapping[str, str]) -> Iterator[Difference]:
    """Options that only one of them sets are off, or the system's, in the other."""
    before, now = good.get(name, "not set"), bad.get(name, "not set")
    if before != now and {before, now} != {"off", "not set"} and pair.bad is not None:
        text = f"connection to {pair.bad.peer}: {name} {now} in {BAD}, {before} in {GOOD}"
        yield difference("option", _OPTION, text, pair, f"{name} {before}", f"{name} {now}")


# ---------------------------------------------------------------------------------------------------------- of one run


def _of_one(step: Step, in_bad: bool, good: Shown, bad: Shown, mute: frozenset[str]) -> Iterator[Difference]:
    key, pair = step.key, Pair(None, step) if in_bad else Pair(step, None)
    own, other, side = (bad, good, BAD) if in_bad else (good, bad, GOOD)
    mine, theirs = own.counts[key], other.counts[key]
    if _unseen(key, other) or (key.kind == REQUEST and f"{side} {step.socket}" in mute):
        return
    told = f": {step.outcome}" if step.outcome else ""
    if step.failed and key.kind != PROCESS:
        weight = _HEALED if not in_bad else _LOOKUP if key.kind == LOOKUP else _EXTRA_FAILURE
        yield _alone(f"{step.text}{told}, only in {side}", weight, pair, step, in_bad)
    elif key.kind in (CONNECTION, REQUEST) and not (good.all and bad.all):
        return  # those that ended well, and what was asked over them, were counted only
    elif not theirs:
        if weight := _weight_alone(step):
            yield _alone(f"{step.text}{told}, only in {side}", weight, pair, step, in_bad)
    elif key.kind != LOOKUP:
        ours, others = (mine, theirs) if in_bad else (theirs, mine)
        text = f"{step.text}: {ours} times in {BAD}, {others} times in {GOOD}"
        weight = MINOR if not _many(step, mine, theirs) else _SLIGHT if key.kind == PROCESS else _COUNT
        yield difference("count", weight, text, pair, str(others), str(ours))


def _unseen(key: Key, other: Shown) -> bool:
    """The other log could not show it."""
    if not other.children and key.role not in other.roles:
        return True
    return key.kind in (PROCESS, LOOKUP) and key.kind not in other.kinds


def _alone(text: str, weight: int, pair: Pair, step: Step, in_bad: bool) -> Difference:
    outcome = step.outcome or "done"
    kind = "only-bad" if in_bad else "only-good"
    return difference(kind, weight, text, pair, "" if in_bad else outcome, outcome if in_bad else "")


def _weight_alone(step: Step) -> int:
    """Of a step that the other run has not got at all; 0: that tells nothing."""
    kind = step.key.kind
    if kind == REQUEST:
        return _SLIGHT if step.optional else _ALONE
    if kind == CONNECTION:
        return _ALONE if step.outcome else 0  # without: it lost a race against another address
    return _SLIGHT if kind == PROCESS else 0


def _many(step: Step, mine: int, theirs: int) -> bool:
    if step.changes and theirs <= _FEW:
        return mine > theirs
    return mine > TIMES * theirs and mine - theirs >= LEAST_MORE
