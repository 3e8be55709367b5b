"""What descriptor numbers stand for, as the records of the calls tell it: a look at /proc would come too late."""

from __future__ import annotations

import contextlib
import os
import stat

from systrace.tracers.ebpf_worker.records import Descriptor
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.text import annotation

_ANONYMOUS = {  # all of these have the same inode
    "epoll_create": "<anon_inode:[eventpoll]>",
    "epoll_create1": "<anon_inode:[eventpoll]>",
    "eventfd": "<anon_inode:[eventfd]>",
    "eventfd2": "<anon_inode:[eventfd]>",
    "timerfd_create": "<anon_inode:[timerfd]>",
    "signalfd": "<anon_inode:[signalfd]>",
    "signalfd4": "<anon_inode:[signalfd]>",
    "inotify_init": "<anon_inode:inotify>",
    "inotify_init1": "<anon_inode:inotify>",
    "io_uring_setup": "<anon_inode:[io_uring]>",
}


class Descriptors(FileTable):
    """Of one process; shared by its threads and by whoever has the same struct files_struct."""

    __slots__ = ("_known", "_now")

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[int, str]] = {}  # number -> (inode, annotation)
        self._now: dict[int, tuple[int, str]] = {}  # of the call that is being printed

    def copy(self) -> Descriptors:
        """What a forked child starts with."""
        copied = Descriptors()
        copied._known = dict(self._known)
        return copied

    def learn(self, tid: int, *descriptors: Descriptor, made_by: str = "") -> None:
        """A record names these; they hold even if the number is said to be forgotten meanwhile."""
        self._now = {}
        for number, mode, inode in descriptors:
            if not mode:
                self._known.pop(number, None)  # it was closed by a call that is not recorded
                continue
            known = self._known.get(number)
            if known is None or known[0] != inode or made_by in _ANONYMOUS:
                same = next((each[1] for each in self._now.values() if each[0] == inode), "")  # a duplicate
                text = _ANONYMOUS.get(made_by) or same or _annotated(tid, number, mode, inode)
                known = self._known[number] = (inode, text)
            self._now[number] = known

    def look_around(self, tid: int) -> None:
        """Enter what is open now: of a thread that waits, or before its first call was recorded."""
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{tid}/fd"):  # noqa: PTH208
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{tid}/fd/{name}")  # noqa: PTH116
                    self.learn(tid, (int(name), found.st_mode, found.st_ino))
        self._now = {}

    def text(self, tid: int, fd: int) -> str:
        """`<target>`; empty where nothing is known of it."""
        known = self._now.get(fd) or self._known.get(fd)
        return known[1] if known else ""

    def number_of(self, descriptor: Descriptor) -> int | None:
        """A number of the process's that stands for the same inode."""
        return next((number for number, (inode, _text) in self._known.items() if inode == descriptor[2]), None)

    def same(self, tid: int, fd: int) -> list[int]:
        """All numbers that stand for the same."""
        known = self._known.get(fd)
        return [number for number, each in self._known.items() if each == known] if known else [fd]

    def after_exec(self, tid: int) -> Descriptors:
        """What is closed by it is not used again, and the number then comes with a record."""
        return self.copy()

    def closed(self, fd: int) -> None:
        """The number was closed, as the recording shows."""
        self._known.pop(fd, None)

    def forget(self, fd: int) -> None:
        """The number now stands for something else: for what the record says."""
        self._known.pop(fd, None)
        if fd in self._now:
            self._known[fd] = self._now[fd]

    def forget_range(self, first: int, last: int) -> None:
        """close_range(2)."""
        for fd in [fd for fd in self._known if first <= fd <= last]:
            del self._known[fd]


def _annotated(tid: int, number: int, mode: int, inode: int) -> str:
    if stat.S_ISSOCK(mode):
        target = f"socket:[{inode}]"
        return f"<{FileTable.names.get(target) or target}>"
    if stat.S_ISFIFO(mode):
        return f"<pipe:[{inode}]>"
    place = f"/proc/{tid}/fd/{number}"
    try:
        target = os.readlink(place)  # noqa: PTH115
        if os.stat(place).st_ino != inode:  # noqa: PTH116
            return ""
    except OSError:
        return ""
    name = target.removesuffix(" (deleted)")
    return f"<{annotation(name)}>{'' if name == target else '(deleted)'}"
