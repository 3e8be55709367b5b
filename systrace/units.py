"""Durations and sizes as people write them: `30s`, `2h`, `1h30m`, `64M`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from systrace.errors import UsageError

Number = TypeVar("Number", int, float)
LONGEST_SECONDS = 2_000_000.0  # poll(2) counts milliseconds in 31 bits
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NUMBER = r"(\d{1,12}(?:\.\d{1,9})?)"
_PART = re.compile(rf"{_NUMBER}\s?(ms|min|[smhd]|)", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(rf"{_NUMBER}|(?:{_NUMBER}\s?(?:ms|min|[smhd])\s?)+", re.IGNORECASE | re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s?([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)


def seconds(text: str, longest: float = LONGEST_SECONDS) -> float:
    """A duration in seconds, more than none; a number without a unit means seconds.

    >>> [seconds(text) for text in ("30", "250ms", "5m", "1h30m")]
    [30.0, 0.25, 300.0, 5400.0]

    Raises:
        UsageError: no duration, nothing, or more than `longest`.
    """
    word = text.strip()
    parts = _PART.findall(word) if _DURATION.fullmatch(word) else []
    if not parts:
        raise UsageError(f"{_shown(text)} is no duration: write 30s, 5m, 2h or 1d")
    total = sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts)
    if not total:
        raise UsageError(f"{_shown(text)} is no time at all: write 30s, 5m, 2h or 1d")
    if total > longest:
        raise UsageError(f"{_shown(text)} is too long: at most {longest:,.0f} s ({longest / 86400:.0f} days)")
    return total


def size(text: str) -> int:
    """A size in bytes; units count by 1024.

    >>> [size(text) for text in ("4096", "500k", "64M", "1.5G", "2GiB")]
    [4096, 512000, 67108864, 1610612736, 2147483648]

    Raises:
        UsageError: no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{_shown(text)} is no size: write 500k, 64M or 2G")
    return int(float(found[1]) * _BYTES[found[2].lower()])


def named(option: str, read: Callable[[str], Number], text: str) -> Number:
    """What an option's text says; a complaint about it names the option.

    Raises:
        UsageError: see `read`.
    """
    try:
        return read(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from error


def _shown(text: str) -> str:
    text = text if len(text) <= 40 else text[:40] + "..."
    return repr(text) if not text.isprintable() or not text or " " in text else text
