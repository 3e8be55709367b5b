"""Waits: consecutive calls that wait for the same socket, without a byte moving, are one wait with one duration."""

from __future__ import annotations

from systrace.model import Event, Socket, Span
from systrace.streams.growing import grown
from systrace.streams.tasks import Task
from systrace.streams.timeline import NOTABLE_NS

SHORT_NS = 20_000_000  # a call that waited less does not begin a wait
_MOST = 48  # waits kept of one socket


def extend(
    socket: Socket,
    task: Task,
    event: Event,
    *,
    limit_ns: int | None,
    source: str,
    timed_out: bool,
    direction: str,
    pending: bool = False,
) -> Span:
    """Count a waiting call into the socket's wait, or begin one; `pending`: the call has no end yet."""
    record = event.record
    end = None if pending else record.end_ns
    span = socket.waiting
    if span is None:
        span = Span(
            task.tid, task.process.pid, "socket", record.time_ns, end, limit_ns, source, timed_out, [event],
            (socket.uid,), direction,
        )  # fmt: skip
        socket.waiting = span
        return span
    if span.pid != task.process.pid and _may_listen(socket):
        socket.role = "listener"  # workers wait for the clients of one; a connection has one reader
    span.calls += 1
    span.detail = span.broken_by = ""
    span.end_ns = end
    if (
        timed_out
        or span.limit_source not in ("SIGALRM", "timerfd")
        or (limit_ns is None and span.limit_source == "SIGALRM")
    ):
        span.limit_ns, span.limit_source = limit_ns, source
    span.timed_out = timed_out
    span.direction = direction
    if len(span.events) > 1:
        span.events[-1] = event
    else:
        span.events.append(event)
    return span


def _may_listen(socket: Socket) -> bool:
    """Nothing says that it is a connection."""
    return socket.role == "unknown" and socket.peer is None and not (socket.sent.calls or socket.received.calls)


def end(socket: Socket, ended_by: str, time_ns: int | None) -> Span | None:
    """The socket's wait is over; it is kept when it was long or did not end with data."""
    span = socket.waiting
    if span is None:
        return None
    socket.waiting = None
    span.ended_by = ended_by
    if span.end_ns is None or ended_by == "data":
        span.end_ns = time_ns
    duration = span.duration_ns
    if ended_by != "data" or duration is None or duration >= NOTABLE_NS:
        if len(socket.waits) >= _MOST:
            shortest = min(range(len(socket.waits) - 1), key=lambda i: socket.waits[i].duration_ns or 0)
            socket.waits = [*socket.waits[:shortest], *socket.waits[shortest + 1 :]]
        socket.waits = grown(socket.waits, span)
        return span
    return None
