"""Descriptor tables: what each number of each process refers to, through fork, thread, exec, dup and passing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from systrace.dataclass import dataclass
from systrace.model import Event, Socket


@dataclass(slots=True, eq=False)
class Description:
    """An open file description: several descriptors of several processes may refer to it."""

    kind: str  # socket, pipe, epoll, file, stdio, eventfd, ..., unknown
    socket: Socket | None = None
    path: str = ""
    end: str = ""  # of a pipe: r, w
    refs: int = 0
    head: bytes = b""  # the first argument as last printed, to notice a changed annotation cheaply
    epoll: Watching | None = None

    def watching(self) -> Watching:
        """What an epoll watches."""
        if self.epoll is None:
            self.epoll = Watching()
        return self.epoll


Interest = dict[int, tuple[Description, str, int | None]]  # by descriptor: events, and the data that stands for it


@dataclass(slots=True, eq=False)
class Watching:
    """What an epoll watches, by descriptor."""

    interest: Interest = field(default_factory=dict)
    armed: dict[int, Event] = field(default_factory=dict)  # EPOLLONESHOT waits to read
    unknown: dict[int, tuple[str, int | None]] = field(
        default_factory=dict
    )  # numbers that stood for nothing known, then


@dataclass(slots=True, eq=False)
class Table:
    """One descriptor table; threads share it, fork copies it."""

    fds: dict[int, Description] = field(default_factory=dict)
    cloexec: set[int] | None = None
    users: int = 1
    others: set[int] = field(
        default_factory=set
    )  # of all tables: numbers that ever stood for something else than a file

    def copy(self) -> Table:
        """What a child gets from fork."""
        for description in self.fds.values():
            description.refs += 1
        return Table(dict(self.fds), set(self.cloexec) if self.cloexec else None, others=self.others)

    def put(self, fd: int, description: Description, cloexec: bool = False) -> Description | None:
        """Let a number refer to a description; returns the one that it referred to before, if any."""
        before = self.fds.get(fd)
        if before is description:
            return None
        self.fds[fd] = description
        description.refs += 1
        if description.kind != "file":
            self.others.add(fd)
        self.mark(fd, cloexec)
        return before

    def mark(self, fd: int, cloexec: bool) -> None:
        """Set or clear FD_CLOEXEC."""
        if not cloexec:
            if self.cloexec:
                self.cloexec.discard(fd)
        elif self.cloexec is None:
            self.cloexec = {fd}
        else:
            self.cloexec.add(fd)

    def take(self, first: int, last: int) -> Iterator[tuple[int, Description]]:
        """Remove a range of numbers."""
        if first == last:
            description = self.fds.pop(first, None)
            if description is not None:
                if self.cloexec:
                    self.cloexec.discard(first)
                yield first, description
            return
        for fd in [n for n in self.fds if first <= n <= last]:
            if self.cloexec:
                self.cloexec.discard(fd)
            yield fd, self.fds.pop(fd)

    def take_cloexec(self) -> Iterator[tuple[int, Description]]:
        """Remove what exec closes."""
        for fd in sorted(self.cloexec or ()):
            description = self.fds.pop(fd, None)
            if description is not None:
                yield fd, description
        self.cloexec = None


def standard_table(others: set[int]) -> Table:
    """What a process has before anything is known of it: three descriptors for input, output, errors."""
    table = Table(others=others)
    for fd, path in enumerate(("stdin", "stdout", "stderr")):
        table.put(fd, Description("stdio", path=path))
    return table
