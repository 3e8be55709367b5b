"""What logs travel through, each as a layer that takes it off: lines -> lines.

`unwrap` decides which of these a log needs. A layer never drops a line that it does not understand: it passes it on.
One that joins lines, or looks ahead, says in the log's `Place` where in the file what it gives began.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator

from systrace.parser.leader import recognise


class Place:
    """Where in its file the line begins that was given last: one for all layers of a log, who work line by line.

    `line` is valid from the moment a line comes out of the outermost layer until the next one is asked for.
    """

    __slots__ = ("line", "total")

    def __init__(self) -> None:
        self.line = 0  # 1-based
        self.total = 0  # lines of the file, once it was read to its end

    def counted(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines of the file itself."""
        for self.line, line in enumerate(lines, 1):
            self.total = self.line
            yield line

    def numbers(self) -> Iterator[int]:
        """For each line that was taken, where it began."""
        while True:
            yield self.line


Layer = Callable[[Iterable[bytes], Place], Iterator[bytes]]

_RFC3339 = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*(?:Z|[+-]\d\d:?\d\d)?"
_ANSI = re.compile(rb"\x1b(?:\[[0-?]{0,16}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78])")
PREFIXES: dict[str, re.Pattern[bytes]] = {
    "compose": re.compile(rb"[\w.-]{1,80} {1,30}\| "),
    "kubectl": re.compile(rb"(?:\[pod/[^\]\n]{1,200}\] )?" + _RFC3339 + rb" "),
    "pod": re.compile(rb"\[pod/[^\]\n]{1,200}\] "),
    "syslog": re.compile(
        rb"(?:<\d{1,3}>)?(?:\d )?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d[.\d]{0,7}|" + _RFC3339 + rb") \S{1,100} "
        rb"[^\s:\[]{1,80}(?:\[\d{1,8}\])?: ?"
    ),
    "ts": re.compile(rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})? "),
    "grep": re.compile(rb"(?:[^\s:(\"]{1,300}[:-])?\d{1,9}[:-]"),
    "grep-file": re.compile(rb"[^\s:(\"]{1,300}:"),
    "numbered": re.compile(rb" {0,8}\d{1,9}(?:\t|  (?=\S))"),
    "quoted": re.compile(rb"(?:> ?){1,8}|\| {0,4}"),
    "indented": re.compile(rb"[ \t]{1,80}"),
}
_JSON_KEYS = ("log", "message", "MESSAGE", "msg")  # docker, Elastic and kin, journald, slog
_MOST_JOINED = 1 << 20  # bytes
_TAGS = re.compile(rb"</?(?:pre|code|span|p|div|br|html|head|body|td|tr)\b[^<>]{0,200}>|<!DOCTYPE[^<>]{0,200}>", re.I)
ENDED = re.compile(
    rb"(?:= (?:-?\d+|\?|0x[0-9a-f]+)(?:<[^ ]*>)?(?: [A-Z]\w* \(.*\))?(?: \(.*\))?(?: <\d+\.\d+>)?|<unfinished \.\.\.>"
    rb"|<detached \.\.\.>|\+\+\+|---|attached|detached)\Z"
)


def prefix_layer(prefix: re.Pattern[bytes]) -> Layer:
    """Cuts what the pattern matches at the start of a line."""

    def layer(lines: Iterable[bytes], _place: Place) -> Iterator[bytes]:
        match = prefix.match
        for line in lines:
            found = match(line)
            yield line if found is None else line[found.end() :]

    return layer


def plain_text(line: bytes) -> bytes:
    """The line without what only a terminal obeys, and without the NULs that a crash left."""
    if b"\0" in line:
        line = line.replace(b"\0", b"")
    return _ANSI.sub(b"", line) if b"\x1b" in line else line


def terminal_layer(lines: Iterable[bytes], _place: Place) -> Iterator[bytes]:
    """script(1), tmux, a coloured `strace --color=always`, grep's marks."""
    return map(plain_text, lines)


def dollar_layer(lines: Iterable[bytes], _place: Place) -> Iterator[bytes]:
    """`cat -A`: a mark at the end of each line."""
    for line in lines:
        text = line.rstrip(b"\r\n")
        yield text.removesuffix(b"$").removesuffix(b"^M").replace(b"^I", b"\t") + b"\n" if text[-1:] == b"$" else line


def json_layer(lines: Iterable[bytes], place: Place) -> Iterator[bytes]:
    """One JSON object a line, the text under a well-known key; docker cuts long lines and leaves the newline out."""
    parts: dict[object, tuple[int, bytes]] = {}  # by stream, because both are cut: where it began, what came
    for line in lines:
        found = _json_text(line)
        if found is None:
            yield line
            continue
        stream, text, whole = found
        began, before = parts.pop(stream, (place.line, b""))
        text = before + text
        if whole or text.endswith(b"\n") or len(text) > _MOST_JOINED:
            place.line = began
            yield text if text.endswith(b"\n") else text + b"\n"
        elif len(parts) < 16:
            parts[stream] = began, text
    yield from _never_ended(parts.values(), place)


def _never_ended(parts: Iterable[tuple[int, bytes]], place: Place) -> Iterator[bytes]:
    for began, text in parts:
        place.line = began
        yield text


def _json_text(line: bytes) -> tuple[object, bytes, bool] | None:
    """(stream, text, whether it is a whole line) of a JSON object; None where it holds no text."""
    if line.lstrip()[:1] != b"{":
        return None
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    for key in _JSON_KEYS:
        value = fields.get(key)
        if isinstance(value, str):
            stream = fields.get("stream")
            text = value.encode("utf-8", "surrogateescape" if not _has_other_surrogate(value) else "replace")
            return stream if isinstance(stream, str) else None, text, key != "log"
        if key == "MESSAGE" and isinstance(value, list):  # journald gives bytes that are no UTF-8 as numbers
            numbers = [n for n in value if isinstance(n, int) and 0 <= n < 256]
            return None, bytes(numbers), True
    return None


def _has_other_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" and not "\udc80" <= letter <= "\udcff" for letter in text)


_CRI = re.compile(_RFC3339 + rb" (stdout|stderr) ([FP])(?::\w+)? ")


def cri_layer(lines: Iterable[bytes], place: Place) -> Iterator[bytes]:
    """containerd cuts long lines: `P` marks a part, `F` its end."""
    parts: dict[bytes, tuple[int, bytes]] = {}
    for line in lines:
        match = _CRI.match(line)
        if match is None:
            yield line
            continue
        began, before = parts.pop(match[1], (place.line, b""))
        text = before + line[match.end() :]
        if match[2] == b"P" and len(text) < _MOST_JOINED:
            parts[match[1]] = began, text.rstrip(b"\r\n")
        else:
            place.line = began
            yield text
    yield from _never_ended(parts.values(), place)


def html_layer(lines: Iterable[bytes], _place: Place) -> Iterator[bytes]:
    """Copied out of a page's source."""
    import html  # here: its table of entities is large

    for line in lines:
        text = without_tags(line).decode("utf-8", "surrogateescape")
        yield html.unescape(text).encode("utf-8", "surrogateescape")


def without_tags(text: bytes) -> bytes:
    """What a browser would show of a page that holds a log, its entities apart."""
    return _TAGS.sub(b"", text) if b"<" in text else text


def column_layer(width: int) -> Layer:
    """Undoes hard wraps: a line that reaches the edge goes on, unless its record has ended and another one begins."""

    def layer(lines: Iterable[bytes], place: Place) -> Iterator[bytes]:
        parts: list[bytes] = []
        size = began = 0
        for line in lines:
            here = place.line
            piece = line.rstrip(b"\r\n")
            if parts and not _goes_on(parts, piece, width):
                place.line = began
                yield b"".join(parts) + b"\n"
                parts, size = [], 0
            if parts:
                parts[-1] = parts[-1].ljust(width)  # blanks at the edge were not copied
            else:
                began = here
            parts.append(piece)
            size += len(piece)
            if not width - 2 <= len(piece) <= width or size > _MOST_JOINED:
                place.line = began
                yield b"".join(parts) + b"\n"
                parts, size = [], 0
        if parts:
            place.line = began
            yield b"".join(parts) + b"\n"

    return layer


def _goes_on(parts: list[bytes], piece: bytes, width: int) -> bool:
    """Whether the line that reached the edge is continued by this one."""
    ended = ENDED.search((parts[-2] if len(parts) > 1 else b"")[-200:] + parts[-1]) is not None
    found = recognise(piece)
    if found is None:
        return len(parts[-1]) == width or not ended
    shape, match = found
    return not ended and len(parts[-1]) == width and shape.clock == "none" and not match[1]
