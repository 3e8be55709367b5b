"""poll, select, epoll, timers and everything that blocks on something else than a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from systrace import model
from systrace.calls.errnos import INTERRUPTED
from systrace.model import DETACHED, ENDED, RESTARTED, UNFINISHED, Event, Socket, Span
from systrace.streams import connecting, waits
from systrace.streams.books import Books
from systrace.streams.descriptors import Description
from systrace.streams.marks import add_span, end_wait
from systrace.streams.tasks import Task
from systrace.streams.timeline import NOTABLE_NS, note


def waited(books: Books, task: Task, event: model.Waited) -> None:
    record = event.record
    if record.outcome == ENDED:
        ended_unseen(books, task, event)
        return
    if event.epoll_fd < 0 and not event.fds:
        resumed_wait(books, task, event)
        return
    stuck = record.outcome in (UNFINISHED, DETACHED)
    interrupted = record.outcome == RESTARTED or record.errno in INTERRUPTED
    long = (record.duration_ns or 0) >= waits.SHORT_NS
    if record.errno is not None and not interrupted:
        return
    if not (stuck or interrupted or long or event.timed_out) and len(event.fds) == len(event.ready) == 1:
        ready_at_once(books, task, event)
        return
    ready = dict(event.ready)
    spans: list[Span] = []
    found = False
    for _, want, socket, text in watched(books, task, event, ready, stuck or interrupted or long or event.timed_out):
        found = True
        if text:
            seen_ready(socket, event, text)
        if not (stuck or interrupted or long or event.timed_out or socket.waiting is not None):
            continue
        if text and not long:
            continue
        if event.limit_ns == 0:
            continue
        span = waits.extend(
            socket, task, event, limit_ns=event.limit_ns, source=record.syscall,
            timed_out=event.timed_out, direction="w" if want == "w" else "r", pending=stuck,
        )  # fmt: skip
        spans.append(span)
        mark_ready(span, text)
        note(socket, event, socket.uid == books.watch)
    task.last_wait = spans
    if not found and (stuck or interrupted or (record.duration_ns or 0) >= NOTABLE_NS):
        add_span(books, task, event, kind_of_others(books, task, event), event.limit_ns, "")


def ended_unseen(books: Books, task: Task, event: model.Waited) -> None:
    """A wait is over, and the log does not show how: nobody waits any more, and a connect under way may have ended."""
    began = event.record.time_ns
    for span in task.last_wait:  # restart_syscall went on with it
        span.end_ns = began if span.end_ns is None else span.end_ns
    task.last_wait = []
    for _, _, socket, _ in watched(books, task, event, {}, True):
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


def watched(
    books: Books, task: Task, event: model.Waited, ready: dict[int, str], notable: bool
) -> list[tuple[int, str, Socket, str]]:
    """(fd, wanted, socket, ready as) of the sockets that a call waits for; of an unremarkable epoll the ready."""
    found: list[tuple[int, str, Socket, str]] = []
    if event.epoll_fd < 0:
        for fd, want in event.fds:
            description = books.lookup.from_poll(task, fd, event.record)
            if description is not None and description.socket is not None and description.socket.kind == "socket":
                if want == "rw" and description.socket.unsent:
                    want = "w"
                found.append((fd, want, description.socket, ready.get(fd, "")))
        return found
    epoll = books.lookup.find(task, event.epoll_fd, event.record)
    if epoll is None:
        return found
    if not notable and len(epoll.watching().interest) > 8 and not ready:
        return found
    for fd, (description, events, data) in epoll.watching().interest.items():
        if description.socket is None or description.socket.kind != "socket" or description.socket.closed_by:
            continue
        text = ready.get(data if data is not None else fd, "") or ready.get(fd, "")
        writes = "OUT" in events and ("IN" not in events or description.socket.unsent)
        want = "w" if writes else "r"
        if text or notable or len(epoll.watching().interest) <= 8:
            found.append((fd, want, description.socket, text))
    return found


def resumed_wait(books: Books, task: Task, event: model.Waited) -> None:
    """restart_syscall: the wait before it goes on; without one (attach) what is waited for is unknown."""
    record = event.record
    pending = record.outcome in (UNFINISHED, DETACHED)
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
        return
    description = task.table.fds.get(event.fd) or books.lookup.from_poll(task, event.fd, event.record)
    if description is not None:
        epoll.watching().interest[event.fd] = (description, event.events, event.data)
        if description.socket is not None and "EPOLLET" in event.events:
            description.socket.edges = True


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
    stuck = record.outcome in (UNFINISHED, DETACHED, RESTARTED) or record.errno in INTERRUPTED
    if not stuck and (record.duration_ns or 0) < NOTABLE_NS:
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
