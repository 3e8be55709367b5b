"""Sockets and other descriptors come, change and go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from systrace import model
from systrace.calls.errnos import EXHAUSTED
from systrace.calls.paths import is_library, is_of_system
from systrace.model import NO_RESULT, Event, Holder, Record, Socket
from systrace.streams import connecting, waits
from systrace.streams.books import Books
from systrace.streams.descriptors import Description
from systrace.streams.forgetting import failed, forget, never_used
from systrace.streams.growing import grown
from systrace.streams.marks import add_fault, add_file, add_span, add_unopened, end_wait
from systrace.streams.states import after
from systrace.streams.tasks import Task
from systrace.streams.timeline import note, thin

_WORLDS = {"unix": "unix", "inet": "inet", "inet6": "inet"}  # a socket of IPv6 reaches IPv4, too
_MOST_SOCKETS = 1000  # healthy closed sockets kept; older ones are counted and forgotten


def opened(books: Books, task: Task, event: model.Opened) -> None:
    if event.fd < 0:
        _no_descriptor(task, event)
        return
    record = event.record
    socket = books.lookup.new_socket(event.family, event.type, event.protocol, record.time_ns)
    socket.nonblock = event.nonblock
    place(books, task, event.fd, Description("socket", socket), event.cloexec, record)
    note(socket, event)
    never_used(books, socket.uid)


def _no_descriptor(task: Task, event: Event) -> None:
    """The call gave none: that is the process's fault where it has used up what there is."""
    if event.record.errno in EXHAUSTED:
        task.process.faults = grown(task.process.faults, event)


def place(books: Books, task: Task, fd: int, description: Description, cloexec: bool, record: Record) -> None:
    before = task.table.put(fd, description, cloexec)
    if before is not None:
        release(books, before, record.time_ns, "close", None)
    if description.socket is not None and len(description.socket.holders) < 64:
        description.socket.holders.append(Holder(task.process.pid, fd, record.time_ns))


def release(books: Books, description: Description, time_ns: int | None, how: str, event: Event | None) -> None:
    """A descriptor is gone; with the last one of them the socket."""
    description.refs -= 1
    socket = description.socket
    if description.refs > 0 or socket is None or socket.closed_ns is not None or socket.closed_by:
        return
    books.lookup.closed(description)
    if socket.kind != "pipe":
        _end(books, socket, time_ns, how, event)
    elif description.end != "w":
        books.lookup.sockets.pop(socket.uid, None)


def _end(books: Books, socket: Socket, time_ns: int | None, how: str, event: Event | None) -> None:
    connecting.give_up(socket, time_ns, event)
    end_wait(books, socket, how, time_ns if how != "close" else None)
    socket.closed_ns, socket.closed_by = time_ns, how
    socket.state = after(socket.state, "close")
    if books.listener is not None and (socket.sent.calls or socket.received.calls):
        books.listener.ended(socket, True, "closed")
    if _ended_well(socket):
        retire(books, socket)
    elif how == "close":
        failed(books, socket)


def _ended_well(socket: Socket) -> bool:
    """Every connect succeeded, the last request was answered, and nothing was waited for or went wrong."""
    return (
        (socket.turn is None or socket.turn.answer_bytes > 0)
        and all(fault.kind == "eof" for fault in socket.faults)
        and all(attempt.outcome == "connected" for attempt in socket.attempts)
        and not socket.waits
    )


def retire(books: Books, socket: Socket) -> None:
    """A socket that ended well needs little memory from now on."""
    if socket.uid == books.watch:
        return
    thin(socket)
    retired = books.retired_names if socket.app_protocol == "dns" else books.retired  # names are asked for later
    retired.append(socket.uid)
    if len(retired) > _MOST_SOCKETS:
        oldest = retired[: _MOST_SOCKETS // 4]
        del retired[: len(oldest)]
        for uid in oldest:
            forget(books, uid)


def file_opened(books: Books, task: Task, event: model.FileOpened) -> None:
    if is_library(event.path) and len(task.process.opened_files) < 400:
        files = task.process.opened_files
        if isinstance(files, set):
            files.add(event.path)
        else:
            task.process.opened_files = {event.path}
    if (
        event.record.pending or event.record.interrupted
    ):  # a FIFO that nobody else opens, a file system that does not answer
        add_span(books, task, event, "file", None, event.path)
    if event.fd < 0:
        _no_descriptor(task, event)
        if event.record.errno and event.kind == "file" and not is_of_system(event.path):
            add_unopened(task, event)
        return
    if event.kind == "file" and not is_of_system(event.path):
        add_file(task, event)
    place(books, task, event.fd, Description(event.kind, path=event.path), event.cloexec, event.record)


def ring_used(books: Books, task: Task, event: model.RingUsed) -> None:
    if task.process.ring is None:
        task.process.ring = event
    if event.made:
        place(books, task, event.fd, Description("io_uring"), True, event.record)


def renamed(books: Books, task: Task, event: model.Renamed) -> None:
    add_file(task, event)


def paired(books: Books, task: Task, event: model.Paired) -> None:
    record = event.record
    if event.fds[0] < 0:
        _no_descriptor(task, event)
        return
    if event.kind == "pipe":
        pipe = books.lookup.new_socket("pipe", "stream", "", record.time_ns, "P")
        for fd, end in zip(event.fds, "rw", strict=True):
            place(books, task, fd, Description("pipe", pipe, end=end), event.cloexec, record)
        return
    first, second = (books.lookup.new_socket("unix", "stream", "", record.time_ns) for _ in event.fds)
    inodes = event.inodes if len(event.inodes) == 2 else (None, None)
    for fd, socket, other, inode in zip(event.fds, (first, second), (second, first), inodes, strict=True):
        socket.role, socket.other_end, socket.state = "pair", other.uid, "established"
        description = Description("socket", socket)
        books.lookup.name(description, inode)
        place(books, task, fd, description, event.cloexec, record)


def bound(books: Books, task: Task, event: model.Bound) -> None:
    socket = socket_of(books, task, event.fd, event.record)
    if socket is None:
        return
    note(socket, event)
    if event.record.errno is not None:
        add_fault(books, socket, event, "bind", event.record.errno)
        if event.local is not None and socket.local is None:
            socket.local = event.local
    else:
        socket.state = after(socket.state, "bind")
        if event.local is not None:
            socket.local = event.local


def listening(books: Books, task: Task, event: model.Listening) -> None:
    socket = socket_of(books, task, event.fd, event.record)
    if socket is None:
        return
    note(socket, event)
    if event.record.errno is None:
        socket.role = "listener"
        socket.state = after(socket.state, "listen")
    else:
        add_fault(books, socket, event, "bind", event.record.errno)


def connected(books: Books, task: Task, event: model.Connected) -> None:
    socket = socket_of(books, task, event.fd, event.record)
    if socket is None:
        return
    record = event.record
    if event.peer is not None and is_another(socket, event):  # the log hides close(2) and socket(2)
        description = books.lookup.inherited(task, event.fd, event.peer.family, "stream")
        place(books, task, event.fd, description, False, record)
        socket = description.socket or socket
    if socket.type == "unknown" and event.peer is not None:
        socket.family, socket.type = event.peer.family, "stream"
    if socket.family == "unknown" and event.peer is not None:
        socket.family = event.peer.family
    if socket.type in ("dgram", "raw"):
        if event.peer is not None and event.peer.family != "unspec":
            socket.peer = event.peer
        socket.role = "client"
        if record.errno is not None and not record.interrupted:
            add_fault(books, socket, event, "connect", record.errno)  # resolvers try which addresses have a route
    elif event.peer is None or event.peer.family != "unspec":
        connecting.connect(socket, event)
        if record.pending or record.interrupted:
            span = waits.extend(
                socket, task, event, limit_ns=socket.sndtimeo_ns, source="SO_SNDTIMEO", timed_out=False,
                direction="w", pending=record.pending,
            )  # fmt: skip
            task.last_wait = [span]
    note(socket, event)


def is_another(socket: Socket, event: model.Connected) -> bool:
    """The number was reused: a socket keeps its family, one that has carried data, be it one way, does not
    begin anew with another peer (EISCONN), unless AF_UNSPEC undoes its connection (connect(2)), and one of datagrams has
    nothing to wait for (EINPROGRESS).
    """
    if event.peer is None or event.peer.family == "unspec":
        return False
    here, there = _WORLDS.get(socket.family), _WORLDS.get(event.peer.family)
    if here is not None and there is not None and here != there:
        return True
    begins = event.record.errno is None or event.record.errno == "EINPROGRESS"
    if socket.type == "dgram" and event.record.errno == "EINPROGRESS":
        return True
    used = socket.type == "stream" and bool(socket.sent.calls or socket.received.calls)
    return used and begins and not event.record.pending and event.peer != socket.peer


def accepted(books: Books, task: Task, event: model.Accepted) -> None:
    record = event.record
    listener = socket_of(books, task, event.fd, record)
    if event.new_fd >= 0:
        family = listener.family if listener is not None else event.peer.family if event.peer else "unknown"
        socket = books.lookup.new_socket(family, "stream", "", record.end_ns or record.time_ns)
        socket.role, socket.state, socket.peer, socket.nonblock = "server", "established", event.peer, event.nonblock
        if listener is not None:
            socket.local = listener.local
            listener.role = "listener"
        place(books, task, event.new_fd, Description("socket", socket), event.cloexec, record)
        note(socket, event)
        return
    _no_descriptor(task, event)
    if listener is not None:
        listener.role = "listener"
        note(listener, event)
        if record.outcome in NO_RESULT:
            add_span(books, task, event, "accept", None, str(listener.local or ""))


def socket_of(books: Books, task: Task, fd: int, record: Record) -> Socket | None:
    description = books.lookup.find(task, fd, record)
    return description.socket if description is not None else None


def shut(books: Books, task: Task, event: model.Shut) -> None:
    socket = socket_of(books, task, event.fd, event.record)
    if socket is None:
        return
    note(socket, event)
    if event.record.errno is None and event.how != "read":
        socket.state = after(socket.state, "shut")
        connecting.give_up(socket, event.record.time_ns, event)


def closed(books: Books, task: Task, event: model.Closed) -> None:
    record = event.record
    if event.first < 0 or record.errno == "EBADF":
        return
    for fd, description in task.table.take(event.first, event.last):
        socket = description.socket
        if socket is not None:
            note(socket, event)
            for holder in socket.holders:
                if holder.pid == task.process.pid and holder.fd == fd and holder.to_ns is None:
                    holder.to_ns = record.time_ns
        release(books, description, record.time_ns, "close", event)


def duplicated(books: Books, task: Task, event: model.Duplicated) -> None:
    description = books.lookup.find(task, event.fd, event.record)
    if event.new_fd < 0:
        _no_descriptor(task, event)
        return
    if description is None:
        for _, gone in task.table.take(event.new_fd, event.new_fd):
            release(books, gone, event.record.time_ns, "close", event)
        return
    place(books, task, event.new_fd, description, event.cloexec, event.record)


def flags_set(books: Books, task: Task, event: model.FlagsSet) -> None:
    if event.record.errno is not None:
        return
    if event.cloexec is not None and event.fd in task.table.fds:
        task.table.mark(event.fd, event.cloexec)
    if event.nonblock is not None:
        description = task.table.fds.get(event.fd)
        if description is not None and description.socket is not None:
            description.socket.nonblock = event.nonblock


def option_set(books: Books, task: Task, event: model.OptionSet) -> None:
    socket = socket_of(books, task, event.fd, event.record)
    if socket is None or event.record.errno is not None:
        return
    value = event.value
    match event.name:
        case "SO_KEEPALIVE":
            socket.keepalive = replace(socket.keepalive, on=bool(value))
        case "TCP_KEEPIDLE":
            socket.keepalive = replace(socket.keepalive, idle_s=value)
        case "TCP_KEEPINTVL":
            socket.keepalive = replace(socket.keepalive, interval_s=value)
        case "TCP_KEEPCNT":
            socket.keepalive = replace(socket.keepalive, count=value)
        case "TCP_USER_TIMEOUT":
            socket.user_timeout_ns = value * 1_000_000 if value else None
        case "SO_RCVTIMEO":
            socket.rcvtimeo_ns = value or None
        case "SO_SNDTIMEO":
            socket.sndtimeo_ns = value or None
        case _:
            return
    note(socket, event)


def option_got(books: Books, task: Task, event: model.OptionGot) -> None:
    socket = socket_of(books, task, event.fd, event.record)
    if socket is None:
        return
    if connecting.pending(socket) is not None:
        connecting.error_read(socket, event)
    elif event.error and not (socket.attempts and socket.attempts[-1].errno == event.error):
        add_fault(books, socket, event, "error", event.error)
    note(socket, event)


def named(books: Books, task: Task, event: model.Named) -> None:
    socket = socket_of(books, task, event.fd, event.record)
    if socket is None or event.endpoint is None:
        return
    if event.which == "local":
        if event.endpoint.port or event.endpoint.path:
            socket.local = event.endpoint
        if socket.family == "unknown":
            socket.family = event.endpoint.family
        return
    if socket.peer is None:
        socket.peer = event.endpoint
    attempt = connecting.pending(socket)
    if attempt is not None and event.record.errno is None:
        connecting.settle(socket, attempt, "connected", None, attempt.ready_ns or event.record.time_ns, event)


HANDLERS: dict[type[Event], Callable[[Books, Any, Any], None]] = {
    model.Opened: opened,
    model.FileOpened: file_opened,
    model.Renamed: renamed,
    model.RingUsed: ring_used,
    model.Paired: paired,
    model.Bound: bound,
    model.Listening: listening,
    model.Connected: connected,
    model.Accepted: accepted,
    model.Shut: shut,
    model.Closed: closed,
    model.Duplicated: duplicated,
    model.FlagsSet: flags_set,
    model.OptionSet: option_set,
    model.OptionGot: option_got,
    model.Named: named,
}
