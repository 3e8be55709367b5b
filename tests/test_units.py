"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest

from systrace import units
from systrace.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30", 30), ("30s", 30), ("250ms", 0.25), ("0.5", 0.5), ("5m", 300), ("5min", 300), ("2h", 7200), ("1d", 86400),
     ("1h30m", 5400), ("1h 30m", 5400), (" 2H ", 7200), ("1.5h", 5400), ("1m1s1ms", 61.001), ("5\n", 5), ("1H30MIN", 5400)],
)  # fmt: skip
def test_durations(text: str, expected: float) -> None:
    assert units.seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    ["", " ", "abc", "-5", "+5", "nan", "inf", "1e3", "5x", "1h30", "30 40", "s", "²", "٣", "0", "0s", "0h0m", "24d",
     "9" * 12 + "d", "1.", ".5", "1h\x1b[2J", "5,5", "5\u017f", "1" * 5000 + "!"],
)  # fmt: skip
def test_what_is_no_duration_is_said_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        units.seconds(text)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("4096", 4096), ("500k", 512_000), ("64M", 64 << 20), ("64 MB", 64 << 20), ("64mib", 64 << 20),
     ("1.5G", 3 << 29), ("2GiB", 2 << 30), ("1t", 1 << 40), ("7b", 7)],
)  # fmt: skip
def test_sizes(text: str, expected: int) -> None:
    assert units.size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "M", "-1", "1e6", "64X", "1k1m", "٣", "²", "nan", "64\x1b[2J", "1..5G", "i", "1 i", "٣M"]
)
def test_what_is_no_size_is_said_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        units.size(text)
    assert str(refused.value).isprintable()
    assert "is no size: write 500k, 64M or 2G" in str(refused.value)
