"""The calls kept for each socket: bounded, with what is remarkable kept longest."""

from __future__ import annotations

from systrace.calls.errnos import QUIET
from systrace.model import Event, Received, Socket, Turn

NOTABLE_NS = 1_000_000_000  # a wait of a second is worth a line
_MOST = 120  # calls kept of one socket before its middle is thinned
_HEAD, _TAIL, _REMARKABLE = 24, 40, 40
_LINE = 100
_FIRST, _LAST = 3, 5  # of one that was closed in good order: a refusal and the farewell behind it


def note(socket: Socket, event: Event, keep_all: bool = False) -> None:
    """Add a call to the socket's timeline; past the bound the unremarkable middle goes, and is counted."""
    timeline = socket.timeline
    timeline.append(event)
    if len(timeline) > _MOST and not keep_all:
        middle = timeline[_HEAD:-_TAIL]
        kept = [e for e in middle if e.record.errno is not None or (e.record.duration_ns or 0) >= NOTABLE_NS]
        kept = [e for e in kept if is_remarkable(e)][-_REMARKABLE:]
        socket.dropped_events += len(middle) - len(kept)
        socket.timeline = timeline[:_HEAD] + kept + timeline[-_TAIL:]
        socket.unbroken_from = _HEAD + len(kept)


def _with_line(timeline: list[Event], last: int) -> int:
    """How many of the last calls are kept so that a line stays whole that was read byte by byte, as shells do."""
    while last < min(len(timeline), _LINE) and _is_byte(timeline[-last]):
        last += 1
    return last


def _is_byte(event: Event) -> bool:
    return isinstance(event, Received) and event.size == 1


def is_remarkable(event: Event) -> bool:
    """Failed, or long."""
    record = event.record
    return (record.errno is not None and record.errno not in QUIET) or (record.duration_ns or 0) >= NOTABLE_NS


def answer_time(turn: Turn) -> int:
    """ns from the last byte of the request to the first of the answer; -1 while unknown."""
    if turn.first_answer_ns is None or turn.request_end_ns is None:
        return -1
    return turn.first_answer_ns - turn.request_end_ns


def thin(socket: Socket) -> None:
    """A socket closed in good order keeps its first and last calls only."""
    timeline = socket.timeline
    tail = _LAST + any(isinstance(e, Received) and not e.size for e in timeline[-2:])  # a length, its frame, the end
    tail = _with_line(timeline, tail)
    if len(timeline) > _FIRST + tail:
        socket.dropped_events += len(timeline) - _FIRST - tail
        socket.timeline = timeline[:_FIRST] + timeline[-tail:]
        socket.unbroken_from = _FIRST
    slowest = socket.longest_turn
    for turn in (socket.turn, slowest):
        if turn is None or (turn is slowest and answer_time(turn) >= NOTABLE_NS):
            continue
        turn.events = []
