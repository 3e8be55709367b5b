"""How far the server's clock and zone are from the trace's: what most requests agree on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from systrace.serverlogs import Entry
from systrace.serverlogs.reading import ServerLog

_S = 1_000_000_000
NEAR_NS = 5 * _S  # clocks of two hosts that keep time, and logs of whole seconds
AGREE = 3  # requests that have to agree on a clock that is not near
_FAR_NS = 900 * _S  # no clock is believed to be further off: the line of another run would do as well
_DAY_NS = 86_400 * _S
_ZONE_NS = 900 * _S  # zones differ by quarters of an hour
_ZONES_NS = 14 * 3_600 * _S  # and are at most as far from UTC
_SAMPLE = 200  # requests that vote, and lines that each of them may mean

Key = tuple[str, str]


class Asked(Protocol):
    """A request of the trace."""

    @property
    def start_ns(self) -> int | None:
        """When it was sent."""

    @property
    def key(self) -> Key:
        """Method and path."""


class Lines(Protocol):
    """Lines of the log, by what they ask for."""

    def of(self, key: Key) -> list[Entry]:
        """All of them."""

    def between(self, key: Key, first_ns: int, last_ns: int) -> list[Entry]:
        """Those of that time."""


def offset_of(asked: Sequence[Asked], log: ServerLog, lines: Lines, clock: str) -> int | None:
    """How much later the server's clock is, in ns, its zone included where the log does not tell it.

    0 is good enough for hosts that keep time. None where nobody knows.
    """
    voters = [(each.start_ns, each.key) for each in asked if each.start_ns is not None and each.key[0]][:_SAMPLE]
    if clock == "epoch":
        far = _FAR_NS if log.zoned else _ZONES_NS + _FAR_NS
        found = [
            (entry.start_ns - start, number)
            for number, (start, key) in enumerate(voters)
            for entry in lines.between(key, start - far, start + far)[:_SAMPLE]
        ]
        return _agreed(found) if log.zoned else _zoned(found, time.localtime().tm_gmtoff)
    if clock != "time-of-day" or log.first_ns is None or (log.last_ns or 0) - log.first_ns > _DAY_NS:
        return None  # of which day it is nobody knows
    found = [
        (in_a_day(entry.start_ns - start), number)
        for number, (start, key) in enumerate(voters)
        for entry in lines.of(key)[:_SAMPLE]
    ]
    return _zoned(found, -time.localtime(log.first_ns // _S).tm_gmtoff)


def _zoned(found: list[tuple[int, int]], local_s: int) -> int | None:
    """The zone for which most requests speak, several or one of the usual ones, and what they then agree on."""
    zones = Counter(zone for zone, _number in {(zone_of(delta), number) for delta, number in found})
    usual = {0, local_s * _S}
    fitting = [zone for zone, votes in zones.items() if votes > 1 or zone in usual]
    if not fitting:
        return None
    best = max(fitting, key=lambda zone: (zones[zone], zone in usual))
    return best + _agreed([(delta - best, number) for delta, number in found if zone_of(delta) == best])


def in_a_day(delta: int) -> int:
    """A difference of clocks without a date, in ns: at most half a day either way."""
    return (delta + _DAY_NS // 2) % _DAY_NS - _DAY_NS // 2


def zone_of(delta: int) -> int:
    """The whole quarters of an hour of a difference of clocks, in ns."""
    return (delta + _ZONE_NS // 2) // _ZONE_NS * _ZONE_NS


def _agreed(deltas: list[tuple[int, int]]) -> int:
    """What most requests agree on; a clock that is not near needs several."""
    near = sorted(delta for delta, _number in deltas if abs(delta) <= NEAR_NS)
    close = len({number for delta, number in deltas if abs(delta) <= NEAR_NS})
    ordered = sorted(deltas)
    best: list[int] = []
    voices, most, first = Counter[int](), 0, 0
    for last, (delta, number) in enumerate(ordered):
        voices[number] += 1
        while delta - ordered[first][0] > NEAR_NS:
            voices[ordered[first][1]] -= 1
            voices += Counter()  # without those that have none
            first += 1
        if len(voices) > most:
            most, best = len(voices), [each for each, _number in ordered[first : last + 1]]
    if most >= AGREE and most > close:
        return best[len(best) // 2]
    return near[len(near) // 2] if near else 0
