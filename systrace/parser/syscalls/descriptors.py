"""Descriptors: open, close, dup, fcntl, and everything that makes a descriptor which is no socket."""

from __future__ import annotations

import re

from systrace.annotations import note_of
from systrace.model import Blocked, Closed, Duplicated, Event, FileOpened, FlagsSet, Record, Renamed, RingUsed
from systrace.parser.syscalls import syscall
from systrace.parser.values import fd_of, number_of, split_args, string_at

_KINDS = {"epoll_": "epoll", "eventf": "eventfd", "timerf": "timer", "signal": "signalfd", "inotif": "inotify"}
_O_NONBLOCK = 0o4000
_FOLLOWED = re.compile(rb"F_(?:DUPFD|SETF[LD]|(?:OFD_)?SETLKW)")
_FOLDER = re.compile(rb"\A[, ]*(?:AT_FDCWD|\d+)<(/[^<>]*)>, ")


@syscall("close", "close_range")
def closed(record: Record) -> Event | None:
    """close(2), close_range(2)."""
    first = fd_of(record.args)
    if record.syscall == "close":
        return Closed(record, first, first)
    parts = split_args(record.args)
    last = number_of(parts[1]) if len(parts) > 1 else None
    if len(parts) > 2 and b"CLOEXEC" in parts[2]:
        return None
    return Closed(record, first, last if last is not None else first)


@syscall("dup", "dup2", "dup3")
def duplicated(record: Record) -> Event | None:
    """dup(2)."""
    new_fd = record.retval if record.retval is not None and record.errno is None else -1
    return Duplicated(record, fd_of(record.args), new_fd, b"O_CLOEXEC" in record.args)


@syscall("fcntl", "fcntl64")
def controlled(record: Record) -> Event | None:
    """fcntl(2): F_DUPFD, F_SETFD, F_SETFL, F_SETLKW."""
    if _FOLLOWED.search(record.args) is None:  # F_GETFL and its like
        return None
    parts = split_args(record.args)
    if len(parts) < 2:
        return None
    fd, command = fd_of(record.args), parts[1].split(b" ", 1)[0]
    if command.startswith(b"F_DUPFD"):
        new_fd = record.retval if record.retval is not None and record.errno is None else -1
        return Duplicated(record, fd, new_fd, command.endswith(b"CLOEXEC"))
    value = parts[2] if len(parts) > 2 else b""
    if command == b"F_SETFL":
        number = number_of(value)
        on = bool(number & _O_NONBLOCK) if number is not None else b"O_NONBLOCK" in value
        return FlagsSet(record, fd, on, None)
    if command == b"F_SETFD":
        return FlagsSet(record, fd, None, b"FD_CLOEXEC" in value or number_of(value) == 1)
    if command in (b"F_SETLKW", b"F_SETLKW64", b"F_OFD_SETLKW"):
        return Blocked(record, "lock", fd, None, note_of(record.args).decode("utf-8", "replace"))
    return None


@syscall("ioctl")
def device_controlled(record: Record) -> Event | None:
    """ioctl(FIONBIO, FIOCLEX): the others move nothing that matters here."""
    if b"FIONBIO" in record.args:
        return FlagsSet(record, fd_of(record.args), b"[0]" not in record.args, None)
    if b"FIOCLEX" in record.args:
        return FlagsSet(record, fd_of(record.args), None, True)
    return None


@syscall("open", "openat", "openat2", "creat")
def file_opened(record: Record) -> Event | None:
    """open(2)."""
    args = record.args
    found = string_at(args)
    path = ""
    if found is not None:
        path = whole_path(found[0], args)
        opened = record.result_text
        if path[:1] != "/" and opened[:2] == b"</":  # what the descriptor stands for
            path = opened[1 : opened.find(b">")].decode("utf-8", "backslashreplace")
    writes = args.find(b"O_WRONLY") >= 0 or args.find(b"O_RDWR") >= 0 or record.syscall == "creat"
    return FileOpened(record, _result(record), "file", path, args.find(b"O_CLOEXEC") >= 0, writes)


@syscall("rename", "renameat", "renameat2")
def renamed(record: Record) -> Event | None:
    """rename(2)."""
    old = string_at(record.args)
    new = string_at(record.args, old[2]) if old is not None else None
    if old is None or new is None or record.errno is not None:
        return None
    return Renamed(record, whole_path(old[0], record.args), whole_path(new[0], record.args[old[2] :]))


def whole_path(path: bytes, args: bytes) -> str:
    """The path from the root, where `-y` names the folder that it starts from (`AT_FDCWD</srv>, "rows.csv"`)."""
    if not path.startswith(b"/"):
        folder = _FOLDER.search(args)
        if folder is not None:
            path = folder[1] + b"/" + path.removeprefix(b"./")
    return path.decode("utf-8", "backslashreplace")


@syscall(
    "epoll_create", "epoll_create1", "eventfd", "eventfd2", "timerfd_create", "signalfd", "signalfd4",
    "inotify_init", "inotify_init1", "memfd_create", "pidfd_open", "pidfd_getfd",
)  # fmt: skip
def other_opened(record: Record) -> Event | None:
    """Descriptors of kernel objects."""
    kind = _KINDS.get(record.syscall[:6], record.syscall)
    return FileOpened(record, _result(record), kind, "", b"_CLOEXEC" in record.args)


@syscall("io_uring_setup", "io_uring_enter")
def ring_used(record: Record) -> Event | None:
    """io_uring(7). A kernel that knows none, or forbids it, leaves a program to its system calls."""
    made = record.syscall == "io_uring_setup"
    if record.errno is not None or (made and record.retval is None):
        return None
    return RingUsed(record, _result(record) if made else fd_of(record.args), made)


def _result(record: Record) -> int:
    return record.retval if record.retval is not None and record.errno is None else -1
