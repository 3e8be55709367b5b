"""Logs that travelled: through docker, kubectl, syslog, script(1), grep, a mail client or a terminal 80 columns wide.

The first lines decide which wrappers a log has, one after the other, the outermost first; a log that came as strace
wrote it passes untouched.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise

from systrace.parser.leader import recognise
from systrace.parser.wrappers import (
    ENDED,
    PREFIXES,
    Layer,
    Place,
    column_layer,
    cri_layer,
    dollar_layer,
    html_layer,
    json_layer,
    prefix_layer,
    terminal_layer,
    without_tags,
)

_HEAD = 64  # lines looked at before deciding
_LONGER_HEAD = 1000  # where none of those is of strace
_HEAD_BYTES = 1 << 20
_LAYERS = 4
_RESULT = re.compile(rb"\)\s{1,200}= (?:-?\d{1,20}|0x[0-9a-f]+|\?)(?:[ <\r\n]|\Z)")
_ENTITIES = re.compile(rb"&lt;(?:unfinished|\.\.\.|\d+\.\d+&gt;|TCP|UDP|socket:|pipe:|/)|=&gt;|-&gt;")
_RAW_ANGLES = re.compile(rb"<(?:unfinished|\.\.\.|\d+\.\d+>|TCP|UDP|socket:|pipe:|/)")


def unwrap(lines: Iterable[bytes], name_wrapper: Callable[[str], None]) -> tuple[Iterator[bytes], Place | None]:
    """Take off what a log has round its lines.

    Returns:
        The lines as strace printed them, and where in the file each of them began; None where nothing was taken off:
        they are then the lines of the file. `name_wrapper` was told of each layer, the outermost first.
    """
    source = iter(lines)
    head = _take(source, _HEAD)
    layers = _layers(head)
    if layers is None:  # not one line of strace: it may begin further down
        head += _take(source, _LONGER_HEAD)
        layers = _layers([line for line in head if b"(" in line][:_HEAD]) or []
    everything: Iterator[bytes] = chain(head, source)
    if not layers:
        return everything, None
    place = Place()
    everything = place.counted(everything)
    for name, layer in layers:
        name_wrapper(name)
        everything = layer(everything, place)
    return everything, place


def _take(source: Iterator[bytes], most: int) -> list[bytes]:
    taken: list[bytes] = []
    size = 0
    for line in source:
        taken.append(line)
        size += len(line)
        if len(taken) >= most or size > _HEAD_BYTES:
            break
    return taken


def _layers(lines: list[bytes]) -> list[tuple[str, Layer]] | None:
    """What has to be taken off, in this order; None when there is no line of strace within."""
    head = [line[:8192] for line in lines]
    found: list[tuple[str, Layer]] = []

    def add(name: str, layer: Layer) -> None:
        nonlocal head
        found.append((name, layer))
        head = list(layer(head, Place()))

    score = _score(head)
    for _ in range(_LAYERS):
        if any(b"\x1b" in line or b"\0" in line for line in head):
            add("terminal", terminal_layer)
            score = _score(head)
        if _is_html(head):
            add("html", html_layer)
            score = _score(head)
        best = _best_layer(head, score)
        if best is None:
            break
        name, layer, score = best
        add(name, layer)
    width = _wrapped_at(head)
    if width:
        add(f"{width} columns", column_layer(width))
    if sum(line.rstrip(b"\r\n").endswith(b"$") for line in head) * 2 > len(head):
        add("cat -A", dollar_layer)
    return found if score else None


def _best_layer(head: list[bytes], plain: int) -> tuple[str, Layer, int] | None:
    """(name, layer, score) of what makes more lines begin as strace begins them."""
    best: tuple[str, Layer, int] | None = None
    numbered = _line_numbers(head)
    if not numbered and plain and _recognised(head) * 10 >= sum(not line.isspace() for line in head) * 9:
        return None
    candidates: list[tuple[str, Layer]] = []
    if any(line.lstrip().startswith(b"{") for line in head):
        candidates.append(("json", json_layer))
    candidates.append(("cri", cri_layer))
    candidates += [(name, prefix_layer(prefix)) for name, prefix in PREFIXES.items()]
    for name, layer in candidates:
        score = _score(layer(head, Place()))
        if score > (best[2] if best is not None else plain):
            best = name, layer, score
    if numbered:
        layer = prefix_layer(re.compile(rb" *\d{1,9}[ \t]"))
        score = _score(layer(head, Place()))
        if score >= plain // 2 and score > (best[2] if best is not None else 0):
            return "numbered", layer, score
    return best or (None if _broken_only(head) else _learned(head, plain))


def _broken_only(head: list[bytes]) -> bool:
    """Whether its lines are strace's once those that a terminal broke are joined, so that no prefix is to be learned."""
    width = _wrapped_at(head)
    joined = [line for line in column_layer(width)(head, Place()) if line.strip()] if width else []
    return _recognised(joined) * 2 > len(joined)


def _learned(head: list[bytes], plain: int) -> tuple[str, Layer, int] | None:
    """A number of words before each line that have the same form all the time: what any other collector puts there.

    Only for a log of which little else can be read, and only where the lines behind are calls with results.
    """
    lines = [line for line in head if line.strip()]
    if plain * 3 > len(lines):
        return None
    for words in range(1, 9):
        prefix = re.compile(rb"\s*(?:\S{1,200}\s+){%d}" % words)
        cut = [(line, prefix.match(line)) for line in lines]
        behind = [(line[: m.end()], line[m.end() :]) for line, m in cut if m is not None]
        good = [before for before, line in behind if recognise(line) is not None]
        complete = sum(_RESULT.search(line) is not None for _, line in behind)
        if len(good) * 8 < len(lines) or len(good) < 3 or complete * 3 < len(good):  # dumps and stacks lie between
            continue
        forms = Counter(re.sub(rb"[0-9]+", b"0", before) for before in good)
        if forms.most_common(1)[0][1] * 2 >= len(good):
            layer = prefix_layer(prefix)
            return "prefixed", layer, _score(layer(head, Place()))
    return None


def _recognised(lines: list[bytes]) -> int:
    return sum(recognise(line) is not None for line in lines)


def _score(lines: Iterable[bytes]) -> int:
    """How many lines begin as strace begins one; those with a pid or clock column count more."""
    score = 0
    for line in lines:
        found = recognise(line)
        if found is not None:
            shape, match = found
            score += 2 if shape.clock != "none" or match[1] else 1
    return score


def _line_numbers(head: list[bytes]) -> bool:
    """Whether each line begins with its number (less -N, nl): it would be taken for a pid."""
    numbers = [re.match(rb" *(\d{1,9})[ \t]", line) for line in head if line.strip()]
    found = [int(match[1]) for match in numbers if match is not None]
    return len(found) == len(numbers) >= 4 and all(b == a + 1 for a, b in pairwise(found))


def _is_html(head: list[bytes]) -> bool:
    """Whether what strace prints as < > and quotes stands there as entities."""
    text = without_tags(b"".join(head))
    if b"&" not in text:
        return False
    if (b"&quot;" in text or b"&#34;" in text) and b'"' not in text:
        return True
    return _ENTITIES.search(text) is not None and _RAW_ANGLES.search(text) is None


def _wrapped_at(head: list[bytes]) -> int:
    """The width at which a terminal or mailer broke the lines, or 0."""
    lengths = [len(line.rstrip(b"\r\n")) for line in head]
    width = max(lengths, default=0)
    at_width = [i for i, n in enumerate(lengths[:-1]) if n == width]
    if not 40 <= width <= 250 or len(at_width) < 2:
        return 0
    broken = [i for i in at_width if recognise(head[i + 1]) is None]
    cut = [i for i in at_width if ENDED.search(head[i].rstrip()) is None]  # records may also happen to end at the edge
    return width if len(broken) > 1 and cut and len(broken) * 3 >= len({*broken, *cut}) * 2 else 0
