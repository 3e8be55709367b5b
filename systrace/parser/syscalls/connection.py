"""socket, socketpair, bind, listen, connect, accept, shutdown: socket(2) and its section 2 neighbours."""

from __future__ import annotations

import re

from systrace.annotations import note_inodes, without_notes
from systrace.model import Accepted, Bound, Connected, Event, Listening, Opened, Paired, Record, Shut
from systrace.parser.syscalls import syscall
from systrace.parser.values import endpoint_in, family_of, fd_of, number_of, socket_type, split_args

_TWO = re.compile(rb"\[(\d{1,9}), (\d{1,9})\]")
_HOW = {b"SHUT_RD": "read", b"SHUT_WR": "write", b"SHUT_RDWR": "both", b"0": "read", b"1": "write", b"2": "both"}


@syscall("socket")
def opened(record: Record) -> Event | None:
    """A new socket."""
    parts = split_args(record.args)
    if len(parts) < 2:
        return None
    kind, cloexec, nonblock = socket_type(parts[1])
    protocol = parts[2].decode("ascii", "replace") if len(parts) > 2 else ""
    fd = record.retval if record.retval is not None and record.errno is None else -1
    return Opened(record, fd, family_of(parts[0]), kind, protocol, cloexec, nonblock)


@syscall("socketpair", "pipe", "pipe2")
def paired(record: Record) -> Event | None:
    """Two descriptors of one channel."""
    match = _TWO.search(without_notes(record.args))
    fds = (int(match[1]), int(match[2])) if match is not None and record.errno is None else (-1, -1)
    kind = "socketpair" if record.syscall == "socketpair" else "pipe"
    return Paired(record, fds, kind, b"_CLOEXEC" in record.args, note_inodes(record.args))


@syscall("bind")
def bound(record: Record) -> Event | None:
    """A local address."""
    return Bound(record, fd_of(record.args), endpoint_in(record.args))


@syscall("listen")
def listening(record: Record) -> Event | None:
    """A server socket."""
    parts = split_args(record.args)
    return Listening(record, fd_of(record.args), number_of(parts[1]) if len(parts) > 1 else None)


@syscall("connect")
def connected(record: Record) -> Event | None:
    """An attempt, whatever came of it."""
    return Connected(record, fd_of(record.args), endpoint_in(record.args))


@syscall("accept", "accept4")
def accepted(record: Record) -> Event | None:
    """A connection from a client."""
    new_fd = record.retval if record.retval is not None and record.errno is None else -1
    tail = record.args[-60:]
    return Accepted(
        record, fd_of(record.args), new_fd, endpoint_in(record.args), b"SOCK_CLOEXEC" in tail, b"SOCK_NONBLOCK" in tail
    )


@syscall("shutdown")
def shut(record: Record) -> Event | None:
    """One or both directions closed by this side."""
    parts = split_args(record.args)
    how = parts[1].split(b" ", 1)[0] if len(parts) > 1 else b""
    return Shut(record, fd_of(record.args), _HOW.get(how, "both"))
