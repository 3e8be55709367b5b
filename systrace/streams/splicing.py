"""sendfile(2), splice(2), tee(2): bytes that moved within the kernel are counted, and stay unknown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from systrace import model
from systrace.calls.errnos import BROKEN
from systrace.model import NO_RESULT, Event, Output, Received, Record, Sent, Socket
from systrace.streams.books import Books
from systrace.streams.descriptors import Description
from systrace.streams.marks import add_fault, add_output, add_span
from systrace.streams.tasks import Task
from systrace.streams.timeline import note
from systrace.streams.transfers import end_of_file, progress, waits_in_call


def spliced(books: Books, task: Task, event: model.Spliced) -> None:
    """Bytes went from one descriptor to another one, or did not."""
    record = event.record
    into = _behind(books, task, event.fd, record)
    source = _behind(books, task, event.source_fd, record)
    target = into.socket if into is not None else None
    origin = source.socket if source is not None else None
    sent = Sent(record, event.fd, event.size, b"", None, _unknown)
    received = Received(record, event.source_fd, event.size, b"", None, _unknown)
    if event.size:
        if origin is not None and record.syscall != "tee":  # which leaves in the pipe what it reads
            progress(books, origin, task, received)
        _arrive(books, task, sent, into)
    elif record.outcome in NO_RESULT:
        _waits(books, task, event, origin, target)
    elif record.errno is not None:
        _fails(books, sent, received, origin, target)
    elif record.retval == 0 and record.syscall == "splice" and origin is not None and origin.kind == "socket":
        end_of_file(books, origin, task, received)
    for socket in (origin, target):
        if socket is not None:
            note(socket, event)


def _arrive(books: Books, task: Task, sent: Sent, into: Description | None) -> None:
    if into is not None and into.socket is not None:
        progress(books, into.socket, task, sent)
    if sent.fd in (1, 2) or (into is not None and into.kind == "file"):
        add_output(task, Output(sent.fd, into.path if into is not None else "", sent))


def _fails(books: Books, sent: Sent, received: Received, origin: Socket | None, target: Socket | None) -> None:
    """An error is the origin's where that may be a connection, but for EPIPE, which only writing meets."""
    errno = sent.record.errno
    blamed = target if errno == "EPIPE" or origin is None or origin.kind == "pipe" else origin
    if blamed is not None and errno in BROKEN:
        add_fault(books, blamed, sent if blamed is target else received, "error", errno)


def _behind(books: Books, task: Task, fd: int, record: Record) -> Description | None:
    """The description of a number anywhere among the arguments, by its annotation where there is one."""
    at = re.search(rb"(?<!\d)%d<" % fd, record.args) if fd >= 0 and b"<" in record.args else None
    if at is None:
        return task.table.fds.get(fd)
    return books.lookup.find(task, fd, replace(record, args=record.args[at.start() :]))


def _unknown(record: Record) -> list[tuple[bytes, int]]:
    return [(b"", max(0, record.retval or 0))]


def _waits(books: Books, task: Task, event: model.Spliced, origin: Socket | None, target: Socket | None) -> None:
    """Of a pipe and a socket that one is waited for whose state forbids the call to go on; else nobody can tell which."""
    record = event.record
    through = next((socket for socket in (origin, target) if socket is not None and socket.kind == "pipe"), None)
    if through is None:
        holds: int | None = None
        blocked = origin or target
    else:
        holds = through.sent.original_len - through.received.original_len
        blocked = origin if target is through else target
    if blocked is None or blocked.kind == "pipe":
        add_span(books, task, event, "pipe", None, "")
        return
    reads = blocked is origin
    if holds is not None and (holds > 0) == reads:
        # a pipe that is not empty may be full; an empty one has nothing to give
        add_span(books, task, event, "pipe", None, "")
        return
    hidden = (Received if reads else Sent)(record, event.source_fd if reads else event.fd, 0, b"", None, _unknown)
    waits_in_call(blocked, task, hidden)


HANDLERS: dict[type[Event], Callable[[Books, Any, Any], None]] = {model.Spliced: spliced}
