"""The rows of the waterfall: processes with their connections below them, each connection as phases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from systrace.look.telling import tells
from systrace.messages.dns import DnsMessage
from systrace.model import Analysis, Process, Socket
from systrace.reporters.html.told import Told
from systrace.reporters.words.endings import ending, is_remarkable
from systrace.traffic.phases import Phase, phases

KINDS = ("connect", "failed", "tls", "sent", "received", "both", "waiting", "silence", "error", "lookup")
_KIND = {name: number for number, name in enumerate(KINDS)}
_LOOKUP = _KIND | dict.fromkeys(("waiting", "both"), KINDS.index("lookup"))
_MOST_LANES = 5000
_MOST_PROCESSES = 2000
_MOST_PHASES = 120_000  # of all lanes: 3 MB
_LEAST_PHASES = 24  # of one lane
_MOST_MARKS = 40  # signals of a process, readings of a connection
_NEVER_MERGED = ("failed", "error", "connect")
_DNS = 53


def ranked(analysis: Analysis) -> tuple[list[Socket], int]:
    """(the connections, those with findings or troubles first; how many sockets are none)."""
    known = analysis.evidence.sockets.values()
    everything = [each for each in known if each.kind == "socket" and each.role != "listener"]
    used = [each for each in everything if each.family != "netlink" and _is_used(each)]
    found = {finding.socket for finding in analysis.findings}
    order = sorted(used, key=lambda each: (each.uid not in found, not each.is_network, not is_remarkable(each)))
    return order, len(everything) - len(used)


def _is_used(socket: Socket) -> bool:
    return socket.peer is not None or bool(socket.attempts) or socket.sent.calls + socket.received.calls > 0


def lanes(analysis: Analysis, sockets: Sequence[Socket], told: Told) -> Iterator[dict[str, Any]]:
    """A lane for each connection."""
    causes: dict[str, list[str]] = {}
    for finding in analysis.findings:
        if finding.socket is not None and finding.cause not in causes.setdefault(finding.socket, []):
            causes[finding.socket].append(finding.cause)
    looked_up = {m.socket: m.question for m in analysis.evidence.messages if isinstance(m, DnsMessage) and m.question}
    most = max(_LEAST_PHASES, _MOST_PHASES // min(max(len(sockets), 1), _MOST_LANES))
    for socket in sockets[:_MOST_LANES]:
        found = list(_phases(analysis, socket, most))
        yield {
            "id": socket.uid,
            "pid": socket.pid,
            "peer": peer_of(socket, told),
            "label": _label(socket, looked_up.get(socket.uid, ""), told),
            "protocol": told.text(socket.app_protocol or "", 20),
            "network": socket.is_network,
            "causes": causes.get(socket.uid, []),
            "end": told.text(ending(socket), 80),
            "bad": (socket.is_network and is_remarkable(socket)) or socket.uid in causes,
            "from": told.at(socket.opened_ns),
            "to": told.at(socket.closed_ns),
            "phases": _numbers(found, socket, told),
            "texts": {str(at): told.text(phase.text, 60) for at, phase in enumerate(found) if phase.text},
            "marks": list(_readings(socket, told)),
        }


def peer_of(socket: Socket, told: Told) -> str:
    """The other side, by its name where that is known."""
    end = socket.peer or socket.local
    if end is None:
        return f"({told.text(socket.family, 20)})"
    if socket.name and end.port:
        return told.text(f"{socket.name}:{end.port}", 120)
    return told.text(str(end), 120)


def _label(socket: Socket, question: str, told: Told) -> str:
    return f"look-up {told.text(question, 80)}" if question else peer_of(socket, told)


def _is_lookup(socket: Socket) -> bool:
    return socket.app_protocol == "dns" or (socket.peer is not None and socket.peer.port == _DNS)


def _phases(analysis: Analysis, socket: Socket, most: int) -> list[Phase]:
    activity, last = analysis.evidence.activity, analysis.evidence.source.last_ns
    found = phases(socket, activity.of(socket) if activity is not None else [], last)
    if len(found) <= most:
        return found
    least = 1 + sorted(phase.duration_ns for phase in found)[-most]
    while len(found) > most and least < 1 << 62:
        found = list(_merged(found, least))
        least *= 4
    return found


def _merged(found: Sequence[Phase], least: int) -> Iterator[Phase]:
    """Neighbours that are too short to be seen become one: what went over while they lasted."""
    run: Phase | None = None
    for phase in found:
        short = phase.duration_ns < least and phase.kind not in _NEVER_MERGED
        if run is not None and short and phase.start_ns - run.end_ns < least:
            run = Phase(
                "both" if {run.kind, phase.kind} - {"silence", "waiting"} else phase.kind,
                run.start_ns,
                max(run.end_ns, phase.end_ns),
                run.sent + phase.sent,
                run.received + phase.received,
            )
            continue
        if run is not None:
            yield run
        run = phase if short else None
        if not short:
            yield phase
    if run is not None:
        yield run


def _numbers(found: Sequence[Phase], socket: Socket, told: Told) -> list[int]:
    """Five a phase: kind, start, duration, bytes sent, bytes received."""
    kinds = _LOOKUP if _is_lookup(socket) else _KIND
    first = told.first
    numbers: list[int] = []
    for phase in found:
        start, end = (phase.start_ns - first) // 1000, (phase.end_ns - first) // 1000
        numbers += (kinds[phase.kind], start, end - start, phase.sent, phase.received)
    return numbers


def _readings(socket: Socket, told: Told) -> Iterator[tuple[int, str]]:
    for reading, fact in socket.readings[:_MOST_MARKS]:
        at = told.at(fact.record.time_ns if fact.record.time_ns is not None else reading.time_ns)
        if at is not None:
            yield at, told.text(tells(reading))


# ----------------------------------------------------------------------------------------------------------- processes


def processes(analysis: Analysis, sockets: Sequence[Socket], told: Told) -> tuple[list[dict[str, Any]], int]:
    """(the processes as a tree, parents first; how many are left out: those without connections go first)."""
    known = analysis.evidence.processes
    users = {socket.pid for socket in sockets}
    room = _MOST_PROCESSES
    ranked = sorted(known.values(), key=lambda each: (each.pid not in users, each.signal is None, not each.exit_code))
    kept = {each.pid for each in ranked[:room]}
    shown = [(depth, each) for depth, each in _tree(known) if each.pid in kept]
    return [_process(each, depth, told) for depth, each in shown], len(known) - len(shown)


def _tree(known: dict[int, Process]) -> Iterator[tuple[int, Process]]:
    children: dict[int | None, list[Process]] = {}
    for process in known.values():
        parent = process.parent if process.parent in known and process.parent != process.pid else None
        children.setdefault(parent, []).append(process)
    met: set[int] = set()
    rest = list(reversed(children.get(None, []))) or list(known.values())[:1]
    stack = [(0, each) for each in rest]
    while stack or len(met) < len(known):
        if not stack:  # numbers were used again, and parents go round in a circle
            stack.append((0, next(each for each in known.values() if each.pid not in met)))
        depth, process = stack.pop()
        if process.pid in met:
            continue
        met.add(process.pid)
        yield depth, process
        stack += [(depth + 1, each) for each in reversed(children.get(process.pid, []))]


def _process(process: Process, depth: int, told: Told) -> dict[str, Any]:
    signals = [(told.at(each.record.time_ns), told.text(each.signal, 20)) for each in process.signals[-_MOST_MARKS:]]
    return {
        "pid": process.pid,
        "depth": min(depth, 12),
        "name": told.text(process.command or process.path or "?", 80),
        "argv": told.text(" ".join(process.argv), 200),
        "fate": fate(process, told),
        "bad": bool(process.signal or process.exit_code),
        "from": told.at(process.start_ns),
        "to": told.at(process.end_ns),
        "signals": [each for each in signals if each[0] is not None],
    }


def fate(process: Process, told: Told) -> str:
    """How it ended."""
    if process.signal is not None:
        return f"killed by {told.text(process.signal, 20)}"
    return "had not ended" if process.exit_code is None else f"exit status {process.exit_code}"
