"""Where secrets are in strace's text: its strings are read with their escapes, and the places told in the text as it is."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from systrace.masking.argv import argument_spans
from systrace.masking.fields import Spans, secret_spans

_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)(?:"|\Z)', re.DOTALL)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"f": b"\f", b"v": b"\v", b"a": b"\a", b"b": b"\b", b"e": b"\x1b"}
_ARGV = re.compile(rb'\[((?:"(?:[^"\\]|\\.)*"(?:\.\.\.)?(?:, )?){1,4096})', re.DOTALL)
Find = Callable[[bytes], Spans]


class Escaped:
    """Text with strace's escapes: its bytes, and where each of them stands."""

    def __init__(self, text: bytes) -> None:
        self._text_at, self._data_at = [0], [0]  # where a plain run, or an escape, begins
        out: list[bytes] = []
        at = size = 0
        for match in _ESCAPE.finditer(text):
            if match.start() > at:
                out.append(text[at : match.start()])
                size += match.start() - at
            self._mark(match.start(), size)
            out.append(_unescaped(match[1]))
            size, at = size + 1, match.end()
            self._mark(at, size)
        out.append(text[at:])
        self.data = b"".join(out)

    def _mark(self, text_at: int, data_at: int) -> None:
        self._text_at.append(text_at)
        self._data_at.append(data_at)

    def place(self, offset: int) -> int:
        """Where in the text the byte of that offset begins."""
        at = bisect_right(self._data_at, offset) - 1
        return self._text_at[at] + offset - self._data_at[at]


def _unescaped(code: bytes) -> bytes:
    if code[:1] == b"x" and len(code) == 3:
        return bytes((int(code[1:], 16),))
    if code[:1] in b"01234567":
        return bytes((int(code, 8) & 0xFF,))
    return _LETTERS.get(code, code)


Place = tuple[int, int, bytes]  # from, to, in the text; the bytes that stand there


def string_places(text: bytes, find: Find = secret_spans) -> Iterator[Place]:
    """The secrets in the strings of a call's arguments."""
    for match in _STRING.finditer(text):
        if match.end(1) - match.start(1) > 2:
            yield from escaped_places(text, match.start(1), match.end(1), find)


def escaped_places(text: bytes, start: int, end: int, find: Find = secret_spans) -> Iterator[Place]:
    """The same in one string, without its quotes."""
    inside = text[start:end]
    if b"\\" not in inside:
        for low, high in find(inside):
            yield start + low, start + high, inside[low:high]
        return
    escaped = Escaped(inside)
    for low, high in find(escaped.data):
        yield start + escaped.place(low), start + escaped.place(high), escaped.data[low:high]


def argv_places(text: bytes) -> Iterator[Place]:
    """The secrets in the lists of strings of an execve."""
    for vector in _ARGV.finditer(text):
        strings = [(m.start(1), m.end(1)) for m in _STRING.finditer(text, vector.start(1), vector.end(1))]
        words = [Escaped(text[low:high]) for low, high in strings]
        for (low, _high), word, spans in zip(strings, words, argument_spans([w.data for w in words]), strict=True):
            for start, end in spans:
                yield low + word.place(start), low + word.place(end), word.data[start:end]


def apart(places: Sequence[Place]) -> list[Place]:
    """In order; of those that overlap the one that begins first, made longer where another ends later."""
    out: list[Place] = []
    for start, end, data in sorted(places, key=lambda p: (p[0], -p[1])):
        if out and start < out[-1][1]:
            low, high, before = out[-1]
            if end > high:  # the bytes are only named by this: equal length matters, not which they are
                out[-1] = low, end, before + data[len(data) - min(len(data), end - high) :]
            continue
        out.append((start, end, data))
    return out
