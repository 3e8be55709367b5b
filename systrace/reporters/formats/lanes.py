"""One line a connection over time, as wide as the terminal: who was busy, who waited, and where it broke."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import BinaryIO

from systrace.idle_limits import known
from systrace.model import Analysis, Evidence, Keep, Process, Socket
from systrace.reporters import Reporter, reporter
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.views.answer import headline_lines
from systrace.reporters.views.socket_table import chosen
from systrace.reporters.words.clock import Clock
from systrace.reporters.words.endings import ending
from systrace.traffic.phases import Phase, phases
from systrace.words import ascii_only, columns, cut, cut_middle, duration, encoded, safe, wrap

_LABEL, _ENDING = 36, 28  # columns at most
_LEAST = 10  # columns of a lane
# What a column shows of the phases in it: the first that there is. (kind, ASCII, else, what it is, colour)
_SIGNS = (
    ("error", "x", "✖", "error", "red"),
    ("failed", "x", "✖", "", "red"),
    ("limit", "|", "┃", "idle limit", "yellow"),
    ("tls", "T", "T", "TLS handshake", ""),
    ("both", "=", "█", "both ways", ""),
    ("sent", ">", "▀", "sent", ""),
    ("received", "<", "▄", "received", ""),
    ("connect", "c", "c", "connect", ""),
    ("waiting", ".", "·", "waits", "dim"),
    ("silence", "-", "─", "silence", "dim"),
)


@reporter
class LanesReport(Reporter):
    """`--format lanes`."""

    name = "lanes"
    suffixes = (".lanes",)
    for_people = True
    paged = True
    keep = Keep(activity=True)

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """The answer, then the lanes."""
        lines = [*headline_lines(analysis, layout), "", *_lanes(analysis, layout)]
        out.write(encoded("\n".join(lines) + "\n"))


def _lanes(analysis: Analysis, layout: Layout) -> Iterator[str]:
    evidence = analysis.evidence
    first, last = evidence.source.first_ns, evidence.source.last_ns
    sockets = [each for each in evidence.sockets.values() if each.kind == "socket" and each.role != "listener"]
    if first is None or last is None or not sockets:
        yield "No lanes: " + ("no connection in this log." if not sockets else "this log has no clock (strace -ttt).")
        return
    shown = sockets if layout.everything else chosen(analysis, sockets)
    rows = [(socket, _label(socket, evidence), safe(ending(socket))) for socket in shown]
    scale = _Scale(first, max(last, first + 1), layout, [row[1:] for row in rows])
    yield from wrap(_legend(), layout.width)
    yield scale.ruler(Clock.of(evidence.source, layout.utc))
    for pid in dict.fromkeys(socket.pid for socket in shown):
        process = evidence.processes.get(pid) if pid is not None else None
        if process is not None:
            yield layout.paint(cut(f"{safe(process.command)}[{pid}] {_fate(process)}", layout.width), "bold")
        for socket, label, end in rows:
            if socket.pid == pid:
                yield scale.line(label, list(_marked(analysis, socket)), end)
    left_out = len(sockets) - len(shown) + evidence.forgotten.made
    if left_out:
        hidden = len(sockets) - len(shown)
        yield f"and {left_out} more{': --all' if hidden else ', which ended well and are no longer kept'}"


def _fate(process: Process) -> str:
    if process.signal is not None:
        return f"killed by {process.signal}"
    return "" if process.exit_code is None else f"exit status {process.exit_code}"


def _label(socket: Socket, evidence: Evidence) -> str:
    peer = socket.peer or socket.local
    place = safe(str(peer)) if peer is not None else f"({safe(socket.family)})"
    name = f"{safe(socket.name)}:{peer.port}" if socket.name and peer is not None and peer.port else place
    return f"{socket.uid} {cut_middle(name, _LABEL - len(socket.uid) - 1)}"


def _marked(analysis: Analysis, socket: Socket) -> Iterator[Phase]:
    """Its phases; in a silence or a wait, the moments at which a known middlebox would have forgotten it."""
    activity = analysis.evidence.activity
    blocks = activity.of(socket) if activity is not None else []
    for phase in phases(socket, blocks, analysis.evidence.source.last_ns):
        yield phase
        if phase.kind in ("waiting", "silence") and socket.is_network:
            for limit_s in sorted({each.idle_s for each in known() if each.unseen}):
                at = phase.start_ns + int(limit_s * 1_000_000_000)
                if at < phase.end_ns:
                    yield Phase("limit", at, at)


def _legend() -> str:
    plain = ascii_only()
    return "  ".join(f"{sign if plain else other} {word}" for _kind, sign, other, word, _colour in _SIGNS if word)


class _Scale:
    """Time as columns."""

    def __init__(self, first: int, last: int, layout: Layout, texts: Sequence[tuple[str, str]]) -> None:
        self._first, self._layout = first, layout
        room = layout.width - _LEAST - 4
        self._label = min(max(columns(label) for label, _end in texts), _LABEL, room * 3 // 5)
        self._ending = min(max(columns(end) for _label, end in texts), _ENDING, room - self._label)
        self._columns = layout.width - self._label - self._ending - 4
        self._span = last - first

    def ruler(self, clock: Clock) -> str:
        """The moment of the first column, and what a column lasts."""
        step = duration(self._span // self._columns)
        text = f"{clock.moment(self._first)} + {duration(self._span)}, a column is {step}"
        return " " * (self._label + 2) + cut(text, self._layout.width - self._label - 2)

    def line(self, label: str, found: Sequence[Phase], end: str) -> str:
        """One lane."""
        kinds: list[set[str]] = [set() for _ in range(self._columns)]
        for phase in found:
            for at in range(self._column(phase.start_ns), self._column(phase.end_ns) + 1):
                kinds[at].add(phase.kind)
        runs = groupby(map(self._sign, kinds), key=lambda sign: sign[1])
        lane = "".join(self._layout.paint("".join(sign for sign, _ in run), colour) for colour, run in runs)
        name = cut_middle(label, self._label)
        return f"{name}{' ' * (self._label - columns(name))}  {lane}  {cut(end, self._ending)}"

    def _column(self, ns: int) -> int:
        return min(max((ns - self._first) * self._columns // self._span, 0), self._columns - 1)

    def _sign(self, kinds: set[str]) -> tuple[str, str]:
        """(character, colour) of the most telling that happened in a column."""
        if not kinds:
            return " ", ""
        if {"sent", "received"} <= kinds:
            kinds = kinds | {"both"}
        _kind, sign, other, _word, colour = next(each for each in _SIGNS if each[0] in kinds)
        return sign if ascii_only() else other, colour
