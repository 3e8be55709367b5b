"""Which line of a server's log is about which request of the trace; what can't be told apart is said, not guessed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from systrace.messages.transactions import Exchange, exchanges
from systrace.model import Evidence, Socket
from systrace.observations import Observation
from systrace.serverlogs import Entry
from systrace.serverlogs.reading import ServerLog, read

_S = 1_000_000_000
_NEAR_NS = 5 * _S  # clocks of two hosts that keep time, and logs of whole seconds
_DAY_NS = 86_400 * _S
_ZONE_NS = 900 * _S  # zones differ by quarters of an hour
_AGREE = 2  # requests that have to agree on a clock that is further off
_MOST_HYPOTHESES = 2_000


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
    candidates: list[Entry] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """What it asks for."""
        request = self.exchange.request
        return (request.method, _path(request.target)) if request is not None else ("", "")

    def is_certain(self, entry: Entry) -> bool:
        """The very connection: no address was translated."""
        local = self.socket.local if self.socket is not None else None
        return local is not None and entry.port == local.port and entry.client == local.host


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
    keys = {each.key for each in asked if each.key[0]}
    ends = {(each.socket.local.host, each.socket.local.port) for each in asked if each.socket and each.socket.local}
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
    by_key: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in log.entries:
        by_key[entry.method, _path(entry.target)].append(entry)
    for each in asked:
        each.candidates = by_key.get(each.key, []) if each.key[0] else []
    taken = {entry.line for each in asked for entry in log.entries if each.is_certain(entry)}
    offset = _offset(asked, clock)
    matched: list[tuple[_Asked, Entry]] = []
    missing: list[_Asked] = []
    undecided = 0
    for each in asked:
        certain = [entry for entry in log.entries if each.is_certain(entry) and _asks(each, entry)]
        found = certain if len(certain) == 1 else _near(each, offset, clock, taken)
        if len(found) == 1:
            matched.append((each, found[0]))
        elif found or offset is None or each.start_ns is None:
            undecided += bool(found or each.candidates)
        elif each.key[0] and clock == "epoch" and log.covers(each.start_ns + offset):
            missing.append(each)
    lines = [entry.line for _each, entry in matched]
    for each, entry in matched:
        if lines.count(entry.line) > 1:  # one line, two requests: nobody knows whose it is
            undecided += 1
        else:
            told.observations.append(_answered(each, entry, log, offset))
    if matched or (offset is not None and missing and len(missing) < len(asked)):
        told.observations += [_nothing(each, log) for each in missing]
    if undecided:
        plural = "s" if undecided > 1 else ""
        told.complaints.append(
            f"{log.name}: not decided for {undecided} request{plural}: several lines fit, or the clocks are too far apart"
        )


def _asks(each: _Asked, entry: Entry) -> bool:
    """A connection may have carried several requests."""
    return not each.key[0] or each.key == (entry.method, _path(entry.target))


def _offset(asked: list[_Asked], clock: str) -> int | None:
    """How much later the server's clock is. None where nobody knows; 0 is good enough for hosts that keep time."""
    near: list[int] = []
    votes: dict[int, int] = {}
    deltas = [
        (each, _delta(each, entry, clock)) for each in asked for entry in each.candidates if each.start_ns is not None
    ]
    if clock not in ("epoch", "time-of-day"):
        return None
    for each in asked:
        own = [delta for other, delta in deltas if other is each and abs(delta) <= _NEAR_NS]
        near += own if len(own) == 1 else []
    for _each, hypothesis in deltas[:_MOST_HYPOTHESES]:
        votes[hypothesis] = len({id(each) for each, delta in deltas if abs(delta - hypothesis) <= _NEAR_NS // 2})
    best = max(votes, key=lambda delta: (votes[delta], -abs(delta)), default=None)
    if best is not None and votes[best] >= _AGREE and votes[best] > len(near):
        agreeing = sorted(delta for _each, delta in deltas if abs(delta - best) <= _NEAR_NS // 2)
        return agreeing[len(agreeing) // 2]
    return sorted(near)[len(near) // 2] if near else 0


def _delta(each: _Asked, entry: Entry, clock: str) -> int:
    """Server's moment less ours; of a clock without a date, whatever the day and the zone."""
    delta = entry.start_ns - (each.start_ns or 0)
    if clock == "epoch":
        return delta
    rest = delta % _ZONE_NS
    return rest if rest <= _ZONE_NS // 2 else rest - _ZONE_NS


def _near(each: _Asked, offset: int | None, clock: str, taken: set[int]) -> list[Entry]:
    if offset is None or each.start_ns is None:
        return []
    return [
        entry
        for entry in each.candidates
        if entry.line not in taken and abs(_delta(each, entry, clock) - offset) <= _NEAR_NS
    ]


def _answered(each: _Asked, entry: Entry, log: ServerLog, offset: int | None) -> Observation:
    value: dict[str, object] = {
        "status": entry.status,
        "after_s": None if entry.took_ns is None else round(entry.took_ns / _S, 3),
        "bytes": entry.sent,
        "gave_up": entry.gave_up,
        "request_line": each.exchange.row.line,
        "clock_offset_s": round((offset or 0) / _S, 1),
    }
    source = f"{log.name} line {entry.line} ({log.kind})"
    return Observation("server-answered", each.exchange.row.socket, value, source, entry.end_ns, "the server's side")


def _nothing(each: _Asked, log: ServerLog) -> Observation:
    value: dict[str, object] = {"request_line": each.exchange.row.line}
    return Observation(
        "server-saw-nothing", each.exchange.row.socket, value, f"{log.name} ({log.kind})", None, "the server's side"
    )
