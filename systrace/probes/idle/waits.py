"""Which silences to try, so that the answer names a limit of the catalogue or none."""

from __future__ import annotations

from collections.abc import Sequence

from systrace.idle_limits import Limit, nat_s

CONTROLS = 2
_NEAR = 0.05
_KEEPALIVE_S = 45  # shorter than every catalogue limit of a path


def bracketing(limits: Sequence[Limit], longest_s: float, most: int) -> list[float]:
    """5 % below and above each limit of a path up to `longest_s`, at most so many, and the longest itself.

    The limit that most jobs meet comes first. Limits of servers need no brackets: a close tells its time by itself. What
    is left over is spread over the gaps.
    """
    unseen = {each.idle_s for each in limits if each.unseen and each.idle_s * (1 + _NEAR) <= longest_s}
    chosen = [longest_s]
    for limit in sorted(unseen, key=lambda one: (one != nat_s(), one)):
        if len(chosen) + 2 <= most:
            chosen += [limit * (1 - _NEAR), limit * (1 + _NEAR)]
    chosen = sorted(set(chosen))
    while len(chosen) < most:
        _, low, high = max((high - low, low, high) for low, high in zip([0.0, *chosen], chosen, strict=False))
        chosen = sorted([*chosen, (low + high) / 2])
    return chosen


def between(low_s: float, high_s: float, most: int) -> list[float]:
    """The second round: the bracket in equal parts, its upper end once more."""
    step = (high_s - low_s) / most
    return [low_s + step * number for number in range(1, most + 1)]


def narrow_enough(low_s: float, high_s: float) -> bool:
    """Both ends are within 5 % of what lies between: no second round would tell more about the catalogue."""
    return high_s - low_s <= 2.2 * _NEAR * high_s


def fitting(limits: Sequence[Limit], low_s: float, high_s: float) -> list[Limit]:
    """The entries of the catalogue between the longest silence that was survived and the shortest that was not."""
    slack = 0.01 * high_s
    return [each for each in limits if each.unseen and low_s - slack <= each.idle_s <= high_s + slack]


def keepalive_s(longest_s: float) -> int:
    """How often the control group is probed."""
    return max(1, min(_KEEPALIVE_S, int(longest_s / 8)))
