"""Lines -> records: THE HOT LOOP, and beside it, in `irregular.py`, all that is not one call on one line.

Most lines are `columns name(arguments) = result`. The loop splits those at the ends and looks at nothing in between;
whatever does not split cleanly goes to the slow, quote-aware path. Names that nobody asked for are dropped first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, count
from typing import TYPE_CHECKING

from systrace import compiled
from systrace.model import Health, Record, Style
from systrace.parser.calls import NANO, known_result, known_results, nanoseconds, timed_result
from systrace.parser.files import Files
from systrace.parser.irregular import LONG, Irregular
from systrace.parser.leader import note_style, note_unasked, recognise
from systrace.parser.threads import TELLING
from systrace.parser.wrappers import Place, plain_text

if TYPE_CHECKING:
    from systrace._scanner import Scanner

_DAY = 86_400 * 10**9
_DURATIONS, _TIDS = 8192, 65536  # remembered


def _unlike(line: bytes) -> re.Match[bytes] | None:
    """Nothing is known of the columns yet."""
    return None


def _closed(line: bytes, at: int) -> int:
    """Where the arguments end of a call so short that its result is lined up with others; 0: not before `at`."""
    closed = len(line[:at].rstrip())
    return closed if line[closed - 1 : closed] == b")" else 0


def _as_they_are(found: Iterable[Record], lineno: int) -> Iterable[Record]:
    return found


class Reader:
    """Reads one file of strace output.

    Args:
        source: index of the file, copied into each record.
        keep: name of the call as printed (bytes) -> its name; calls that are missing here are counted and dropped.
        tid: the thread of a `-ff` file, else 0.
        batch: how many records may be made before the first of them is given; 1 where somebody waits for each.
        files: what is known of calls on files; those that tell nothing are left out. None: nothing is.
    """

    def __init__(
        self,
        source: int,
        keep: Mapping[bytes, str],
        health: Health,
        style: Style,
        tid: int = 0,
        batch: int = 1,
        files: Files | None = None,
    ) -> None:
        self._keep = keep
        self._health = health
        self._style = style
        self._base = 0  # ns of the current second
        self._day = 0
        self._batch = batch
        self._files = files
        self._irregular = Irregular(source, keep, health, style, tid)
        self._source = source

    def read(  # noqa: C901, PLR0912 (the hot loop: each call costs)
        self, lines: Iterable[bytes], place: Place | None = None
    ) -> Iterator[Record]:
        """Records in the order in which the calls completed; calls without a result last. Never raises on input.

        Args:
            lines: as strace prints them.
            place: where in the file the line begins that was taken last; None: they are the lines of the file.
        """
        slow = self._irregular
        keep = self._keep.get
        source = self._source
        durations: dict[bytes, int] = {}  # text after " <": short calls take the same few microseconds again and again
        results = known_results
        files = self._files
        met = files.met if files is not None else _as_they_are
        threads, pending = slow.threads, slow.pending
        shape = None
        match_line: Callable[[bytes], re.Match[bytes] | None] = _unlike
        clock_kind = "none"
        second = None  # the clock text that self._base stands for
        base = 0
        tids: dict[bytes, int] = {}
        lineno = calls = 0
        timed = varied = False
        lines = iter(lines)
        line = first = next(lines, b"")
        every = chain((first,) if first else (), lines)
        numbers = count(1) if place is None else place.numbers()
        scanner = self._scanner(every, tids) if place is None else None
        for line, lineno in zip(every if scanner is None else scanner, numbers, strict=False):
            if scanner is not None:
                yield from scanner.ready
                scanner.ready.clear()
                if not line:  # only a batch
                    continue
                lineno, second = scanner.lineno, None  # it has kept up with the clock
            match = match_line(line)
            if match is None:
                found = recognise(line)
                if found is None and (b"\0" in line or b"\x1b" in line):  # a hole that a crash left
                    line = plain_text(line)
                    found = recognise(line)
                if found is None:
                    yield from met(slow.foreign(lineno, line), lineno)
                    continue
                newly, match = found
                if shape is None or newly.pid != "bracket" or newly.clock != clock_kind or shape.pid == "bracket":
                    if shape is not None and not slow.plausible(newly, shape, line):
                        yield from met(slow.foreign(lineno, line), lineno)
                        continue
                    shape, match_line, clock_kind = newly, newly.pattern.match, newly.clock
                    second = None
                    if scanner is not None:
                        scanner.expect(newly.pid, newly.clock, newly.plain)
                note_style(self._style, newly, match[1] is not None and match[1] != b"")
            pid, clock, fraction, name, _ = match.groups()
            # -- when
            if clock != second:
                if clock_kind == "relative":
                    base = self._base = self._base + nanoseconds(clock, fraction)
                    fraction = None
                elif clock_kind != "none":
                    second = clock
                    base = self._second(clock, clock_kind)
            # -- what
            call = None
            if name is not None and slow.open is None:
                call = keep(name)
                if call is None:
                    calls += 1
                    if not varied:
                        varied = note_unasked(self._style, name, line)
                    continue
            exact = base + int(fraction) * NANO[len(fraction)] if fraction else base
            time_ns = exact if clock_kind != "none" else None
            # -- how: most calls are complete on their line
            if call is not None:
                start, at = match.end(), line.rfind(b" = ")
                head, mark, tail = line[at + 3 :].rpartition(b" <")
                duration = durations.get(tail) if mark else None
                if duration is None:
                    head, duration = timed_result(line[at + 3 :])
                    if duration is not None:
                        timed = True
                        if len(durations) > _DURATIONS:
                            durations.clear()
                        durations[tail] = duration
                result = results.get(head) or known_result(head)
                closed = at if line[at - 1] == 41 else _closed(line, at)  # 41: ")"
                args = line[start : closed - 1]
                if result is not None and closed > start and (result[4] or not args.endswith(b" ...>")):
                    calls += 1
                    tid = tids.get(pid)
                    if tid is None:
                        tid = threads.of(pid)
                        if pid:
                            if len(tids) >= _TIDS:
                                tids.clear()
                            tids[pid] = tid
                        if threads.renamed:
                            yield from met(slow.take_notices(), lineno)
                    if tid in pending and pid:
                        yield from met(slow.overtaken(tid), lineno)
                    if (
                        files is not None
                        and time_ns is not None
                        and files.tells_nothing(lineno, tid, call, args, result, duration)
                    ):
                        if call != "fcntl" and duration is not None and time_ns + duration > files.last_ns:
                            files.last_ns = time_ns + duration  # a question is no event when it is told, either
                        continue
                    if call in TELLING:
                        threads.told(call, tid, result[0])
                    yield Record(
                        source,
                        lineno,
                        tid,
                        time_ns,
                        duration,
                        call,
                        args,
                        result[0],
                        result[1],
                        result[2],
                        line if len(line) <= LONG else line[:460] + b" ... " + line[-200:],
                        result[3],
                    )
                    continue
            yield from met(slow.line(lineno, line, match, time_ns), lineno)
        if scanner is not None:
            yield from scanner.ready
            if not line or lineno != scanner.lineno:  # else the last line was read here
                lineno, line = scanner.lineno, scanner.last
            calls += scanner.calls
            timed |= scanner.timed
        self._style.duration |= timed
        health = self._health
        health.lines += lineno if place is None else place.total
        health.records += calls
        health.torn |= first.endswith(b"\n") and not line.endswith(b"\n")  # a tracer's lines come without their ends
        yield from slow.finish(line)

    def _scanner(self, lines: Iterable[bytes], tids: dict[bytes, int]) -> Scanner | None:
        """The compiled part, if there is one: it gives the lines that this loop has to read."""
        kind = compiled.scanner() if self._batch > 1 else None
        if kind is None:
            return None
        note = partial(note_unasked, self._style)
        return kind(
            lines, self._keep.get, known_result, self._second, note, self._irregular, tids, TELLING, Record,
            self._source, self._batch, self._files,
        )  # fmt: skip

    def _second(self, clock: bytes, kind: str) -> int:
        """Nanoseconds at the start of that second; a time of day that falls back by half a day is the next day.

        Asked twice in a row, it gives the same answer.
        """
        if kind == "epoch":
            self._base = int(clock) * 10**9
            return self._base
        of_day = (int(clock[:2]) * 3600 + int(clock[3:5]) * 60 + int(clock[6:8])) * 10**9
        now = self._day + of_day
        if now < self._base - _DAY // 2:
            self._day += _DAY
            now += _DAY
        elif now > self._base + _DAY // 2 and self._day:
            return now - _DAY  # a straggler from before midnight
        self._base = now
        return now
