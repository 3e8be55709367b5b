"""poll, select, epoll, timers and everything that blocks on something else than a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from systrace import model
from systrace.model import ENDED, RETURNED, Event, Socket, Span
from systrace.streams import connecting, waits
from systrace.streams.books import Books
from systrace.streams.descriptors import Description, Interest, Watching
from systrace.streams.marks import add_span, end_wait
from systrace.streams.tasks import Task
from systrace.streams.timeline import NOTABLE_NS, note

_SMALL = 8  # descriptors of an epoll set that are all looked at, each time


def waited(books: Books, task: Task, event: model.Waited) -> None:
    """What was ready, and which sockets are waited for."""
    record = event.record
    if record.outcome == ENDED:
        ended_unseen(books, task, event)
    elif event.epoll_fd < 0 and not event.fds:
        resumed_wait(books, task, event)
    elif record.errno is None or record.interrupted:
        cut = record.outcome != RETURNED or record.errno is not None  # by a signal, or by the log's end
        notable = cut or event.timed_out or (record.duration_ns or 0) >= waits.SHORT_NS
        if not notable and len(event.fds) == len(event.ready) == 1:
            ready_at_once(books, task, event)
        elif not wait_for_sockets(books, task, event, notable) and (cut or (record.duration_ns or 0) >= NOTABLE_NS):
            add_span(books, task, event, kind_of_others(books, task, event), event.limit_ns, "")


def wait_for_sockets(books: Books, task: Task, event: model.Waited, notable: bool) -> bool:
    """The call begins the wait of each socket that was not ready in time, or goes on with it; is any socket asked for?"""
    record = event.record
    asked = watched(books, task, event, notable)
    long = (record.duration_ns or 0) >= waits.SHORT_NS
    spans: list[Span] = []
    for socket, want, text in asked:
        if text:
            seen_ready(socket, event, text)
        in_time = (text and not long) or event.limit_ns == 0
        if in_time or not (notable or socket.waiting is not None):
            continue
        span = waits.extend(
            socket, task, event, limit_ns=event.limit_ns, source=record.syscall,
            timed_out=event.timed_out, direction=_direction(socket, want), pending=record.pending,
        )  # fmt: skip
        spans.append(span)
        mark_ready(span, text)
        note(socket, event, socket.uid == books.watch)
    task.last_wait = spans
    return bool(asked)


def ended_unseen(books: Books, task: Task, event: model.Waited) -> None:
    """A wait is over, and the log does not show how: nobody waits any more, and a connect under way may have ended."""
    began = event.record.time_ns
    for span in task.last_wait:  # restart_syscall went on with it
        span.end_ns = began if span.end_ns is None else span.end_ns
    task.last_wait = []
    for socket, _, _ in watched(books, task, event, True):
        end_wait(books, socket, "data", began)
        attempt = connecting.pending(socket)
        if attempt is not None:
            connecting.settle(socket, attempt, "unknown", None, None, None)
        note(socket, event, socket.uid == books.watch)


def ready_at_once(books: Books, task: Task, event: model.Waited) -> None:
    """The usual case: one descriptor was asked for, and was ready."""
    task.last_wait = []
    fd, text = event.ready[0]
    description = books.lookup.from_poll(task, fd, event.record)
    if description is not None and description.socket is not None and description.socket.kind == "socket":
        seen_ready(description.socket, event, text)


def seen_ready(socket: Socket, event: model.Waited, text: str) -> None:
    """A wait reported the socket ready: what that says of a connect under way, and of an error to be read."""
    attempt = connecting.pending(socket)
    if attempt is not None and attempt.ready_ns is None:
        attempt.ready_ns, attempt.ready_text = event.record.end_ns or event.record.time_ns, text
    if socket.waiting is not None:
        mark_ready(socket.waiting, text)
    if "ERR" in text:
        socket.error_ready = event


def mark_ready(span: Span, text: str) -> None:
    """What it waited for has come: what follows is not the peer's doing, until it waits again."""
    if ("OUT" in text) if span.direction == "w" else (text and text not in ("POLLOUT", "EPOLLOUT")):
        span.detail = "ready"


def watched(books: Books, task: Task, event: model.Waited, notable: bool) -> list[tuple[Socket, str, str]]:
    """(socket, wanted, ready as) of what a call asks for; of an unremarkable epoll the ready."""
    ready = dict(event.ready)
    if event.epoll_fd >= 0:
        epoll = books.lookup.find(task, event.epoll_fd, event.record)
        if epoll is None:
            return []
        if epoll.watching().unknown:
            _became_known(task, epoll.watching())
        return _in_epoll(epoll.watching().interest, ready, notable)
    found: list[tuple[Socket, str, str]] = []
    for fd, want in event.fds:
        description = books.lookup.from_poll(task, fd, event.record)
        socket = description.socket if description is not None else None
        if socket is not None and socket.kind == "socket":
            found.append((socket, want, ready.get(fd, "")))
    return found


def _in_epoll(interest: Interest, ready: dict[int, str], notable: bool) -> list[tuple[Socket, str, str]]:
    found: list[tuple[Socket, str, str]] = []
    with_others = notable or len(interest) <= _SMALL  # than those that are ready
    if not with_others and not ready:
        return found
    for fd, (description, events, data) in interest.items():
        socket = description.socket
        if socket is None or socket.kind != "socket" or socket.closed_by:
            continue
        text = ready.get(fd if data is None else data, "") or ready.get(fd, "")
        if text or with_others:
            found.append((socket, events, text))
    return found


def _direction(socket: Socket, want: str) -> str:
    """Of the wait for what poll ("r", "rw") or epoll ("EPOLLIN|EPOLLOUT") asks; for both it is to write while bytes are
    left over.
    """
    reads, writes = "r" in want or "IN" in want, "w" in want or "OUT" in want
    return "w" if writes and (socket.unsent or not reads) else "r"


def resumed_wait(books: Books, task: Task, event: model.Waited) -> None:
    """restart_syscall: the wait before it goes on; without one (attach) what is waited for is unknown."""
    record = event.record
    pending = record.pending
    for span in task.last_wait:
        span.end_ns = None if pending else record.end_ns
        span.timed_out = event.timed_out
        span.events = [span.events[0], event]
    if not task.last_wait and (pending or (record.duration_ns or 0) >= NOTABLE_NS):
        add_span(books, task, event, "unknown", None, "")


def kind_of_others(books: Books, task: Task, event: model.Waited) -> str:
    kinds = []
    for fd, _ in event.fds:
        description = task.table.fds.get(fd)
        kinds.append("stdin" if fd == 0 else description.kind if description is not None else "unknown")
    return kinds[0] if len(set(kinds)) == 1 else "unknown" if not kinds else "mixed"


def epoll_changed(books: Books, task: Task, event: model.EpollChanged) -> None:
    epoll = books.lookup.find(task, event.epoll_fd, event.record)
    if epoll is None:
        return
    epoll.kind = "epoll"
    if epoll.watching().armed or "ONESHOT" in event.events:
        one_shot(books, task, event, epoll)
    if event.op == "DEL":
        epoll.watching().interest.pop(event.fd, None)
        epoll.watching().unknown.pop(event.fd, None)
        return
    description = task.table.fds.get(event.fd) or books.lookup.from_poll(task, event.fd, event.record)
    if description is not None:
        epoll.watching().interest[event.fd] = (description, event.events, event.data)
        if description.socket is not None and "EPOLLET" in event.events:
            description.socket.edges = True
    else:
        epoll.watching().unknown[event.fd] = (event.events, event.data)


def _became_known(task: Task, watching: Watching) -> None:
    """Numbers that were put into the set before any call told what they are."""
    for fd in [fd for fd in watching.unknown if fd in task.table.fds]:
        events, data = watching.unknown.pop(fd)
        watching.interest[fd] = (task.table.fds[fd], events, data)


def one_shot(books: Books, task: Task, event: model.EpollChanged, epoll: Description) -> None:
    """With EPOLLONESHOT each wait is armed on its own (epoll_ctl(2)), and may be met by a thread that waited before. One
    that is taken back, with nothing moved since, lasted until then: the program had waited long enough.
    """
    armed = epoll.watching().armed.pop(event.fd, None)
    if event.op != "DEL" and "IN" in event.events:
        epoll.watching().armed[event.fd] = armed or event
        return
    watched = epoll.watching().interest.get(event.fd)
    socket = watched[0].socket if watched is not None else None
    if armed is None or socket is None or socket.kind != "socket":
        return
    began, ended = armed.record.time_ns, event.record.time_ns
    if began is None or ended is None or ended - began < waits.SHORT_NS or (socket.last_progress_ns or 0) > began:
        return
    span = waits.extend(socket, task, armed, limit_ns=None, source="epoll", timed_out=False, direction="r")
    span.end_ns = ended
    span.events = [span.events[0], event]
    note(socket, event, socket.uid == books.watch)


def timer_set(books: Books, task: Task, event: model.TimerSet) -> None:
    if event.limit_ns:
        books.timers[task.process.pid] = (event.record.time_ns, event.limit_ns, event)
    else:
        books.timers.pop(task.process.pid, None)


def blocked(books: Books, task: Task, event: model.Blocked) -> None:
    record = event.record
    if record.errno == "ECHILD":
        return
    if not (record.pending or record.interrupted) and (record.duration_ns or 0) < NOTABLE_NS:
        task.blocked = None  # what it waited for before the trace is over
        return
    detail = event.detail
    if event.kind == "lock" and event.fd >= 0:
        description = task.table.fds.get(event.fd)
        if description is not None and description.path:
            detail = description.path
    add_span(books, task, event, event.kind, event.limit_ns, detail)


HANDLERS: dict[type[Event], Callable[[Books, Any, Any], None]] = {
    model.Waited: waited,
    model.EpollChanged: epoll_changed,
    model.TimerSet: timer_set,
    model.Blocked: blocked,
}
