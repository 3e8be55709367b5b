"""Times of the same steps in two runs: those beyond twice, and beyond what clocks and schedulers make of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from systrace.compare.nouns import BAD, GOOD, Difference, Key, Pair, Run
from systrace.compare.weighing import TIMES, difference
from systrace.words import duration

_LEAST_NS = 100_000_000
_FEW_OF, _MANY, _MANY_OF = (
    8,
    5,
    20,
)  # one of eight, or five and one of twenty; less, and by less than this: a busy machine
_LONG_NS = 1_000_000_000
_WHOLE_SECONDS = 1_000_000_000  # strace -t
_WHOLE_JOB_NS = 5_000_000_000  # what tracers cost a job that does much beside its steps
_SLOWER, _FASTER, _WHOLE_JOB = 40, 8, 12  # as in `weighing`
_WORDS = {
    "connect": "connecting took",
    "TLS": "the TLS handshake took",
    "look-up": "it took",
    "first byte": "the answer's first byte came after",
    "slowest answer": "the slowest answer came after",
    "answer": "the answer came after",
    "transfer": "the rest of the answer took",
}


def of_times(pairs: Sequence[Pair]) -> Iterator[Difference]:
    """One for each step and time that differ. The k-th longest is compared with the k-th longest: order tells nothing."""
    least = _least(pairs)
    groups: dict[tuple[Key, str], list[tuple[int, Pair]]] = defaultdict(list)
    for order, pair in enumerate(pairs):
        if pair.good is not None and pair.bad is not None and pair.good.outcome == pair.bad.outcome:
            for name in pair.bad.times.keys() & pair.good.times.keys():
                groups[pair.bad.key, name].append((order, pair))
    for (_key, name), group in groups.items():
        yield from _of_group(name, group, least)


def _least(pairs: Sequence[Pair]) -> int:
    """What a clock of whole seconds cannot tell apart is no difference."""
    stamps = [step.start_ns for pair in pairs for step in pair if step is not None]
    for side in zip(*[(p.good.start_ns if p.good else 0, p.bad.start_ns if p.bad else 0) for p in pairs], strict=True):
        if stamps and not any(ns % _WHOLE_SECONDS for ns in side):
            return 2 * _WHOLE_SECONDS
    return _LEAST_NS


def _of_group(name: str, group: list[tuple[int, Pair]], least: int) -> Iterator[Difference]:
    before = sorted((pair.good.times[name] for _, pair in group if pair.good is not None), reverse=True)
    by_now = sorted(group, key=lambda each: each[1].bad.times[name] if each[1].bad is not None else 0, reverse=True)
    now = [pair.bad.times[name] for _, pair in by_now if pair.bad is not None]
    for slower in (True, False):
        far = [
            at
            for at, (b, n) in enumerate(zip(before, now, strict=True))
            if _far(*((b, n) if slower else (n, b)), least)
        ]
        if not far or (_few(len(far), len(group)) and now[far[0]] - before[far[0]] < _LONG_NS):
            continue
        order, pair = by_now[far[0]]
        assert pair.bad is not None
        then, this = before[far[0]], now[far[0]]
        text = f"{pair.bad.text}: {_WORDS.get(name, name)} {duration(this)} in {BAD}, {duration(then)} in {GOOD}"
        text += f" (and {len(far) - 1} more of {len(group)})" if len(far) > 1 else ""
        told = difference("time", _SLOWER if slower else _FASTER, text, pair, duration(then), duration(this))
        yield replace(told, order=order, count=len(far), of=len(group), slower_s=(this - then) / 1e9)
        return


def _few(some: int, of: int) -> bool:
    return some * _FEW_OF < of and (some < _MANY or some * _MANY_OF < of)


def _far(low: int, high: int, least: int) -> bool:
    return high > TIMES * low and high - low > least


def of_whole_job(good: Run, bad: Run) -> Difference | None:
    """The job took longer, wherever that was."""
    if good.span_s is None or bad.span_s is None:
        return None
    then, this = round(good.span_s * 1e9), round(bad.span_s * 1e9)
    if not _far(then, this, _WHOLE_JOB_NS):
        return None
    text = f"the whole job took {duration(this)} in {BAD}, {duration(then)} in {GOOD}"
    return Difference("time", text, "the job", "", "", duration(then), duration(this), None, None, weight=_WHOLE_JOB)
