"""What every family notes at a socket or process: a fault, the end of a wait, a wait that is no socket's."""

from __future__ import annotations

from collections.abc import Sequence

from systrace.model import (
    MOST_FILES,
    MOST_OUTPUT,
    MOST_UNOPENED,
    RESTARTED,
    Event,
    Fault,
    FileOpened,
    Output,
    Received,
    Record,
    Renamed,
    Sent,
    Socket,
    Span,
    Turn,
)
from systrace.streams import waits
from systrace.streams.books import Books
from systrace.streams.growing import grown
from systrace.streams.snapshots import blocked_before
from systrace.streams.states import after
from systrace.streams.tasks import Task

_SPANS = 2000
_PENDING = 4096  # calls without an end beyond those: more threads than that seldom hang at once

_PROMPTLY_NS = 100_000_000  # room for a signal's handler
_NO_TURN = Turn(None)  # nothing was asked yet


def add_fault(books: Books, socket: Socket, event: Event, kind: str, errno: str | None) -> None:
    """A call on the socket failed, or met its end: that ends its wait too."""
    record = event.record
    direction = "w" if isinstance(event, Sent) else "r" if isinstance(event, Received) else ""
    if kind == "error" and socket.waiting is None and (record.duration_ns or 0) >= waits.SHORT_NS:
        socket.waiting = Span(
            record.tid, socket.pid or 0, "socket", record.time_ns, record.end_ns, None, record.syscall, False,
            [event], (socket.uid,), direction or "r",
        )  # fmt: skip
    now = record.end_ns if record.end_ns is not None else record.time_ns
    end_wait(books, socket, kind if errno is None else errno, now)
    if len(socket.faults) < 32:
        socket.faults = grown(socket.faults, _fault(socket, event, kind, errno, direction, now))
    socket.state = after(socket.state, "eof" if kind == "eof" else "error")
    if kind == "error" and books.listener is not None and errno in ("ECONNRESET", "ETIMEDOUT"):
        books.listener.ended(socket, False, "reset")


def _fault(socket: Socket, event: Event, kind: str, errno: str | None, direction: str, now: int | None) -> Fault:
    """The fault, with what went before it on this socket."""
    turn = socket.turn if socket.turn is not None else _NO_TURN
    idle = _between(socket.last_progress_ns, now)
    if (
        not turn.answer_bytes and turn.start_ns is not None
    ):  # a request is open: how old was the connection when it began
        idle = turn.idle_before_ns
    return Fault(
        kind, errno, event, direction, socket.sent.original_len, socket.received.original_len, idle,
        _between(turn.request_end_ns, now), socket.turns, turn.answer_bytes,
        0 if turn.answer_bytes else turn.request_bytes,
    )  # fmt: skip


def _between(start_ns: int | None, end_ns: int | None) -> int | None:
    return None if start_ns is None or end_ns is None else end_ns - start_ns


def end_wait(books: Books, socket: Socket, ended_by: str, time_ns: int | None) -> None:
    span = waits.end(socket, ended_by, time_ns)
    if span is not None and len(books.spans) < _SPANS and socket.kind == "socket":
        books.spans.append(span)


def add_span(books: Books, task: Task, event: Event, kind: str, limit_ns: int | None, detail: str) -> None:
    record = event.record
    pending = record.pending
    end = None if pending else record.end_ns
    ended_by = "" if pending else "signal" if record.outcome == RESTARTED else "returned"
    before = task.process.spans[-1] if task.process.spans else None
    if before is not None and before.ended_by == "signal" and _goes_on(before, record):
        before.events, before.end_ns, before.ended_by = [before.events[0], event], end, ended_by
        before.calls += 1
        before.timed_out = False  # it was a tick
        return
    span = Span(
        task.tid, task.process.pid, kind, record.time_ns, end, limit_ns, record.syscall, False, [event],
        detail=detail,
    )  # fmt: skip
    known = blocked_before(task, record) if task.blocked is not None else None
    if known is not None:
        span.kind, span.limit_source, span.start_ns = known[0] or kind, known[1], known[2]
        span.limit_ns = limit_ns or known[3]
    span.ended_by = ended_by
    task.process.spans = _added(task.process.spans, span, 64, pending)
    books.spans = _added(books.spans, span, _SPANS, pending)


def _goes_on(span: Span, record: Record) -> bool:
    """The kernel makes the call again that a signal broke off (SA_RESTART): it is one wait. A program that makes it again
    by itself has done something else in between, as a rule.
    """
    last = span.events[-1].record
    if last.tid != record.tid or last.syscall != record.syscall or last.args != record.args:
        return False
    return span.end_ns is None or record.time_ns is None or record.time_ns - span.end_ns < _PROMPTLY_NS


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


def add_unopened(task: Task, event: FileOpened) -> None:
    """A file with data could not be opened."""
    task.process.unopened = files = grown(task.process.unopened, event)
    if len(files) > MOST_UNOPENED:
        del files[0]


def add_file(task: Task, event: FileOpened | Renamed) -> None:
    """A file with data was opened, or got another name."""
    task.process.files = files = grown(task.process.files, event)
    if len(files) > MOST_FILES:
        del files[0]
