"""What every family notes at a socket or process: a fault, the end of a wait, a wait that is no socket's."""

from __future__ import annotations

from collections.abc import Sequence

from systrace.model import (
    DETACHED,
    MOST_OUTPUT,
    RESTARTED,
    UNFINISHED,
    Event,
    Fault,
    Output,
    Received,
    Sent,
    Socket,
    Span,
)
from systrace.streams import waits
from systrace.streams.books import Books
from systrace.streams.growing import grown
from systrace.streams.snapshots import blocked_before
from systrace.streams.states import after
from systrace.streams.tasks import Task

_SPANS = 2000
_PENDING = 4096  # calls without an end beyond those: more threads than that seldom hang at once


def add_fault(books: Books, socket: Socket, event: Event, kind: str, errno: str | None) -> None:
    record = event.record
    turn = socket.turn
    direction = "w" if isinstance(event, Sent) else "r" if isinstance(event, Received) else ""
    duration = record.duration_ns or 0
    if duration >= waits.SHORT_NS and kind == "error" and socket.waiting is None:
        span = Span(
            record.tid, socket.pid or 0, "socket", record.time_ns, record.end_ns, None, record.syscall, False,
            [event], (socket.uid,), direction or "r",
        )  # fmt: skip
        socket.waiting = span
    now = record.end_ns if record.end_ns is not None else record.time_ns
    end_wait(books, socket, kind if errno is None else errno, now)
    asked = turn.request_end_ns if turn is not None else None
    silent = None
    if now is not None and socket.last_progress_ns is not None:
        silent = now - socket.last_progress_ns
    answered = turn.answer_bytes if turn is not None else 0
    idle = turn.idle_before_ns if turn is not None and not answered and turn.start_ns is not None else silent
    if len(socket.faults) < 32:
        socket.faults = grown(
            socket.faults,
            Fault(
                kind, errno, event, direction, socket.sent.original_len, socket.received.original_len, idle,
                now - asked if now is not None and asked is not None else None, socket.turns, answered,
                turn.request_bytes if turn is not None and not answered else 0,
            )
        )  # fmt: skip
    socket.state = after(socket.state, "eof" if kind == "eof" else "error")
    if kind == "error" and books.listener is not None and errno in ("ECONNRESET", "ETIMEDOUT"):
        books.listener.ended(socket, False, "reset")


def end_wait(books: Books, socket: Socket, ended_by: str, time_ns: int | None) -> None:
    span = waits.end(socket, ended_by, time_ns)
    if span is not None and len(books.spans) < _SPANS and socket.kind == "socket":
        books.spans.append(span)


def add_span(books: Books, task: Task, event: Event, kind: str, limit_ns: int | None, detail: str) -> None:
    record = event.record
    pending = record.outcome in (UNFINISHED, DETACHED)
    end = None if pending else record.end_ns
    span = Span(
        task.tid, task.process.pid, kind, record.time_ns, end, limit_ns, record.syscall, False, [event],
        detail=detail,
    )  # fmt: skip
    before = blocked_before(task, record) if task.blocked is not None else None
    if before is not None:
        span.kind, span.limit_source, span.start_ns = before[0] or kind, before[1], before[2]
        span.limit_ns = limit_ns or before[3]
    span.ended_by = "" if pending else "signal" if record.outcome == RESTARTED else "returned"
    task.process.spans = _added(task.process.spans, span, 64, pending)
    books.spans = _added(books.spans, span, _SPANS, pending)


def _added(spans: Sequence[Span], span: Span, most: int, pending: bool) -> list[Span]:
    """The first ones are kept, and of those that never ended also the latest: the end of a log is what matters."""
    if len(spans) >= most and not pending:
        return spans if isinstance(spans, list) else list(spans)
    kept = grown(spans, span)
    if len(kept) > most + _PENDING:
        del kept[most]
    return kept


def add_output(task: Task, output: Output) -> None:
    """A write to standard output, standard error or a file."""
    task.process.output = outputs = grown(task.process.output, output)
    if len(outputs) > MOST_OUTPUT:
        del outputs[0]
