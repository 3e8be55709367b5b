"""Clocks and zones of two hosts, told by the requests that both saw."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from systrace.serverlogs import Entry
from systrace.serverlogs.clocks import in_a_day, offset_of, zone_of
from systrace.serverlogs.reading import ServerLog

S, H = 1_000_000_000, 3_600_000_000_000
T0 = 1_764_324_000 * S
Key = tuple[str, str]


@dataclass
class Asked:
    """A request of the trace."""

    start_ns: int | None
    key: Key


class Lines(list[Entry]):
    """All ask for the same."""

    def of(self, key: Key) -> list[Entry]:
        return [each for each in self if (each.method, each.target) == key]

    def between(self, key: Key, first_ns: int, last_ns: int) -> list[Entry]:
        return [each for each in self.of(key) if first_ns <= each.start_ns <= last_ns]


def offset(shifts_ns: list[int], *, zoned: bool = True, clock: str = "epoch") -> int | None:
    """Of requests ten minutes apart, each later by so much in the log."""
    asked = [Asked(T0 + number * 600 * S, ("GET", f"/{number}")) for number in range(len(shifts_ns))]
    entries = [
        Entry(number, (each.start_ns or 0) + shift, None, 200, *each.key)
        for number, (each, shift) in enumerate(zip(asked, shifts_ns, strict=True))
    ]
    ends = [entry.end_ns for entry in entries]
    if clock == "time-of-day":
        asked = [Asked((each.start_ns or 0) % (24 * H), each.key) for each in asked]
    log = ServerLog("log", "kind", zoned, entries, len(entries), 0, min(ends), max(ends))
    return offset_of(asked, log, Lines(entries), clock)


@pytest.mark.parametrize(
    ("shifts", "found"),
    [
        ([0], 0),
        ([2 * S], 2 * S),
        ([60 * S], 0),  # one alone moves no clock
        ([60 * S, 60 * S], 0),
        ([60 * S, 61 * S, 60 * S], 60 * S),
        ([60 * S, -400 * S, 700 * S], 0),  # they do not agree
        ([2000 * S] * 3, 0),  # the line of another run
    ],
)
def test_clocks(shifts: list[int], found: int) -> None:
    assert offset(shifts) == found


@pytest.mark.parametrize(
    ("shifts", "found"),
    [([0], 0), ([H, H], H), ([-5 * H + S] * 3, -5 * H + S), ([20_700 * S] * 2, 20_700 * S), ([3 * H + 900 * S], None)],
)
def test_zones(shifts: list[int], found: int | None) -> None:
    assert offset(shifts, zoned=False) == found


def test_a_clock_without_dates_may_be_of_any_zone() -> None:
    assert offset([0, 0], clock="time-of-day") is not None
    assert offset([0, 0], clock="relative") is None


def test_quarters_of_an_hour_and_half_days() -> None:
    assert [zone_of(delta * S) for delta in (0, 449, 451, -451, 3600)] == [0, 0, 900 * S, -900 * S, 3600 * S]
    assert [in_a_day(delta * H) for delta in (1, -1, 13, 23, 25)] == [H, -H, -11 * H, -H, H]
