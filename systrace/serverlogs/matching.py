"""Which line of a server's log is about which request of the trace; what can't be told apart is said, not guessed."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from systrace.messages.transactions import Exchange, exchanges
from systrace.model import Evidence, Socket
from systrace.observations import Observation
from systrace.serverlogs import Entry
from systrace.serverlogs.reading import ServerLog, read

_S = 1_000_000_000
_NEAR_NS = 5 * _S  # clocks of two hosts that keep time, and logs of whole seconds
_FAR_NS = 900 * _S  # no clock is believed to be further off: the line of another run would do as well
_DAY_NS = 86_400 * _S
_ZONE_NS = 900 * _S  # zones differ by quarters of an hour
_AGREE = 3  # requests that have to agree on a clock that is not near
_SAMPLE = 200  # requests that vote, and lines that each of them may mean
_MOST = 5_000  # lines of one request in a log without dates beside it


@dataclass(slots=True)
class Told:
    """What a log tells of a trace."""

    observations: list[Observation] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Asked:
    """A request of the trace."""

    exchange: Exchange
    socket: Socket | None
    start_ns: int | None

    @property
    def key(self) -> tuple[str, str]:
        """What it asks for."""
        request = self.exchange.request
        return (request.method, _path(request.target)) if request is not None else ("", "")

    @property
    def end(self) -> tuple[str, int | None]:
        """Its own address, as the server knows it where none is translated on the way."""
        local = self.socket.local if self.socket is not None else None
        return ("", None) if local is None else (local.host, local.port)


class _Lines:
    """The lines that may be meant, by what they ask for and by who asked."""

    def __init__(self, entries: list[Entry]) -> None:
        self._by_key: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
        self.by_end: defaultdict[tuple[str, int | None], list[Entry]] = defaultdict(list)
        for entry in sorted(entries, key=lambda each: each.start_ns):
            self._by_key[entry.method, _path(entry.target)].append(entry)
            if entry.port is not None:
                self.by_end[entry.client, entry.port].append(entry)
        self._starts = {key: [entry.start_ns for entry in found] for key, found in self._by_key.items()}

    def of(self, key: tuple[str, str]) -> list[Entry]:
        """All that ask for it, in order of time."""
        return self._by_key.get(key, []) if key[0] else []

    def between(self, key: tuple[str, str], first_ns: int, last_ns: int) -> list[Entry]:
        """Those that came in that time."""
        starts = self._starts.get(key, []) if key[0] else []
        return self._by_key[key][bisect_left(starts, first_ns) : bisect_right(starts, last_ns)] if starts else []


def witnesses(path: str, evidence: Evidence) -> Told:
    """Read a log and hold it against the client's requests of a trace.

    Raises:
        InputError: see `reading.read`.
    """
    asked = [
        _Asked(each, evidence.sockets.get(each.row.socket), each.row.start_ns)
        for each in exchanges(evidence)
        if each.row.role == "client"
    ]
    keys, ends = {each.key for each in asked if each.key[0]}, {each.end for each in asked if each.end[0]}
    log = read(path, lambda entry: (entry.method, _path(entry.target)) in keys or (entry.client, entry.port) in ends)
    told = Told()
    if log.unknown:
        told.complaints.append(f"{log.name}: {log.unknown} of {log.lines} lines are of another kind than {log.kind}")
    if asked:
        _match(asked, log, told, evidence.source.style.clock)
    return told


def _path(target: str) -> str:
    """`/a?b` of an absolute URL, too."""
    _scheme, found, rest = target.partition("://")
    return (f"/{rest.partition('/')[2]}" if found else target).partition("#")[0]


def _match(asked: list[_Asked], log: ServerLog, told: Told, clock: str) -> None:
    lines = _Lines(log.entries)
    taken = {entry.line for each in asked for entry in lines.by_end.get(each.end, ())}
    offset = _offset(asked, log, lines, clock)
    matched: list[tuple[_Asked, Entry, bool]] = []
    missing: list[_Asked] = []
    undecided = 0
    for each in asked:
        certain = [entry for entry in lines.by_end.get(each.end, ()) if _asks(each, entry)]
        found = certain if len(certain) == 1 else _near(each, offset, lines, clock, taken)
        if len(found) == 1:
            sure = bool(certain) or (clock == "epoch" and _is_near(offset) and len(_clients(each, lines)) == 1)
            matched.append((each, found[0], sure and not found[0].vague))
        elif found or offset is None or each.start_ns is None:
            undecided += bool(found or lines.of(each.key))
        elif each.key[0] and clock == "epoch" and log.covers(each.start_ns + offset):
            missing.append(each)
    times = Counter(entry.line for _each, entry, _sure in matched)
    for each, entry, sure in matched:
        if times[entry.line] > 1:  # one line, two requests: nobody knows whose it is
            undecided += 1
        else:
            shown = offset if clock == "epoch" or offset is None else offset - _zone(offset)
            told.observations.append(_answered(each, entry, log, shown, sure))
    if matched:
        told.observations += [_nothing(each, log) for each in missing]
    if undecided:
        plural = "s" if undecided > 1 else ""
        told.complaints.append(
            f"{log.name}: not decided for {undecided} request{plural}: several lines fit, or the clocks are too far apart"
        )


def _asks(each: _Asked, entry: Entry) -> bool:
    """A connection may have carried several requests."""
    return not each.key[0] or each.key == (entry.method, _path(entry.target))


def _clients(each: _Asked, lines: _Lines) -> set[str]:
    """Who asks for it: where there are several, a line may be another's."""
    return {entry.client for entry in lines.of(each.key)[:_MOST]}


def _is_near(offset: int | None) -> bool:
    return offset is not None and abs(offset) <= _NEAR_NS


def _offset(asked: list[_Asked], log: ServerLog, lines: _Lines, clock: str) -> int | None:
    """How much later the server's clock is; 0 is good enough for hosts that keep time. None where nobody knows."""
    voters = [each for each in asked if each.start_ns is not None and each.key[0]][:_SAMPLE]
    if clock == "epoch":
        return _agreed(
            [
                (entry.start_ns - (each.start_ns or 0), number)
                for number, each in enumerate(voters)
                for entry in lines.between(each.key, (each.start_ns or 0) - _FAR_NS, (each.start_ns or 0) + _FAR_NS)[
                    :_SAMPLE
                ]
            ]
        )
    if clock != "time-of-day" or log.first_ns is None or (log.last_ns or 0) - log.first_ns > _DAY_NS:
        return None  # of which day it is nobody knows
    found = [
        (_in_a_day(entry.start_ns - (each.start_ns or 0)), number)
        for number, each in enumerate(voters)
        for entry in lines.of(each.key)[:_SAMPLE]
    ]
    zones = Counter(zone for zone, _number in {(_zone(delta), number) for delta, number in found})
    usual = {0, -time.localtime((log.first_ns or 0) // _S).tm_gmtoff * _S}
    fitting = [zone for zone, votes in zones.items() if votes > 1 or zone in usual]
    if not fitting:
        return None
    best = max(fitting, key=lambda zone: (zones[zone], zone in usual))
    return best + _agreed([(delta - best, number) for delta, number in found if _zone(delta) == best])


def _in_a_day(delta: int) -> int:
    """A difference of clocks without a date: at most half a day either way."""
    return (delta + _DAY_NS // 2) % _DAY_NS - _DAY_NS // 2


def _zone(delta: int) -> int:
    return (delta + _ZONE_NS // 2) // _ZONE_NS * _ZONE_NS


def _agreed(deltas: list[tuple[int, int]]) -> int:
    """What most requests agree on; a clock that is not near needs several."""
    near = sorted(delta for delta, _number in deltas if abs(delta) <= _NEAR_NS)
    close = len({number for delta, number in deltas if abs(delta) <= _NEAR_NS})
    ordered = sorted(deltas)
    best: list[int] = []
    voices, most, first = Counter[int](), 0, 0
    for last, (delta, number) in enumerate(ordered):
        voices[number] += 1
        while delta - ordered[first][0] > _NEAR_NS:
            voices[ordered[first][1]] -= 1
            voices += Counter()  # without those that have none
            first += 1
        if len(voices) > most:
            most, best = len(voices), [each for each, _number in ordered[first : last + 1]]
    if most >= _AGREE and most > close:
        return best[len(best) // 2]
    return near[len(near) // 2] if near else 0


def _near(each: _Asked, offset: int | None, lines: _Lines, clock: str, taken: set[int]) -> list[Entry]:
    if offset is None or each.start_ns is None:
        return []
    at = each.start_ns + offset
    if clock == "epoch":
        found = lines.between(each.key, at - _NEAR_NS, at + _NEAR_NS)
    else:
        found = [entry for entry in lines.of(each.key)[:_MOST] if abs(_in_a_day(entry.start_ns - at)) <= _NEAR_NS]
    return [entry for entry in found if entry.line not in taken]


def _answered(each: _Asked, entry: Entry, log: ServerLog, offset: int | None, sure: bool) -> Observation:
    value: dict[str, object] = {
        "status": entry.status,
        "after_s": None if entry.took_ns is None else round(entry.took_ns / _S, 3),
        "bytes": entry.sent,
        "gave_up": entry.gave_up,
        "request_line": each.exchange.row.line,
        "clock_offset_s": round((offset or 0) / _S, 1),
        "certain": sure,
    }
    source = f"{log.name} line {entry.line} ({log.kind})"
    return Observation("server-answered", each.exchange.row.socket, value, source, entry.end_ns, "the server's side")


def _nothing(each: _Asked, log: ServerLog) -> Observation:
    value: dict[str, object] = {"request_line": each.exchange.row.line}
    return Observation(
        "server-saw-nothing", each.exchange.row.socket, value, f"{log.name} ({log.kind})", None, "the server's side"
    )
