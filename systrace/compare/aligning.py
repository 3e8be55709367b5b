"""Which step of one run is which step of the other.

First the longest common sequence of equal steps of each process role; then, of what is left, whatever is the same step
by its key, in any order (connections run side by side), and at last by less and less of the key: a name that only one of
the logs shows, a peer or a URL that has changed.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence

from systrace.compare.nouns import CONNECTION, REQUEST, Key, Pair, Step

_MOST_EDITS = 400  # beyond, order tells nothing
_Sign = Callable[[Step], Hashable]


def aligned(good: Sequence[Step], bad: Sequence[Step]) -> list[Pair]:
    """Pairs of all steps; those of BAD in its order, those of GOOD alone behind the step that they would have followed."""
    roles = {step.key.role for step in good} & {step.key.role for step in bad}
    partner: dict[int, int] = {}  # index in GOOD -> index in BAD
    for role in sorted(roles):
        ours = [at for at, step in enumerate(good) if step.key.role == role]
        theirs = [at for at, step in enumerate(bad) if step.key.role == role]
        same = common([_whole(good[at]) for at in ours], [_whole(bad[at]) for at in theirs])
        partner |= {ours[one]: theirs[other] for one, other in same}
    for sign in _SIGNS:
        _pair_up(good, bad, partner, sign)
    _follow_requests(good, bad, partner)
    return list(_in_order(good, bad, partner))


def common(one: Sequence[Hashable], other: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Indices of a longest common subsequence (Myers 1986); of sequences with little in common only both ends.

    >>> common("abcabba", "cbabac")
    [(2, 0), (3, 2), (4, 3), (6, 4)]
    """
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    middle = _shortest(one[start : len(one) - end], other[start : len(other) - end])
    tail = [(len(one) - end + at, len(other) - end + at) for at in range(end)]
    return [*((at, at) for at in range(start)), *((start + x, start + y) for x, y in middle), *tail]


def _shortest(one: Sequence[Hashable], other: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The same by the shortest edit script; empty where that has more than so many edits."""
    furthest = {1: 0}  # diagonal -> x
    history: list[dict[int, int]] = []
    for edits in range(min(len(one) + len(other), _MOST_EDITS) + 1):
        history.append(dict(furthest))
        for diagonal in range(-edits, edits + 1, 2):
            down = diagonal == -edits or (
                diagonal != edits and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
            )
            x = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            y = x - diagonal
            while x < len(one) and y < len(other) and one[x] == other[y]:
                x, y = x + 1, y + 1
            furthest[diagonal] = x
            if x >= len(one) and y >= len(other):
                return _walked_back(history, len(one), len(other))
    return []


def _walked_back(history: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for edits in range(len(history) - 1, -1, -1):
        furthest, diagonal = history[edits], x - y
        down = diagonal == -edits or (
            diagonal != edits and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
        )
        before = diagonal + 1 if down else diagonal - 1
        x_before = furthest.get(before, 0)
        y_before = x_before - before
        while x > x_before and y > max(y_before, 0):
            x, y = x - 1, y - 1
            found.append((x, y))
        x, y = x_before, y_before
    found.reverse()
    return found


# ------------------------------------------------------------------------------------------------ what order leaves over


def _whole(step: Step) -> Hashable:
    return step.key, step.exact, step.outcome


def _without_role(step: Step) -> Key:
    return step.key._replace(role="")


def _by_port(step: Step) -> Hashable:
    """The name is in one of the logs only, or is another."""
    key = step.key
    return key._replace(role="", peer="") if key.kind in (CONNECTION, REQUEST) else id(step)


def _elsewhere(step: Step) -> Hashable:
    """The same was asked of another peer."""
    key = step.key
    return (key.protocol, key.method, key.shape) if key.kind == REQUEST and key.shape else id(step)


def _otherwise(step: Step) -> Hashable:
    """Something else was asked of the same peer."""
    key = step.key
    return (key.role, key.peer, key.port, key.protocol, key.method) if key.shape and key.kind == REQUEST else id(step)


_SIGNS: tuple[_Sign, ...] = (
    _whole,
    lambda step: (step.key, step.exact),
    lambda step: (step.key, step.outcome),
    lambda step: step.key,
    lambda step: (_without_role(step), step.exact),
    _without_role,
    _by_port,
    _elsewhere,
    _otherwise,
)


def _pair_up(good: Sequence[Step], bad: Sequence[Step], partner: dict[int, int], sign: _Sign) -> None:
    """Those without a partner that have the same sign, in order."""
    taken = set(partner.values())
    waiting: dict[Hashable, deque[int]] = defaultdict(deque)
    for at, step in enumerate(bad):
        if at not in taken:
            waiting[sign(step)].append(at)
    for at, step in enumerate(good):
        if at not in partner and (found := waiting.get(sign(step))):
            partner[at] = found.popleft()


def _follow_requests(good: Sequence[Step], bad: Sequence[Step], partner: dict[int, int]) -> None:
    """A connection to another peer is the same step where the same was asked over it."""
    carried = {good[one].socket: bad[other].socket for one, other in partner.items() if good[one].key.kind == REQUEST}
    taken = set(partner.values())
    free = {step.socket: at for at, step in enumerate(bad) if at not in taken and step.key.kind == CONNECTION}
    for at, step in enumerate(good):
        if at not in partner and step.key.kind == CONNECTION and carried.get(step.socket) in free:
            partner[at] = free.pop(carried[step.socket])


def _in_order(good: Sequence[Step], bad: Sequence[Step], partner: dict[int, int]) -> Iterator[Pair]:
    back = {theirs: ours for ours, theirs in partner.items()}
    behind: dict[int, list[Step]] = defaultdict(list)
    last = -1
    for at, step in enumerate(good):
        if at in partner:
            last = partner[at]
        else:
            behind[last].append(step)
    yield from (Pair(each, None) for each in behind[-1])
    for at, step in enumerate(bad):
        yield Pair(good[back[at]] if at in back else None, step)
        yield from (Pair(each, None) for each in behind[at])
