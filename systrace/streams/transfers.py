"""Bytes moved: progress, turns of request and answer, ends of file, waits within a transfer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from systrace import model
from systrace.calls.errnos import EXHAUSTED, INTERRUPTED, WOULD_BLOCK
from systrace.model import (
    DETACHED,
    ENDED,
    NO_BYTES,
    RESTARTED,
    UNFINISHED,
    Event,
    Output,
    Received,
    Sent,
    Socket,
    Stream,
    Transfer,
    Turn,
)
from systrace.streams import connecting, waits
from systrace.streams.books import Books
from systrace.streams.descriptors import Description
from systrace.streams.growing import grown
from systrace.streams.marks import add_fault, add_output, add_span, end_wait
from systrace.streams.short import is_end, is_short, left_over
from systrace.streams.sockets import place
from systrace.streams.states import after
from systrace.streams.tasks import Task
from systrace.streams.timeline import NOTABLE_NS, answer_time, note

_PROBE = 16  # bytes
_IDLE_NS = 30 * NOTABLE_NS  # a silence worth remembering when the connection survived it


def moved(books: Books, task: Task, event: Sent | Received) -> None:
    record = event.record
    if not books.sees_read and record.syscall == "read":
        books.sees_read = True
    description = books.lookup.find(task, event.fd, record)
    if description is None or description.socket is None:
        other_moved(books, task, event, description)
        return
    socket = description.socket
    if event.size and record.errno is None:
        if event.flags and _flagged(books, socket, task, event):
            return
        progress(books, socket, task, event, type(event) is Sent)
        if socket.kind == "pipe" and type(event) is Sent and event.fd in (1, 2):
            add_output(task, Output(event.fd, "", event))
    elif record.outcome in (UNFINISHED, DETACHED, RESTARTED) or record.errno in INTERRUPTED:
        if socket.kind == "pipe":
            add_span(books, task, event, "pipe", None, "")
        else:
            waits_in_call(books, socket, task, event)
    elif record.outcome == ENDED:
        ended_unseen(books, socket, event)
    elif record.errno in WOULD_BLOCK:
        again(books, socket, task, event)
    elif record.errno is not None:
        if record.errno in EXHAUSTED:
            task.process.faults = grown(task.process.faults, event)
        if record.errno == "ECONNREFUSED" and socket.type == "unknown":
            socket.type = "dgram"  # udp(7): the port was closed; TCP says this of a connect only
        add_fault(books, socket, event, "error", record.errno)
    elif record.retval == 0 and is_end(event):
        end_of_file(books, socket, task, event)  # type: ignore[arg-type]
    note(socket, event, socket.uid == books.watch)


def _peeked(books: Books, socket: Socket, task: Task, event: Sent | Received) -> None:
    """A log without read(2) (-e trace=network) shows of a client that peeks and then reads only the peek: the first
    after each request stands for the read that is hidden. A peek of a few bytes only asks whether the peer is there.
    """
    if event.size < _PROBE or (socket.turn is not None and socket.turn.answer_bytes):
        return
    stand_in = Received(event.record, event.fd, event.size, b"", None, event.pieces)
    progress(books, socket, task, stand_in, False)


def _flagged(books: Books, socket: Socket, task: Task, event: Sent | Received) -> bool:
    """Whether the flags of a call that moved bytes make it another thing than progress; then it is done here."""
    if b"MSG_PEEK" in event.flags:
        note(socket, event)
        if not books.sees_read:
            _peeked(books, socket, task, event)
        return True
    if b"MSG_WAITALL" in event.flags and type(event) is Received:
        progress(books, socket, task, event, False)
        _waited_for_all(books, socket, task, event)
        note(socket, event, socket.uid == books.watch)
        return True
    return False


def _waited_for_all(books: Books, socket: Socket, task: Task, event: Received) -> None:
    """MSG_WAITALL that returns less than asked for met the peer's end, unless it was the limit (recv(2))."""
    limit = socket.rcvtimeo_ns
    if not is_short(event):
        return
    if limit is None or (event.record.duration_ns or 0) < limit:
        end_of_file(books, socket, task, event)


def progress(books: Books, socket: Socket, task: Task, event: Sent | Received, sending: bool) -> None:
    record = event.record
    start, duration = record.time_ns, record.duration_ns
    ended, full = start, False
    if start is not None and duration is not None:
        ended = start + duration
        if duration >= waits.SHORT_NS:
            limit = socket.sndtimeo_ns if sending else socket.rcvtimeo_ns
            full = sending and is_short(
                event
            )  # it waited for room to its end, when its limit or a signal let it return
            waits.extend(
                socket, task, event, limit_ns=limit, source="SO_SNDTIMEO" if sending else "SO_RCVTIMEO",
                timed_out=full and limit is not None and duration >= limit, direction="w" if sending else "r",
            )  # fmt: skip
    if socket.waiting is not None and not full:
        end_wait(books, socket, "data", ended)
    last = socket.last_progress_ns
    if last is not None and ended is not None:
        silence = ended - last
        if silence > socket.longest_silence_ns:
            socket.longest_silence_ns = silence
        if silence > _IDLE_NS and len(socket.idle) < 16 and socket.timeline:
            socket.idle = grown(socket.idle, (silence, socket.timeline[-1], event))
    if socket.state != "established":
        socket.state = after(socket.state, "data")
        attempt = connecting.unsettled(socket)
        if attempt is not None:
            connecting.settle(socket, attempt, "connected", None, attempt.ready_ns or start, event)
    if sending:
        socket.unsent = left_over(event)
        if socket.peer is None and event.address is not None:
            socket.peer, socket.role = event.address(), "client"
        stream = socket.sent = Stream() if socket.sent is NO_BYTES else socket.sent
    else:
        stream = socket.received = Stream() if socket.received is NO_BYTES else socket.received
    socket.error_ready = None
    stream.original_len += event.size
    stream.calls += 1
    if stream.first_ns is None:
        stream.first_ns = start
    stream.last_ns = socket.last_progress_ns = ended
    if sending == (socket.role != "server"):
        count_request(socket, event, start, ended, last)
    else:
        count_answer(socket, event, ended)
    if books.listener is not None and not socket.unseen:
        books.listener.moved(socket, event)


def ended_unseen(books: Books, socket: Socket, event: Sent | Received) -> None:
    """A transfer is over, and its result is missing: whatever came is not known, nor where later bytes belong."""
    end_wait(books, socket, "data", event.record.time_ns)
    socket.unseen, socket.unsent = True, False
    socket.turn = None  # it may have been answered
    socket.last_progress_ns = None
    if books.listener is not None and socket.kind == "socket":
        for sent in (True, False):
            books.listener.ended(socket, sent, "unfinished")


def count_request(socket: Socket, event: Transfer, start: int | None, ended: int | None, last: int | None) -> None:
    """Bytes of a request; `last` is when bytes had moved before them."""
    turn = socket.turn
    if turn is None or turn.answer_bytes:
        idle = start - last if start is not None and last is not None else None
        turn = socket.turn = Turn(start, idle_before_ns=idle, events=[event])
        socket.turns += 1
    turn.request_bytes += event.size
    turn.request_calls += 1
    turn.request_end_ns = ended


def count_answer(socket: Socket, event: Transfer, ended: int | None) -> None:
    """Bytes of an answer."""
    turn = socket.turn
    if turn is None:
        turn = socket.turn = Turn(None)
    if not turn.answer_bytes:
        turn.first_answer_ns = ended
        turn.events.append(event)
        slowest = socket.longest_turn
        if slowest is None or answer_time(turn) > answer_time(slowest):
            socket.longest_turn = turn
    turn.answer_bytes += event.size
    turn.last_answer_ns = ended


def waits_in_call(books: Books, socket: Socket, task: Task, event: Sent | Received) -> None:
    """A transfer that has no result, or was broken by a signal: a wait so far."""
    sending = type(event) is Sent
    limit = socket.sndtimeo_ns if sending else socket.rcvtimeo_ns
    span = waits.extend(
        socket, task, event, limit_ns=limit, source="SO_SNDTIMEO" if sending else "SO_RCVTIMEO", timed_out=False,
        direction="w" if sending else "r", pending=event.record.outcome != RESTARTED and event.record.errno is None,
    )  # fmt: skip
    task.last_wait = [span]


def again(books: Books, socket: Socket, task: Task, event: Sent | Received) -> None:
    """EAGAIN: nothing on a non-blocking socket; the end of SO_RCVTIMEO on a blocking one."""
    duration = event.record.duration_ns or 0
    sending = type(event) is Sent
    if sending:
        socket.unsent = True
    if duration < waits.SHORT_NS:
        return
    limit = socket.sndtimeo_ns if sending else socket.rcvtimeo_ns
    waits.extend(
        socket, task, event, limit_ns=limit or duration, source="SO_SNDTIMEO" if sending else "SO_RCVTIMEO",
        timed_out=True, direction="w" if sending else "r",
    )  # fmt: skip


def end_of_file(books: Books, socket: Socket, task: Task, event: Received) -> None:
    if socket.type not in ("stream", "seqpacket", "unknown"):
        return
    record = event.record
    if (record.duration_ns or 0) >= waits.SHORT_NS:
        waits.extend(
            socket, task, event, limit_ns=socket.rcvtimeo_ns, source="SO_RCVTIMEO", timed_out=False, direction="r"
        )
    if not any(f.kind == "eof" for f in socket.faults):
        add_fault(books, socket, event, "eof", None)
        if books.listener is not None:
            books.listener.ended(socket, False, "eof")
    else:
        end_wait(books, socket, "data", record.end_ns or record.time_ns)


def other_moved(books: Books, task: Task, event: Sent | Received, description: Description | None) -> None:
    """Transfers on files, terminals, unknown descriptors."""
    record = event.record
    kind = description.kind if description is not None else "stdio" if 0 <= event.fd < 3 else "unknown"
    if type(event) is Sent:
        if event.size and (event.fd in (1, 2) or kind in ("stdio", "file")) and event.size <= 65536:
            path = description.path if description is not None else ""
            add_output(task, Output(event.fd, path, event))
        elif record.errno in EXHAUSTED or record.errno == "ENOSPC":
            task.process.faults = grown(task.process.faults, event)
    if (record.duration_ns or 0) >= NOTABLE_NS or record.outcome in (UNFINISHED, DETACHED, RESTARTED):
        name = "stdin" if event.fd == 0 and kind in ("stdio", "unknown", "file") else kind
        add_span(books, task, event, name, None, description.path if description is not None else "")


def descriptors_passed(books: Books, task: Task, event: model.DescriptorsPassed) -> None:
    moved(books, task, event.transfer)  # type: ignore[arg-type]
    if event.sent:
        for fd in event.fds:
            description = task.table.fds.get(fd)
            if description is not None and len(books.passed) < 1000:
                description.refs += 1
                books.passed.append(description)
        return
    for fd in event.fds:
        if books.passed:
            description = books.passed.pop(0)
            place(books, task, fd, description, False, event.record)
            description.refs -= 1


HANDLERS: dict[type[Event], Callable[[Books, Any, Any], None]] = {
    Sent: moved,
    Received: moved,
    model.DescriptorsPassed: descriptors_passed,
}
