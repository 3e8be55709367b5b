"""One socket, call by call: `systrace parse --socket S4`."""

from __future__ import annotations

from typing import BinaryIO

from systrace.errors import UsageError
from systrace.masking.masks import Masks
from systrace.model import (
    ENDED,
    Accepted,
    Analysis,
    Bound,
    Connected,
    Event,
    Named,
    OptionGot,
    OptionSet,
    Received,
    Sent,
    Shut,
    Socket,
    Transfer,
    Waited,
)
from systrace.reporters.layout import Layout
from systrace.reporters.words.endings import ending, unended, user
from systrace.words import cut_middle, duration, encoded, payload, safe, size, wrap

SILENCE_NS = 1_000_000_000  # a second without a call on the socket gets a line of its own
_DETAIL_AT_LEAST = 20  # columns


def timeline(analysis: Analysis, uid: str, out: BinaryIO, layout: Layout) -> None:
    """Write the calls on one socket: time since start, thread, call, result, duration, what it moved.

    Raises:
        UsageError: no socket of that name.
    """
    socket = analysis.evidence.sockets.get(uid)
    if socket is None:
        known = [each.uid for each in analysis.evidence.sockets.values() if each.kind == "socket"]
        listed = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        raise UsageError(f"there is no socket {safe(uid, 40)}: this log has {listed or 'none'}")
    lines = [*_heading(analysis, socket, layout), "", *_calls(analysis, socket, layout)]
    for finding in analysis.findings:
        if finding.socket == uid:
            lines += ["", *wrap(f"{finding.cause}: {finding.summary}", layout.width)]
    out.write(encoded("\n".join(lines) + "\n"))


def _heading(analysis: Analysis, socket: Socket, layout: Layout) -> list[str]:
    local = f"{socket.local} -> " if socket.local is not None else ""
    name = f" ({socket.name})" if socket.name else ""
    what = f"{socket.family} {socket.type}, {local}{socket.peer or 'no peer known'}{name}"
    counts = f"{size(socket.sent.original_len)} out, {size(socket.received.original_len)} in"
    alive = {True: "on", False: "off", None: "not set in this log"}[socket.keepalive.on]
    text = f"{socket.uid}: {what}; used by {user(socket, analysis.evidence)}; {counts}; keepalive {alive}"
    lines = wrap(f"{text}; {ending(socket)}.", layout.width, rest="    ")
    return [layout.paint(line, "bold") if at == 0 else line for at, line in enumerate(lines)]


def _calls(analysis: Analysis, socket: Socket, layout: Layout) -> list[str]:
    first = analysis.evidence.source.first_ns or 0
    events = socket.timeline
    wide = max([6, *(len(str(e.record.tid)) for e in events)])
    lines = [layout.paint(f"{'seconds':>13}  {'thread':>{wide}}  {'call':<12} {'result':<13} {'took':>8}", "dim")]
    busy_until: int | None = None
    hidden = socket.dropped_events
    for at, event in enumerate(events):
        record = event.record
        if record.time_ns is not None:
            if busy_until is not None and record.time_ns - busy_until >= SILENCE_NS:
                silence = f"--- no call on this socket for {duration(record.time_ns - busy_until)} ---"
                lines.append(layout.paint(f"{'':15}{silence}", "yellow"))
            busy_until = max(busy_until or 0, record.end_ns or record.time_ns)
        if hidden and at == min(len(events) - 1, 24):
            lines.append(f"{'':15}... {hidden} calls in order and without remark are not kept ...")
            hidden = 0
        lines.append(_call(event, first, wide, layout, analysis.evidence.masks))
    if unended(socket) is not None:
        lines.append(layout.paint(f"{'':15}--- and here the log ends: {ending(socket)} ---", "red"))
    return lines


def _call(event: Event, first: int, wide: int, layout: Layout, masks: Masks) -> str:
    record = event.record
    since = f"{(record.time_ns - first) / 1e9:13.6f}" if record.time_ns is not None else f"line {record.lineno:>8}"
    took = record.duration_ns
    line = f"{since}  {record.tid or '-':>{wide}}  {safe(record.syscall):<12} {result(event):<13} {duration(took):>8}"
    room = max(layout.width - len(line) - 2, _DETAIL_AT_LEAST)
    line = f"{line}  {detail(event, room, masks)}".rstrip()
    return layout.paint(line, "yellow") if (took or 0) >= SILENCE_NS else line


def result(event: Event) -> str:
    """What a call returned."""
    record = event.record
    if record.errno is not None:
        return safe(record.errno, 13)
    if record.retval is None:
        return "result not in the log" if record.outcome == ENDED else record.outcome
    if isinstance(event, Received) and record.retval == 0 and event.asked() != 0:
        return "0 end of data"
    return str(record.retval)


def detail(event: Event, room: int, masks: Masks) -> str:
    """What a call was about."""
    match event:
        case Sent() | Received():
            return _bytes(event, room, masks)
        case Connected(peer=end) | Accepted(peer=end) | Bound(local=end) | Named(endpoint=end):
            return cut_middle(safe(masks.text(str(end))), room) if end is not None else ""
        case Waited():
            return cut_middle(safe(_wait(event)), room)
        case OptionSet(name=name, value=value):
            shown = duration(value) if name.endswith("TIMEO") and value is not None else value
            return safe(f"{name}={'?' if shown is None else shown}", room)
        case OptionGot(name=name, error=error):
            return safe(name if error is None else f"{name}: {error or 'none'}", room)
        case Shut(how=how):
            return how
        case _:
            return cut_middle(safe(masks.line(event.record.args, argv=True)), room)


def _wait(event: Waited) -> str:
    allowed = "no limit" if event.limit_ns is None else f"limit {duration(event.limit_ns)}"
    what = "timed out" if event.timed_out else ", ".join(sorted({text for _, text in event.ready}))
    return f"{allowed}: {what}" if what else allowed


def _bytes(event: Transfer, room: int, masks: Masks) -> str:
    known = b"".join(piece for piece, _ in event.payload())
    return payload(masks.data(known), room) if known else ""
