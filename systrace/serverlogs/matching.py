"""Which line of a server's log is about which request of the trace; what can't be told apart is said, not guessed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import field

from systrace.dataclass import dataclass
from systrace.messages.http import bare_host
from systrace.messages.transactions import Exchange, exchanges
from systrace.model import Evidence, Socket
from systrace.observations import Observation
from systrace.serverlogs import Entry
from systrace.serverlogs.clocks import AGREE, NEAR_NS, in_a_day, offset_of, zone_of
from systrace.serverlogs.reading import ServerLog, read

_S = 1_000_000_000
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
    def host(self) -> str:
        """Whom it asks, as the server reads it; "" where the log does not show it."""
        request = self.exchange.request
        return bare_host(request.host) if request is not None else ""

    @property
    def peer(self) -> str:
        """Whom it asks, in any case."""
        peer = self.socket.peer if self.socket is not None else None
        return self.host or (peer.host if peer is not None else "")

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


@dataclass(frozen=True, slots=True)
class _Pair:
    """A request and the only line that fits."""

    asked: _Asked
    entry: Entry
    by_port: bool
    sure: bool

    @property
    def names_the_peer(self) -> bool:
        """The line itself shows that the log is of this request's peer."""
        return self.by_port or bool(self.entry.host and bare_host(self.entry.host) == self.asked.host)


def _match(asked: list[_Asked], log: ServerLog, told: Told, clock: str) -> None:
    lines = _Lines(log.entries)
    taken = {entry.line for each in asked for entry in lines.by_end.get(each.end, ())}
    offset = offset_of(asked, log, lines, clock)
    pairs: list[_Pair] = []
    missing: list[_Asked] = []
    undecided = 0
    for each in asked:
        certain = [entry for entry in lines.by_end.get(each.end, ()) if _asks(each, entry)]
        found = certain if len(certain) == 1 else _near(each, offset, lines, clock, taken)
        if len(found) == 1:
            sure = bool(certain) or (clock == "epoch" and _keeps_time(offset, log) and len(_clients(each, lines)) == 1)
            pairs.append(_Pair(each, found[0], bool(certain), sure and not found[0].vague))
        elif found or offset is None or each.start_ns is None:
            undecided += bool(found or lines.of(each.key))
        elif each.key[0] and clock == "epoch" and log.covers(each.start_ns + offset):
            missing.append(each)
    times = Counter(pair.entry.line for pair in pairs)
    alone = [pair for pair in pairs if times[pair.entry.line] == 1]  # one line, two requests: nobody knows whose it is
    own = _own(asked, alone)
    kept = [pair for pair in alone if pair.names_the_peer or pair.asked.peer in own]
    zone = zone_of(offset or 0) if clock != "epoch" or not log.zoned else 0
    told.observations += [_answered(pair, log, zone, (offset or 0) - zone) for pair in kept]
    told.observations += [_nothing(each, log) for each in missing if each.peer in own]
    undecided += len(pairs) - len(kept)
    if undecided:
        plural = "s" if undecided > 1 else ""
        told.complaints.append(
            f"{log.name}: not decided for {undecided} request{plural}: several lines fit, one alone proves too little, "
            "or the clocks are too far apart"
        )
    elif not kept:
        told.complaints.append(f"{log.name}: none of its lines is of a request that the trace shows")


def _own(asked: list[_Asked], pairs: list[_Pair]) -> set[str]:
    """The peers of whom the log is. Where the job asked one only, it is his, as the user says; of several it has to show.

    Another server's log may hold a line of the same path and second by chance: several agree, or the line names the host.
    """
    peers = {each.peer for each in asked}
    if len(peers) == 1:
        return peers if pairs else set()
    votes = Counter(pair.asked.peer for pair in pairs)
    return {pair.asked.peer for pair in pairs if pair.names_the_peer or votes[pair.asked.peer] >= AGREE}


def _asks(each: _Asked, entry: Entry) -> bool:
    """A connection may have carried several requests."""
    return not each.key[0] or each.key == (entry.method, _path(entry.target))


def _asks_another(each: _Asked, entry: Entry) -> bool:
    """The line names another host."""
    return bool(entry.host and each.host) and bare_host(entry.host) != each.host


def _clients(each: _Asked, lines: _Lines) -> set[str]:
    """Who asks for it: where there are several, a line may be another's."""
    return {entry.client for entry in lines.of(each.key)[:_MOST] if not _asks_another(each, entry)}


def _keeps_time(offset: int | None, log: ServerLog) -> bool:
    return offset is not None and abs(offset if log.zoned else offset - zone_of(offset)) <= NEAR_NS


def _near(each: _Asked, offset: int | None, lines: _Lines, clock: str, taken: set[int]) -> list[Entry]:
    if offset is None or each.start_ns is None:
        return []
    at = each.start_ns + offset
    if clock == "epoch":
        found = lines.between(each.key, at - NEAR_NS, at + NEAR_NS)
    else:
        found = [entry for entry in lines.of(each.key)[:_MOST] if abs(in_a_day(entry.start_ns - at)) <= NEAR_NS]
    return [entry for entry in found if entry.line not in taken and not _asks_another(each, entry)]


def _answered(pair: _Pair, log: ServerLog, zone: int, offset: int) -> Observation:
    each, entry = pair.asked, pair.entry
    value: dict[str, object] = {
        "status": entry.status,
        "after_s": None if entry.took_ns is None else round(entry.took_ns / _S, 3),
        "bytes": entry.sent,
        "gave_up": entry.gave_up,
        "request_line": each.exchange.row.line,
        "clock_offset_s": round(offset / _S, 1),
        "certain": pair.sure,
    }
    source = f"{log.name} line {entry.line} ({log.kind})"
    ended = entry.end_ns if log.zoned else entry.end_ns - zone
    return Observation("server-answered", each.exchange.row.socket, value, source, ended, "the server's side")


def _nothing(each: _Asked, log: ServerLog) -> Observation:
    value: dict[str, object] = {"request_line": each.exchange.row.line}
    return Observation(
        "server-saw-nothing", each.exchange.row.socket, value, f"{log.name} ({log.kind})", None, "the server's side"
    )
