"""Bytes moved: progress, turns of request and answer, ends of file, waits within a transfer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from systrace import model
from systrace.calls.errnos import EXHAUSTED, UNREACHABLE, WOULD_BLOCK
from systrace.model import (
    ENDED,
    NO_BYTES,
    NO_RESULT,
    RESTARTED,
    Endpoint,
    Event,
    Output,
    Received,
    Record,
    Sent,
    Socket,
    Span,
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

_OF_OUTPUT = frozenset(("ENOSPC", "EDQUOT", "EROFS", "EPIPE"))  # of files and pipes
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
        progress(books, socket, task, event)
        if socket.kind == "pipe" and type(event) is Sent and event.fd in (1, 2):
            add_output(task, Output(event.fd, "", event))
    elif record.errno in WOULD_BLOCK:
        again(socket, task, event)
    else:
        _no_bytes(books, socket, task, event)
    note(socket, event, socket.uid == books.watch)


def _no_bytes(books: Books, socket: Socket, task: Task, event: Sent | Received) -> None:
    """The call is under way, or ended with something else than bytes: an error, the peer's end, a result that is lost."""
    record = event.record
    if record.pending or record.interrupted:
        if socket.kind == "pipe":
            add_span(books, task, event, "pipe", None, "")
        else:
            waits_in_call(socket, task, event)
    elif record.outcome == ENDED:
        ended_unseen(books, socket, event)
    elif record.errno is not None:
        if record.errno in EXHAUSTED or (socket.kind == "pipe" and record.errno in _OF_OUTPUT):
            task.process.faults = grown(task.process.faults, event)
        if connecting.failed_by(socket, event):
            return
        if (socket.type == "unknown" or socket.inherited) and _of_datagrams(socket, record):
            socket.type = "dgram"  # its socket(2) is not in the log
        if type(event) is Sent and socket.peer is None and event.address is not None:
            _addressed(socket, event.address())
        add_fault(books, socket, event, "error", record.errno)
    elif record.retval == 0 and is_end(event):
        end_of_file(books, socket, task, event)


def _addressed(socket: Socket, peer: Endpoint | None) -> None:
    """Somebody was written to by address: where the log lacks socket(2), that tells the family, too."""
    socket.peer, socket.role = peer, "client"
    if socket.family == "unknown" and peer is not None:
        socket.family = peer.family


_AT_ONCE_NS = 1_000_000_000


def _of_datagrams(socket: Socket, record: Record) -> bool:
    """An ICMP error that comes back at once is told of datagrams only (udp(7)): TCP repeats what it sent for many seconds
    before it believes that (RFC 1122 4.2.3.9), and says ECONNREFUSED of a connect only.
    """
    now, last = record.end_ns or record.time_ns, socket.last_progress_ns
    return record.errno in UNREACHABLE | {"ECONNREFUSED"} and (now is None or last is None or now - last < _AT_ONCE_NS)


def _peeked(books: Books, socket: Socket, task: Task, event: Sent | Received) -> None:
    """A log without read(2) (-e trace=network) shows of a client that peeks and then reads only the peek: the first
    after each request stands for the read that is hidden. A peek of a few bytes only asks whether the peer is there.
    """
    if event.size < _PROBE or (socket.turn is not None and socket.turn.answer_bytes):
        return
    stand_in = Received(event.record, event.fd, event.size, b"", None, event.pieces)
    progress(books, socket, task, stand_in)


def _flagged(books: Books, socket: Socket, task: Task, event: Sent | Received) -> bool:
    """Whether the flags of a call that moved bytes make it another thing than progress; then it is done here."""
    if b"MSG_PEEK" in event.flags:
        note(socket, event)
        if not books.sees_read:
            _peeked(books, socket, task, event)
        return True
    if b"MSG_WAITALL" in event.flags and type(event) is Received:
        progress(books, socket, task, event)
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


def progress(books: Books, socket: Socket, task: Task, event: Sent | Received) -> None:
    """Bytes moved: a wait ends, a turn goes on, an open connect has succeeded. One function, as it runs for each of them."""
    start, duration = event.record.time_ns, event.record.duration_ns
    sending = type(event) is Sent
    ended, full = start, False
    if start is not None and duration is not None:
        ended = start + duration
        full = duration >= waits.SHORT_NS and _waited_for_room(socket, task, event, duration)
    if socket.waiting is not None and not full:
        end_wait(books, socket, "data", ended)
    last = socket.last_progress_ns
    if last is not None and ended is not None:
        silence = ended - last
        if silence > socket.longest_silence_ns:
            socket.longest_silence_ns = silence
        if silence > _IDLE_NS:
            _survived(socket, event, silence)
    if socket.state != "established":
        _stands(socket, event)
    if sending:
        stream = socket.sent
        socket.unsent = left_over(event)
        if socket.peer is None and event.address is not None:
            _addressed(socket, event.address())
    else:
        stream = socket.received
    if stream.first_ns is None:
        stream = _begun(socket, sending, start)
    socket.error_ready = None
    stream.original_len += event.size
    stream.calls += 1
    stream.last_ns = socket.last_progress_ns = ended
    if sending == (socket.role != "server"):
        count_request(socket, event, start, ended, last)
    else:
        count_answer(socket, event, ended)
    if books.listener is not None and not socket.unseen:
        books.listener.moved(socket, event)


def _waited_for_room(socket: Socket, task: Task, event: Sent | Received, duration_ns: int) -> bool:
    """A transfer that took long was a wait. Did it end with no more room, when its limit or a signal let it return?"""
    full = type(event) is Sent and is_short(event)
    limit = _limit_of(socket, event)
    span = _wait_in(socket, task, event, limit, timed_out=full and limit is not None and duration_ns >= limit)
    if full:
        task.last_wait = [span]  # a signal that comes now is what let it return (signal(7))
    return full


def _survived(socket: Socket, event: Sent | Received, silence_ns: int) -> None:
    """A silence that this connection has survived, between these two calls."""
    if len(socket.idle) < 16 and socket.timeline:
        socket.idle = grown(socket.idle, (silence_ns, socket.timeline[-1], event))


def _stands(socket: Socket, event: Sent | Received) -> None:
    """Bytes prove that the connection stands."""
    socket.state = after(socket.state, "data")
    attempt = connecting.unsettled(socket)
    if attempt is not None:
        connecting.settle(socket, attempt, "connected", None, attempt.ready_ns or event.record.time_ns, event)


def _begun(socket: Socket, sending: bool, start_ns: int | None) -> Stream:
    """The stream of this direction, with the time of its first bytes."""
    stream = socket.sent if sending else socket.received
    if stream is NO_BYTES:
        stream = Stream()
        if sending:
            socket.sent = stream
        else:
            socket.received = stream
    stream.first_ns = start_ns
    return stream


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


def waits_in_call(socket: Socket, task: Task, event: Sent | Received) -> None:
    """A transfer that has no result, or was broken by a signal: a wait so far."""
    pending = event.record.outcome != RESTARTED and event.record.errno is None
    task.last_wait = [_wait_in(socket, task, event, _limit_of(socket, event), pending=pending)]


def again(socket: Socket, task: Task, event: Sent | Received) -> None:
    """EAGAIN: nothing on a non-blocking socket; the end of SO_RCVTIMEO on a blocking one."""
    duration, limit = event.record.duration_ns, _limit_of(socket, event)
    if type(event) is Sent:
        socket.unsent = True
    if duration is None:  # without -T, that a limit is set tells that it has waited
        waited = limit is not None and not socket.nonblock and b"DONTWAIT" not in event.flags
    else:
        waited = duration >= waits.SHORT_NS
    if waited:
        _wait_in(socket, task, event, limit or duration, timed_out=True)


def _limit_of(socket: Socket, event: Sent | Received) -> int | None:
    return socket.sndtimeo_ns if type(event) is Sent else socket.rcvtimeo_ns


def _wait_in(
    socket: Socket,
    task: Task,
    event: Sent | Received,
    limit_ns: int | None,
    timed_out: bool = False,
    pending: bool = False,
) -> Span:
    """The transfer itself waits, for no longer than the socket's own limit."""
    source, direction = ("SO_SNDTIMEO", "w") if type(event) is Sent else ("SO_RCVTIMEO", "r")
    return waits.extend(
        socket, task, event, limit_ns=limit_ns, source=source, timed_out=timed_out, direction=direction, pending=pending
    )


def end_of_file(books: Books, socket: Socket, task: Task, event: Sent | Received) -> None:
    """The peer's end was read: a fault the first time."""
    if socket.type not in ("stream", "seqpacket", "unknown"):
        return
    record = event.record
    if (record.duration_ns or 0) >= waits.SHORT_NS:
        _wait_in(socket, task, event, socket.rcvtimeo_ns)
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
        elif record.errno in EXHAUSTED or record.errno in _OF_OUTPUT:
            task.process.faults = grown(task.process.faults, event)
    if (record.duration_ns or 0) >= NOTABLE_NS or record.outcome in NO_RESULT:
        name = "stdin" if event.fd == 0 and kind in ("stdio", "unknown", "file") else kind
        add_span(books, task, event, name, None, description.path if description is not None else "")
    if task.blocked is not None and record.outcome not in NO_RESULT:
        task.blocked = None  # what it waited for before the trace is over


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
