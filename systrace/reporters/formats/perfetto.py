"""A trace for https://ui.perfetto.dev: a track for each process, thread and connection, flows, and counters.

The protobuf messages are those of perfetto/protos/perfetto/trace (trace_packet.proto, track_event.proto,
track_descriptor.proto); a message is built as nested fields, so no library is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from systrace.model import Analysis, Event, Evidence, Keep, Process, Socket
from systrace.reporters import Reporter, reporter
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.words.endings import ending
from systrace.traffic.phases import Phase, phases
from systrace.words import cut, safe

_SEQUENCE = 1
_BEGIN, _END, _INSTANT, _COUNTER = 1, 2, 3, 4  # TrackEvent.Type
_COUNT, _BYTES = 2, 3  # CounterDescriptor.Unit
_REALTIME, _BOOTTIME = 1, 6  # BuiltinClock
_NAMES = {"failed": "connect failed", "both": "sent and received", "tls": "TLS handshake"}
Message = bytes


@reporter
class PerfettoReport(Reporter):
    """`--format perfetto`."""

    name = "perfetto"
    suffixes = (".pftrace", ".perfetto-trace")
    binary = True
    single = True
    keep = Keep(activity=True)

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write a packet at a time."""
        for packet in _Trace(analysis).packets():
            out.write(_bytes(1, packet))


class _Trace:
    """The packets of one recording. Times are those of the log; one without a clock has tracks and no events."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._evidence: Evidence = analysis.evidence
        self._tracks = 0
        self._flows = 0
        self._bytes: list[tuple[int, int, int]] = []  # (ns, sent, received)
        self._open: list[tuple[int, int]] = []  # (ns, +1 or -1)

    def packets(self) -> Iterator[Message]:
        source = self._evidence.source
        if source.first_ns is not None and source.style.clock == "epoch":
            clocks = (_bytes(1, _number(1, clock) + _number(2, source.first_ns)) for clock in (_BOOTTIME, _REALTIME))
            yield _bytes(6, b"".join(clocks))
        by_pid: dict[int | None, list[Socket]] = {}
        for socket in self._evidence.sockets.values():
            by_pid.setdefault(socket.pid, []).append(socket)
        for pid, process in self._evidence.processes.items():
            yield from self._process(process, by_pid.pop(pid, []))
        for sockets in by_pid.values():
            for socket in sockets:
                yield from self._connection(socket, 0)
        yield from self._counters()

    def _process(self, process: Process, sockets: list[Socket]) -> Iterator[Message]:
        track = self._track()
        argv = b"".join(_text(2, word) for word in process.argv[:64])
        yield _descriptor(track, 0, _bytes(3, _number(1, process.pid) + argv + _text(6, process.command)))
        if process.start_ns is not None:
            end = process.end_ns if process.end_ns is not None else self._evidence.source.last_ns
            fate = f"killed by {process.signal}" if process.signal else f"exit status {process.exit_code}"
            told = fate if process.signal or process.exit_code is not None else "no end in the log"
            yield from _slice(track, process.command or "process", process.start_ns, end, {"end": told})
        for signal in process.signals:
            if signal.record.time_ns is not None:
                yield _event(_INSTANT, track, signal.record.time_ns, signal.signal)
        yield from self._threads(process, track, sockets)
        for socket in sockets:
            yield from self._connection(socket, track)

    def _threads(self, process: Process, parent: int, sockets: list[Socket]) -> Iterator[Message]:
        """The calls that are kept, of each thread in order: a thread is in one call at a time."""
        calls: dict[int, dict[int, Event]] = {}
        for socket in sockets:
            for event in socket.timeline:
                if event.record.time_ns is not None:
                    calls.setdefault(event.record.tid, {})[event.record.lineno] = event
        for tid in sorted({*process.threads, *calls}):
            track, last = self._track(), 0
            yield _descriptor(track, parent, _bytes(4, _number(1, process.pid) + _number(2, tid)))
            for event in sorted(calls.get(tid, {}).values(), key=lambda each: each.record.time_ns or 0):
                record = event.record
                start = max(record.time_ns or 0, last)
                last = max(start, (record.time_ns or 0) + (record.duration_ns or 0))
                told = {"line": record.lineno, "result": record.errno or record.retval or 0}
                yield from _slice(track, record.syscall, start, last, told)

    def _connection(self, socket: Socket, parent: int) -> Iterator[Message]:
        activity, peer = self._evidence.activity, socket.peer or socket.local
        blocks = activity.of(socket) if activity is not None else []
        track = self._track()
        name = f"{socket.uid} {socket.name or ''} {peer if peer is not None else socket.family}"
        yield _descriptor(track, parent, _text(2, " ".join(name.split())))
        if socket.opened_ns is not None and socket.is_network:
            self._open.append((socket.opened_ns, 1))
            if socket.closed_ns is not None:
                self._open.append((socket.closed_ns, -1))
        if socket.is_network:
            self._bytes += [(block.end_ns, block.sent, block.received) for block in blocks]
        last, flow = 0, 0
        for phase in phases(socket, blocks, self._evidence.source.last_ns):
            start, end = max(phase.start_ns, last), max(phase.end_ns, last)
            last = end
            flow, ids = self._flow(phase, flow)
            if phase.kind == "error":
                yield _event(_INSTANT, track, start, phase.text or "error")
            else:
                yield from _slice(track, _NAMES.get(phase.kind, phase.kind), start, end, _told(phase), ids)
        if socket.closed_ns is not None:
            yield _event(_INSTANT, track, max(last, socket.closed_ns), ending(socket))

    def _flow(self, phase: Phase, under_way: int) -> tuple[int, Message]:
        """From what was sent to what came next: (the flow under way, fields of the event)."""
        if phase.kind == "sent" and not under_way:
            self._flows += 1
            return self._flows, _fixed(47, self._flows)
        if phase.kind == "received" and under_way:
            return 0, _fixed(48, under_way)
        return under_way, b""

    def _counters(self) -> Iterator[Message]:
        moved = sorted(self._bytes)
        for name, unit, steps in (
            ("open connections", _COUNT, sorted(self._open)),
            ("bytes sent", _BYTES, [(ns, sent) for ns, sent, _ in moved if sent]),
            ("bytes received", _BYTES, [(ns, received) for ns, _, received in moved if received]),
        ):
            track, value = self._track(), 0
            yield _descriptor(track, 0, _text(2, name) + _bytes(8, _number(3, unit)))
            for ns, step in steps:
                value += step
                yield _event(_COUNTER, track, ns, "", _number(30, max(value, 0)))

    def _track(self) -> int:
        self._tracks += 1
        return self._tracks


def _told(phase: Phase) -> dict[str, int | str]:
    told: dict[str, int | str] = {}
    if phase.sent or phase.received:
        told |= {"bytes sent": phase.sent, "bytes received": phase.received}
    return told | ({"error": phase.text} if phase.text else {})


# ------------------------------------------------------------------------------------------------------------ messages


def _descriptor(track: int, parent: int, more: bytes) -> Message:
    return _packet(0, _bytes(60, _number(1, track) + (_number(5, parent) if parent else b"") + more))


def _slice(
    track: int, name: str, start: int, end: int | None, told: dict[str, int | str], more: bytes = b""
) -> Iterator[Message]:
    yield _event(_BEGIN, track, start, name, more + b"".join(_annotations(told.items())))
    yield _event(_END, track, max(start, end if end is not None else start), "")


def _annotations(told: Iterable[tuple[str, int | str]]) -> Iterator[Message]:
    for name, value in told:
        yield _bytes(4, _text(10, name) + (_text(6, value) if isinstance(value, str) else _number(4, value)))


def _event(kind: int, track: int, ns: int, name: str, more: bytes = b"") -> Message:
    named = _text(23, name) if name else b""
    return _packet(ns, _bytes(11, _number(9, kind) + _number(11, track) + named + more))


def _packet(ns: int, content: bytes) -> Message:
    return (_number(8, ns) if ns else b"") + content + _number(10, _SEQUENCE)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & 0xFFFFFFFFFFFFFFFF)


def _fixed(field: int, value: int) -> bytes:
    return _varint(field << 3 | 1) + value.to_bytes(8, "little")


def _text(field: int, text: str) -> bytes:
    return _bytes(field, cut(safe(text), 300).encode("utf-8", "replace"))


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
