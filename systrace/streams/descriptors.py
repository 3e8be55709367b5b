"""Descriptor tables: what each number of each process refers to, through fork, thread, exec, dup and passing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

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
    interest: dict[int, tuple[Description, str, int | None]] = field(default_factory=dict)  # of an epoll: by fd
    armed: dict[int, Event] = field(default_factory=dict)  # of an epoll: EPOLLONESHOT waits to read, by fd


@dataclass(slots=True, eq=False)
class Table:
    """One descriptor table; threads share it, fork copies it."""

    fds: dict[int, Description] = field(default_factory=dict)
    cloexec: set[int] = field(default_factory=set)
    users: int = 1

    def copy(self) -> Table:
        """What a child gets from fork."""
        for description in self.fds.values():
            description.refs += 1
        return Table(dict(self.fds), set(self.cloexec))

    def put(self, fd: int, description: Description, cloexec: bool = False) -> Description | None:
        """Let a number refer to a description; returns the one that it referred to before, if any."""
        before = self.fds.get(fd)
        if before is description:
            return None
        self.fds[fd] = description
        description.refs += 1
        if cloexec:
            self.cloexec.add(fd)
        else:
            self.cloexec.discard(fd)
        return before

    def take(self, first: int, last: int) -> Iterator[tuple[int, Description]]:
        """Remove a range of numbers."""
        if first == last:
            description = self.fds.pop(first, None)
            if description is not None:
                self.cloexec.discard(first)
                yield first, description
            return
        for fd in [n for n in self.fds if first <= n <= last]:
            self.cloexec.discard(fd)
            yield fd, self.fds.pop(fd)

    def take_cloexec(self) -> Iterator[tuple[int, Description]]:
        """Remove what exec closes."""
        for fd in sorted(self.cloexec):
            description = self.fds.pop(fd, None)
            if description is not None:
                yield fd, description
        self.cloexec.clear()


def standard_table() -> Table:
    """What a process has before anything is known of it: three descriptors for input, output, errors."""
    table = Table()
    for fd, path in enumerate(("stdin", "stdout", "stderr")):
        table.put(fd, Description("stdio", path=path))
    return table
