"""Lines -> records: THE HOT LOOP, and beside it, in `irregular.py`, all that is not one call on one line.

Most lines are `columns name(arguments) = result`. The loop splits those at the ends and looks at nothing in between;
whatever does not split cleanly goes to the slow, quote-aware path. Names that nobody asked for are dropped first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from systrace.model import RETURNED, Health, Record, Style
from systrace.parser.calls import nanoseconds, read_result
from systrace.parser.irregular import FORKS, LONG, Irregular, abridged
from systrace.parser.leader import note_style, recognise

_PLAIN_RESULT = re.compile(rb"(\d{1,18})(?: <(\d{1,9})\.(\d{6}|\d{9}|\d{3})>)?\r?\n?\Z").match
_DAY = 86_400 * 10**9


class Reader:
    """Reads one file of strace output.

    Args:
        source: index of the file, copied into each record.
        keep: name of the call as printed (bytes) -> its name; calls that are missing here are counted and dropped.
        tid: the thread of a `-ff` file, else 0.
    """

    def __init__(self, source: int, keep: Mapping[bytes, str], health: Health, style: Style, tid: int = 0) -> None:
        self._keep = keep
        self._health = health
        self._style = style
        self._base = 0  # ns of the current second
        self._day = 0
        self._scale = 1000
        self._irregular = Irregular(source, keep, health, style, tid)
        self._source = source

    def read(self, lines: Iterable[bytes]) -> Iterator[Record]:  # noqa: C901 - one loop, on purpose: each call costs
        """Records in the order in which the calls completed; calls without a result last. Never raises on input."""
        slow = self._irregular
        keep = self._keep.get
        source = self._source
        duration_units = {6: 1000, 9: 1, 3: 1_000_000}
        shape = None
        match_line = None
        clock_kind = "none"
        second = None  # the clock text that self._base stands for
        base, scale = 0, 1000
        tids: dict[bytes, int] = {}
        lineno = calls = 0
        timed = False
        for line in lines:
            lineno += 1
            match = match_line(line) if match_line is not None else None
            if match is None:
                found = recognise(line)
                if found is None:
                    yield from slow.foreign(lineno, line)
                    continue
                newly, match = found
                if shape is None or newly.pid != "bracket" or newly.clock != clock_kind or shape.pid == "bracket":
                    if shape is not None and not slow.plausible(newly, shape, line):
                        yield from slow.foreign(lineno, line)
                        continue
                    shape, match_line, clock_kind = newly, newly.pattern.match, newly.clock
                    second = None
                note_style(self._style, newly, match[1] is not None and match[1] != b"")
            pid, clock, fraction, name, _ = match.groups()
            # -- when
            if clock_kind == "none":
                time_ns = None
            elif clock_kind == "relative":
                self._base += nanoseconds(clock, fraction)
                time_ns = self._base
            else:
                if clock != second:
                    second = clock
                    base = self._second(clock, fraction, clock_kind)
                    scale = self._scale
                time_ns = base + int(fraction) * scale if fraction else base
            # -- what: most calls are complete on their line
            if name is not None:
                call = keep(name)
                if call is None and not slow.open:
                    calls += 1
                    continue
                args, _, result = line[match.end() :].rpartition(b" = ")
                plain = _PLAIN_RESULT(result)
                if plain is not None:
                    if not args.endswith(b")"):
                        args = args.rstrip()
                    if args.endswith(b")") and call is not None and not slow.open:
                        calls += 1
                        value, seconds, part = plain.groups()
                        duration = None
                        if seconds is not None:
                            timed = True
                            unit = duration_units[len(part)]
                            duration = int(part) * unit if seconds == b"0" else int(seconds) * 10**9 + int(part) * unit
                        tid = tids.get(pid)
                        if tid is None:
                            tid = slow.thread(pid)
                            if pid:
                                tids[pid] = tid
                            elif call in FORKS:
                                slow.announce(int(value))
                            if slow.notices:
                                yield from slow.take_notices()
                        yield Record(
                            source,
                            lineno,
                            tid,
                            time_ns,
                            duration,
                            call,
                            args[:-1],
                            int(value),
                            None,
                            RETURNED,
                            line if len(line) <= LONG else abridged(line),
                        )
                        continue
                elif call is not None and not slow.open:
                    args = args.rstrip()
                    result = result.rstrip()
                    if args.endswith(b")") and not args.endswith(b" ...>)") and not result.endswith(b" ...>"):
                        parsed = read_result(result)
                        if parsed is not None:
                            calls += 1
                            retval, errno, outcome, duration, text = parsed
                            tid = slow.thread(pid)
                            if call == "exit_group":
                                slow.leaves(tid)
                            elif call in FORKS and retval:
                                slow.announce(retval)
                            if slow.notices:
                                yield from slow.take_notices()
                            yield Record(
                                source,
                                lineno,
                                tid,
                                time_ns,
                                duration,
                                call,
                                args[:-1],
                                retval,
                                errno,
                                outcome,
                                abridged(line),
                                text,
                            )
                            continue
            yield from slow.line(lineno, line, match, time_ns)
        self._style.duration |= timed
        health = self._health
        health.lines += lineno
        health.records += calls
        yield from slow.finish()

    def _second(self, clock: bytes, fraction: bytes | None, kind: str) -> int:
        """Nanoseconds at the start of that second; a time of day that falls back by half a day is the next day."""
        self._scale = 10 ** (9 - len(fraction)) if fraction else 1
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
