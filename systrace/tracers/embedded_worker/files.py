"""What a tracee's descriptor numbers stand for: `<socket:[4711]>`, as `strace -y` shows it."""

from __future__ import annotations

import os

from systrace.tracers.embedded_worker.text import annotation

_STREAMS = ("<socket:[", "<pipe:[", "<anon_inode:", "</dev/pts/", "</dev/tty", "<TCP", "<UDP", "<UNIX")
_LOGS = (".log>", ".out>", ".err>")


class FileTable:
    """Descriptor annotations of one process, shared by its threads; read from /proc once per descriptor.

    Remembering is right only while every call that closes or replaces a descriptor is seen, so that `forget` is told.
    """

    __slots__ = ("_texts",)

    remembers = True  # class-wide: False while close(2) and its kin are not stopped at
    names: dict[str, str] = {}  # noqa: RUF012  "socket:[4711]" -> "TCP:[...]", for sockets older than the trace

    def __init__(self, texts: dict[int, str] | None = None) -> None:
        self._texts = dict(texts) if texts else {}

    def copy(self) -> FileTable:
        """What a forked child starts with."""
        return FileTable(self._texts)

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
        socket = FileTable.names.get(target)
        name = target.removesuffix(" (deleted)")
        text = f"<{socket or annotation(name)}>{'' if name == target else '(deleted)'}"
        if FileTable.remembers:
            self._texts[fd] = text
        return text

    def is_stream(self, tid: int, fd: int) -> bool:
        """Whether it is a socket, pipe, terminal or event descriptor, and no plain file."""
        return self.text(tid, fd).startswith(_STREAMS)

    def is_log(self, tid: int, fd: int) -> bool:
        """Whether what is written to it is likely to be read by people: standard output and error, log files."""
        return fd in (1, 2) or self.text(tid, fd).endswith(_LOGS)

    def forget(self, fd: int) -> None:
        """The number was closed, or now stands for something else."""
        self._texts.pop(fd, None)

    def forget_range(self, first: int, last: int) -> None:
        """close_range(2)."""
        for fd in [fd for fd in self._texts if first <= fd <= last]:
            del self._texts[fd]
