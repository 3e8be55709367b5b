"""Logs that travelled: through docker, kubectl, syslog, script(1), grep, a mail client or a terminal 80 columns wide.

The first lines decide which wrapper fits best; a log that came as strace wrote it passes untouched.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from systrace.parser.leader import recognise

Strip = Callable[[bytes], bytes]

_HEAD = 64  # lines looked at before deciding
_RFC3339 = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*(?:Z|[+-]\d\d:?\d\d)?"
_ANSI = re.compile(
    rb"\x1b(?:\[[0-?]{0,16}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78])|\x00"
)
_PREFIXES: dict[str, re.Pattern[bytes]] = {
    "compose": re.compile(rb"[\w.-]{1,80} {1,30}\| "),
    "cri": re.compile(_RFC3339 + rb" std(?:out|err) F "),
    "kubectl": re.compile(rb"(?:\[pod/[^\]\n]{1,200}\] )?" + _RFC3339 + rb" "),
    "pod": re.compile(rb"\[pod/[^\]\n]{1,200}\] "),
    "syslog": re.compile(
        rb"(?:<\d{1,3}>)?(?:\d )?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|" + _RFC3339 + rb") \S{1,100} "
        rb"[^\s:\[]{1,80}(?:\[\d{1,8}\])?: ?"
    ),
    "grep": re.compile(rb"(?:[^\s:]{1,300}[:-])?\d{1,9}[:-](?=[\s\[\d\w<+-])"),
    "grep-file": re.compile(rb"[^\s:(\"]{1,300}:(?=[\s\[\d\w<+-])"),
    "numbered": re.compile(rb" {0,8}\d{1,9}(?:\t|  (?=\S))"),
    "quoted": re.compile(rb"(?:> ?){1,8}|\| {0,4}"),
    "indented": re.compile(rb"[ \t]{1,80}"),
}


def unwrap(lines: Iterable[bytes], name_wrapper: Callable[[str], None]) -> Iterator[bytes]:
    """The lines as strace printed them. Tells `name_wrapper` what was taken off, if anything."""
    source = iter(lines)
    head = list(islice(source, _HEAD))
    everything: Iterator[bytes] = chain(head, source)
    if any(b"\x1b" in line or b"\0" in line for line in head):
        name_wrapper("terminal")
        head = [_plain_text(line) for line in head]
        everything = map(_plain_text, everything)
    plain = _score(head, bytes)
    if any(line.startswith(b'{"log":') for line in head[:3]):
        name_wrapper("docker-json")
        yield from _docker_json(everything)
        return
    best, best_score = "", plain
    for name, prefix in _PREFIXES.items():
        score = _score(head, _cutter(prefix))
        if score > best_score:
            best, best_score = name, score
    if best:
        name_wrapper(best)
        everything = _joined_cri(everything) if best == "cri" else map(_cutter(_PREFIXES[best]), everything)
    if any(b"&quot;" in line or b"&lt;unfinished" in line for line in head) and not any(b'"' in line for line in head):
        name_wrapper("html")
        everything = (html.unescape(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
                      for line in everything)  # fmt: skip
    width = _wrapped_at(head)
    if width:
        name_wrapper(f"{width} columns")
        everything = _joined(everything, width)
    yield from everything


def _plain_text(line: bytes) -> bytes:
    return _ANSI.sub(b"", line) if b"\x1b" in line or b"\0" in line else line


def _score(lines: list[bytes], strip: Strip) -> int:
    """How many lines begin as strace begins one; those with a pid or clock column count more."""
    score = 0
    for line in lines:
        found = recognise(strip(line))
        if found is not None:
            shape, match = found
            score += 2 if shape.clock != "none" or match[1] else 1
    return score


def _cutter(prefix: re.Pattern[bytes]) -> Strip:
    def cut(line: bytes) -> bytes:
        match = prefix.match(line)
        return line[match.end() :] if match is not None else line

    return cut


def _docker_json(lines: Iterable[bytes]) -> Iterator[bytes]:
    part = b""
    for line in lines:
        try:
            text = json.loads(line)["log"].encode("utf-8", "surrogateescape")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            yield line
            continue
        part += text
        if part.endswith(b"\n") or len(part) > 1 << 20:
            yield part
            part = b""
    if part:
        yield part


def _joined_cri(lines: Iterable[bytes]) -> Iterator[bytes]:
    """containerd cuts long lines: `P` marks a part, `F` its end."""
    partial = re.compile(_RFC3339 + rb" std(?:out|err) P ")
    full = _PREFIXES["cri"]
    parts: list[bytes] = []
    for line in lines:
        match = partial.match(line)
        if match is not None:
            parts.append(line[match.end() :].rstrip(b"\r\n"))
            continue
        match = full.match(line)
        text = line[match.end() :] if match is not None else line
        yield b"".join([*parts, text])
        parts = []
    yield from parts


def _wrapped_at(head: list[bytes]) -> int:
    """The width at which a terminal or mailer broke the lines, or 0."""
    lengths = [len(line.rstrip(b"\r\n")) for line in head]
    width = max(lengths, default=0)
    at_width = [i for i, n in enumerate(lengths[:-1]) if n == width]
    if not 40 <= width <= 250 or len(at_width) < 3:
        return 0
    broken = sum(recognise(head[i + 1]) is None for i in at_width)
    return width if broken * 3 >= len(at_width) * 2 else 0


def _joined(lines: Iterable[bytes], width: int) -> Iterator[bytes]:
    parts: list[bytes] = []
    for line in lines:
        text = line.rstrip(b"\r\n")
        parts.append(text)
        if len(text) != width or len(parts) > 10_000:
            yield b"".join(parts) + b"\n"
            parts = []
    if parts:
        yield b"".join(parts) + b"\n"
