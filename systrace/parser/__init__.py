"""Lines -> records -> events.

`records` reads any strace output of any version; `SYSCALLS` says what each call does to sockets, descriptors and
processes, and is at once the filter of the hot loop and the dispatch table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge

from systrace.model import Health, Input, Record, Style
from systrace.parser.files import Files
from systrace.parser.names import EVERY_NAME
from systrace.parser.records import Reader
from systrace.parser.unwrap import unwrap

__all__ = ["EVERY_NAME", "records"]

_OF_SIBLINGS = 16  # records of a batch, where a thousand files are read side by side


def records(
    inputs: Sequence[Input],
    keep: Mapping[bytes, str],
    health: Health,
    style: Style,
    as_is: bool = False,
    batch: int = 1,
    files: Files | None = None,
) -> Iterator[Record]:
    """Records of one recording in order of completion; the files of `-ff` are merged by time.

    Args:
        inputs: one file, or the siblings of one `-ff` run.
        keep: printed name -> name; other calls are counted and dropped (`EVERY_NAME` keeps all).
        health: filled while reading.
        style: filled while reading.
        as_is: the lines come straight from strace, so no wrapper has to be looked for.
        batch: how many records may be made before the first is given: 1 where somebody waits for each.
        files: calls on files that tell nothing are left out; what they would have told is there. Of one file only.
    """
    if len(inputs) == 1:
        return _one(0, inputs[0], keep, health, style, as_is, batch, files)
    style.pid = "file"
    streams = [
        _keyed(_one(i, each, keep, health, style, as_is, min(batch, _OF_SIBLINGS))) for i, each in enumerate(inputs)
    ]
    return (record for _, record in merge(*streams, key=lambda pair: pair[0]))


def _one(
    source: int,
    each: Input,
    keep: Mapping[bytes, str],
    health: Health,
    style: Style,
    as_is: bool,
    batch: int,
    files: Files | None = None,
) -> Iterator[Record]:
    lines: Iterable[bytes] = each.lines
    place = None
    if not as_is:

        def name(wrapper: str) -> None:
            style.wrapper = f"{style.wrapper}+{wrapper}" if style.wrapper else wrapper

        lines, place = unwrap(lines, name)
    return Reader(source, keep, health, style, each.tid, batch, files).read(lines, place)


def _keyed(stream: Iterator[Record]) -> Iterator[tuple[int, Record]]:
    """(time of completion, record), never going back within one file."""
    latest = 0
    for record in stream:
        if record.time_ns is not None:
            latest = max(latest, record.time_ns + (record.duration_ns or 0))
        yield latest, record
