"""What a tracee's descriptor numbers stand for: `<socket:[4711]>`, as `strace -y` shows it."""

from __future__ import annotations

import os

from systrace.tracers.embedded_worker.text import annotation

_STREAMS = ("<socket:[", "<pipe:[", "<anon_inode:", "</dev/pts/", "</dev/tty", "<TCP", "<UDP", "<UNIX")
_SOCKETS = ("<socket:[", "<TCP", "<UDP", "<UNIX")
_LOGS = (".log>", ".out>", ".err>")
_MOST_WATCHED = 64  # looked at one by one


class FileTable:
    """Descriptor annotations of one process, shared by its threads; read from /proc once per descriptor.

    Remembering is right only while every call that closes or replaces a descriptor is seen, so that `forget` is told. Where
    calls stop the job only on some numbers, it is so for those (`keep`).
    """

    __slots__ = ("_texts", "lost", "watched")

    remembers = True  # class-wide: False while close(2) and its kin are not stopped at
    narrowed = False  # class-wide: calls on a descriptor stop the job only where it matters
    names: dict[str, str] = {}  # noqa: RUF012  "socket:[4711]" -> "TCP:[...]", for sockets older than the trace

    def __init__(self, texts: dict[int, str] | None = None) -> None:
        self._texts = dict(texts) if texts else {}
        self.watched: dict[int, str] = {}  # descriptors whose close(2) is not stopped at, but matters
        self.lost: list[tuple[int, str]] = []  # those that were found closed, and are still to be told of

    def copy(self) -> FileTable:
        """What a forked child starts with; a filter that came during the fork may not be in front of it."""
        copied = FileTable(None if FileTable.narrowed else self._texts)
        copied.watched = dict(self.watched)
        return copied

    def watch(self, tid: int, fd: int) -> None:
        """The descriptor is new; its end is to be found out by `look`."""
        self.watched.pop(fd, None)
        if len(self.watched) < _MOST_WATCHED:
            self.watched[fd] = self.text(tid, fd)

    def same(self, tid: int, fd: int) -> list[int]:
        """All numbers that stand for the same."""
        text = self.text(tid, fd)
        try:
            numbers = [int(name) for name in os.listdir(f"/proc/{tid}/fd")]  # noqa: PTH208
        except OSError:
            return [fd]
        return [each for each in numbers if self.text(tid, each) == text]

    def look(self, tid: int, fd: int | None = None) -> None:
        """Find out which (whether this one) of the watched descriptors were closed."""
        if not self.watched:
            return
        for each in [fd] if fd is not None and fd in self.watched else list(self.watched) if fd is None else []:
            if self.text(tid, each) != self.watched[each]:
                self.lost.append((each, self.watched.pop(each)))

    def after_exec(self, tid: int) -> FileTable:
        """What the new program has; what it has not is to be told of."""
        self.look(tid)
        table = FileTable()
        table.watched, table.lost = dict(self.watched), self.lost
        return table

    def text(self, tid: int, fd: int) -> str:
        """`<target>`; empty for a number that is not open."""
        known = self._texts.get(fd)
        if known is not None:
            return known
        if fd < 0:
            return ""
        try:
            target = os.readlink(f"/proc/{tid}/fd/{fd}")  # noqa: PTH115 (this is the hot path)
        except OSError:
            return ""
        if target.startswith("socket:["):
            text = f"<{FileTable.names.get(target, target)}>"
        else:
            name = target.removesuffix(" (deleted)")
            text = f"<{annotation(name)}>{'' if name == target else '(deleted)'}"
        if FileTable.remembers:
            self._texts[fd] = text
        return text

    def keep(self, fd: int, text: str) -> None:
        """The number is new, and all that happens to it will be seen."""
        if text.startswith(_SOCKETS):
            self._texts[fd] = text

    def keeps(self, fd: int) -> bool:
        """Whether its name is known, and that of a socket."""
        return fd in self._texts and FileTable.narrowed

    def closing(self, fd: int) -> None:
        """From here on the number may come to stand for something else, in another thread."""
        self._texts.pop(fd, None)

    def is_socket(self, tid: int, fd: int) -> bool:
        """Whether it is a socket."""
        return self.text(tid, fd).startswith(_SOCKETS)

    def is_stream(self, tid: int, fd: int) -> bool:
        """Whether it is a socket, pipe, terminal or event descriptor, and no plain file."""
        return self.text(tid, fd).startswith(_STREAMS)

    def is_log(self, tid: int, fd: int) -> bool:
        """Whether what is written to it is likely to be read by people: standard output and error, log files."""
        return fd in (1, 2) or self.text(tid, fd).endswith(_LOGS)

    def closed(self, fd: int) -> None:
        """The number was closed, as the recording shows."""
        self._texts.pop(fd, None)
        self.watched.pop(fd, None)

    def forget(self, fd: int) -> None:
        """The number now stands for something else."""
        self._texts.pop(fd, None)
        if fd in self.watched:
            self.lost.append((fd, self.watched.pop(fd)))

    def forget_range(self, first: int, last: int) -> None:
        """close_range(2)."""
        for fd in [fd for fd in self._texts if first <= fd <= last]:
            del self._texts[fd]
        for fd in [fd for fd in self.watched if first <= fd <= last]:
            del self.watched[fd]
