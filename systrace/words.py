"""Text for people: what others chose (bytes, names, paths) made harmless, cut to a width; times and sizes in words.

A duration has three forms on purpose: `duration` in cells of tables and lines of calls, `seconds` in sentences about a log
(measured to the microsecond), `roughly` in those about a process that was just looked at.
"""

from __future__ import annotations

import os
import re
import unicodedata
from functools import cache
from pathlib import Path

# Printable by Unicode's book and yet invisible: joiners, fillers, vowel inherents, variation selectors.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MOST_MARKS = 3  # combining marks on one character; more would climb over other lines; the first needs a base
_SECOND = 1_000_000_000
_UNKNOWN = "an unknown time"


def safe(text: str | bytes, width: int | None = None) -> str:
    """Text that no terminal obeys: one line, at most `width` columns.

    Controls (C0, C1, ESC, newlines), bidirectional and zero-width characters, private and unassigned ones and lone
    surrogates become \\xNN or \\u{...}; bytes that are not UTF-8 become \\xNN.

    >>> safe(b"a\\x1b[2Jb\\xff")
    'a\\\\x1b[2Jb\\\\xff'
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if not (text.isascii() and text.isprintable()):
        text = "".join(_escaped(text))
    return text if width is None else cut(text, width)


def _escaped(text: str) -> list[str]:
    out: list[str] = []
    marks = 0
    for char in text:
        marks = (marks + 1 if out else _MOST_MARKS + 1) if unicodedata.combining(char) else 0
        if (char != "\u3000" and not char.isprintable()) or _INVISIBLE.match(char) or marks > _MOST_MARKS:
            code = ord(char)
            code -= 0xDC00 if 0xDC80 <= code <= 0xDCFF else 0  # a byte of a file name that is not UTF-8 (PEP 383)
            char = f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"
        out.append(char)
    return out


def clean(raw: bytes | str, limit: int = 400) -> str:
    """Text of at most `limit` characters, made safe: for what is kept before anybody knows how wide it may be shown.

    >>> clean(b"job\\x1b[2J" + b"x" * 400, 9)
    'job\\\\x1b[2Jx…'
    """
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    return safe(text if len(text) <= limit else text[: limit - 1] + "…")


def is_binary(data: bytes) -> bool:
    """Whether a quarter of it or more is nothing that people read."""
    text = data.decode("utf-8", "replace")
    return sum(not (c.isprintable() or c in _NAMED) or c == "\ufffd" for c in text) * 4 >= max(len(text), 1)


def payload(data: bytes, width: int) -> str:
    """The first bytes of a transfer in quotes, cut to `width` columns; line ends as \\r and \\n."""
    text = data[: 4 * width].decode("utf-8", "backslashreplace")
    for char, name in _NAMED.items():
        text = text.replace(char, name)
    return cut(f'"{safe(text)}"', width)


@cache
def ascii_only() -> bool:
    """Whether the locale (locale(7)) promises no UTF-8, as under cron: then nothing else than ASCII is written.

    Python itself sets LC_CTYPE to C.UTF-8 in the C locale (PEP 538): what it was started with counts.
    """
    names = ["LC_ALL", "LC_CTYPE", "LANG"]
    if os.environ.get("LC_CTYPE") == "C.UTF-8" and not _was_set("LC_CTYPE"):
        names.remove("LC_CTYPE")
    chosen = next((os.environ[name] for name in names if os.environ.get(name)), "C")
    return not re.search(r"(?i)utf-?8", chosen)


def _was_set(name: str) -> bool:
    try:
        started_with = Path("/proc/self/environ").read_bytes()
    except OSError:
        return True
    return any(pair.startswith(f"{name}=".encode()) for pair in started_with.split(b"\0"))


_ASCII = str.maketrans({"…": "...", "“": '"', "”": '"', "×": "x"})


def encoded(text: str) -> bytes:
    """Text as bytes for the user's terminal, mail or file: UTF-8, or ASCII with escapes where the locale has no more."""
    if ascii_only():
        return text.translate(_ASCII).encode("ascii", "backslashreplace")
    return text.encode("utf-8", "backslashreplace")


def columns(text: str) -> int:
    """How many terminal columns safe text takes: East Asian wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The beginning of safe text, with … where something was cut."""
    if columns(text) <= width:
        return text
    dots = _dots()
    return _fitting(text, max(width - len(dots), 0)) + dots


def cut_middle(text: str, width: int) -> str:
    """Beginning and end of safe text: in a call, the result at its end matters most."""
    if columns(text) <= width:
        return text
    if width < 12:
        return cut(text, width)
    dots = f" {_dots()} "
    tail = (width - len(dots)) * 2 // 5
    return _fitting(text, width - len(dots) - tail) + dots + _fitting(text[::-1], tail)[::-1]


def _dots() -> str:
    return "..." if ascii_only() else "…"


def _fitting(text: str, width: int) -> str:
    taken = 0
    for at, char in enumerate(text):
        taken += _columns(char)
        if taken > width:
            return text[:at]
    return text


def duration(ns: int | None) -> str:
    """A time span for people, "-" when unknown.

    >>> [duration(s) for s in (None, 40_000, 35_000_000, 2_500_000_000, 411_000_000_000, 7_980_000_000_000)]
    ['-', '0.04 ms', '35 ms', '2.5 s', '411 s', '2 h 13 min']
    """
    if ns is None:
        return "-"
    if ns < 10_000_000:
        return f"{ns / 1e6:.2f}".rstrip("0").rstrip(".") + " ms"
    if ns < _SECOND:
        return f"{ns / 1e6:.0f} ms"
    seconds = ns / _SECOND
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds:.0f} s"
    return _hours(round(seconds / 60), days=True)


def seconds(ns: int | None) -> str:
    """A time span in a sentence; above two hours, the longest that settings give in seconds, in hours.

    >>> [seconds(s) for s in (None, 350_000_000, 60_060_000_000, 412_000_000_000, 7_980_000_000_000)]
    ['an unknown time', '0.35 s', '60.1 s', '412 s', '2 h 13 min']
    """
    if ns is None:
        return _UNKNOWN
    value = ns / _SECOND
    if value > 7205:
        return _hours(round(value / 60), days=False)
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} s"


def without_holes(text: str) -> str:
    """A sentence without the times that nobody knows: not a word of them is better than "an unknown time".

    >>> without_holes("job waited an unknown time for data, which came an unknown time after; no answer for an unknown time")
    'job waited for data, which came some time after; no answer'
    """
    if _UNKNOWN in text:
        for pattern, instead in _HOLES:
            text = re.sub(pattern.replace("@", _UNKNOWN), instead, text)
    return text


_HOLES = (
    (r":? @ so far", ""),
    (r" \(@\)", ""),
    (r" (?:for|in|within|of) @", ""),
    (r" @ (?=after|before|later)", " some time "),
    (r" @(?= (?:for|in|on)\b)", ""),
)


def roughly(seconds: float) -> str:
    """How long a wait has lasted, or will, as far as one look tells.

    >>> [roughly(s) for s in (0.04, 9.96, 412.3, 2000, 7980, 275000)]
    ['0.0 s', '10 s', '412 s', '33 min', '2 h 13 min', '3 d 4 h']
    """
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 1000:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else _hours(minutes, days=True)


def _hours(minutes: int, *, days: bool) -> str:
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24} d {hours % 24} h" if days and hours >= 48 else f"{hours} h {minutes} min"


def size(count: int) -> str:
    """Bytes for people, decimal units.

    >>> [size(n) for n in (0, 999, 1000, 1_250_000, 3_000_000_000)]
    ['0 B', '999 B', '1.0 kB', '1.2 MB', '3.0 GB']
    """
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        del units[0]
    unit = units[0]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def wrap(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Safe text broken at spaces into lines of `width` columns, with a lead before the first and the other lines.

    A word that is longer than a line stays whole: paths and commands must survive copying.
    """
    lines: list[str] = []
    line, empty = first, True
    for word in safe(text).split():
        if not empty and columns(line) + 1 + columns(word) > width:
            lines.append(line)
            line, empty = rest, True
        line += word if empty else f" {word}"
        empty = False
    lines.append(line)
    return lines
