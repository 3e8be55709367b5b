"""What is known while the trace streams by: every family of events writes it, `tracker.Tracker` hands it to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from systrace.model import Event, Forgotten, Socket, Span, TimerSet, Transfer
from systrace.observations import Observation
from systrace.streams.descriptors import Description
from systrace.streams.lookup import Lookup
from systrace.streams.tasks import Task, Tasks


class Listener(Protocol):
    """Who wants the bytes as they go by: the decoders."""

    def moved(self, socket: Socket, event: Transfer) -> None:
        """Bytes went over a socket."""

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """One direction ended: eof, reset, closed, unfinished."""

    def forgotten(self, socket: Socket) -> None:
        """A socket that ended well is no longer kept."""


class Together:
    """Several listeners, each of which hears everything."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    def moved(self, socket: Socket, event: Transfer) -> None:
        """See `Listener.moved`."""
        for listener in self._listeners:
            listener.moved(socket, event)

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """See `Listener.ended`."""
        for listener in self._listeners:
            listener.ended(socket, sent, how)

    def forgotten(self, socket: Socket) -> None:
        """See `Listener.forgotten`."""
        for listener in self._listeners:
            listener.forgotten(socket)


class Books:
    """The state that all families share.

    Args:
        listener: gets the bytes of each socket, in order.
        watch: uid of a socket whose timeline is kept whole.
    """

    def __init__(self, listener: Listener | None = None, watch: str | None = None) -> None:
        self.tasks = Tasks()
        self.lookup = Lookup(self.tasks)
        self.spans: list[Span] = []
        self.facts: dict[str, Any] = {}
        self.snapshots: list[dict[str, Any]] = []  # lines of looks
        self.read_of: dict[int, Socket] = {}  # by inode: sockets that the kernel was asked about
        self.observations: list[Observation] = []
        self.looked_ns: int | None = None  # when the snapshot was taken
        self.forgotten = 0  # sockets
        self.forgotten_connections = Forgotten()
        self.forgotten_processes = 0
        self.ended: list[Task] = []  # tasks that are no more, the oldest first
        self.owners: dict[int, int] = {}  # tid -> pid of ended tasks whose process is kept
        self.sees_read = False
        self.met = 0  # processes that strace says it attached to, before their first call
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.printed: list[Event] = []
        self.listener = listener
        self.watch = watch
        self.passed: list[Description] = []  # descriptors under way in SCM_RIGHTS
        self.unused: deque[str] = deque()  # sockets of which only the opening is known, unless they were used since
        self.retired: list[str] = []  # sockets that ended well, the oldest first
        self.retired_names: list[str] = []  # the same of resolvers
        self.failures: dict[tuple[object, ...], list[Socket]] = {}  # those that failed alike: the first,
        self.latest_failures: dict[tuple[object, ...], deque[str]] = {}  # and the last, where there are more
        self.timers: dict[int, tuple[int | None, int, TimerSet]] = {}  # by process

    def rename(self, tid: int) -> None:
        """The first process, unnamed so far, is `tid`, and so is whoever holds its descriptors."""
        if not self.tasks.rename(tid):
            return
        for socket in self.lookup.sockets.values():
            for holder in socket.holders:
                holder.pid = holder.pid or tid
