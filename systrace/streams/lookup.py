"""Which open file a descriptor of a call refers to: by table first, by strace's annotation where the table is silent.

A log without `-e trace=desc` does not show every close, and a trace by attach not every socket(2): an annotation of
another kind, or of another inode, than the table expects says that the number was reused meanwhile.
"""

from __future__ import annotations

import re

from systrace.annotations import note_inode, note_of, note_socket
from systrace.calls import NETWORK
from systrace.model import Endpoint, Holder, Record, Socket
from systrace.streams.descriptors import Description
from systrace.streams.tasks import Task, Tasks

_USERS = 4096  # connections remembered with who uses them


class Lookup:
    """Finds and creates sockets and descriptions."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self.sees_clone = False
        self.sockets: dict[str, Socket] = {}
        self._by_inode: dict[int, Description] = {}
        self._users: dict[bytes, Task] = {}  # by annotation with both addresses
        self._counts = {"S": 0, "P": 0}
        self.annotations = "plain"  # path, socket: what -y or -yy printed behind descriptors

    def new_socket(self, family: str, kind: str, protocol: str, time_ns: int | None, letter: str = "S") -> Socket:
        """A socket (letter S) or pipe (letter P), numbered in order of appearance."""
        self._counts[letter] += 1
        socket = Socket(f"{letter}{self._counts[letter]}", family, kind, protocol, opened_ns=time_ns)
        if letter == "P":
            socket.kind, socket.role = "pipe", "pair"
        self.sockets[socket.uid] = socket
        return socket

    def find(self, task: Task, fd: int, record: Record) -> Description | None:
        """The description behind the first argument of a call; None when the number was lost."""
        if fd < 0:
            return None
        description = task.table.fds.get(fd)
        args = record.args
        end = args.find(b",")
        head = args[:end] if end >= 0 else args
        if description is not None and (head == description.head or len(head) < 6):
            return description
        return self._look_closer(task, fd, record, description, head)

    def _look_closer(
        self, task: Task, fd: int, record: Record, description: Description | None, head: bytes
    ) -> Description | None:
        note = note_of(record.args) if b"<" in head else b""
        if note and self.annotations != "socket":
            self.annotations = "socket" if note.startswith((b"TCP", b"UDP", b"UNIX")) else "path"
        if description is not None:
            description.head = head
            if not note or self._agrees(description, note):
                if b"->" in note:
                    self._remember(note, task)
                return description
        elif (joined := self._joined(task, fd, record, note)) is not None:
            description = joined.table.fds.get(fd)
            if description is not None and (not note or self._agrees(description, note)):
                return description
        description = self._from_note(task, fd, note, record) if note else self._from_call(task, fd, record)
        if description is None:
            return None
        description.head = head
        task.table.put(fd, description)
        return description

    def _joined(self, task: Task, fd: int, record: Record, note: bytes) -> Task | None:
        """The task that this one is a thread of, as both use the connection behind this number."""
        if b"->" in note and note.startswith((b"TCP", b"UDP")):  # both addresses: there is one such connection
            user = self._users.get(note)
            if user is not None and (facts := note_socket(note)) is not None:
                return self._tasks.join_user(task, user, fd, facts)
        if self.sees_clone or record.syscall not in NETWORK:
            return None
        return self._tasks.join(task, fd)

    def _remember(self, note: bytes, task: Task) -> None:
        """Who uses this connection."""
        if len(self._users) >= _USERS:
            del self._users[next(iter(self._users))]
        self._users[note] = task

    def name(self, description: Description, inode: int | None) -> None:
        """From now on this inode number stands for this socket, whichever descriptor it is met behind."""
        if inode is not None and description.socket is not None:
            description.socket.inode = inode
            self._by_inode[inode] = description

    def closed(self, description: Description) -> None:
        """The last descriptor is gone: its inode number may come back for something else."""
        inode = description.socket.inode if description.socket is not None else None
        if inode is not None and self._by_inode.get(inode) is description:
            del self._by_inode[inode]

    def from_poll(self, task: Task, fd: int, record: Record) -> Description | None:
        """The description behind a number within a poll array or set; unknown ones only by annotation."""
        description = task.table.fds.get(fd)
        if description is not None or b"<" not in record.args:
            return description
        at = re.search(rb"(?<!\d)%d<" % fd, record.args)
        if at is None:
            return None
        description = self._from_note(task, fd, note_of(record.args[at.start() :]), record)
        if description is not None:
            task.table.put(fd, description)
        return description

    def _agrees(self, description: Description, note: bytes) -> bool:
        facts = (
            note_socket(note) if note[:1] != b"/" else None
        )  # a file's path, of which there are too many to remember
        socket = description.socket
        if socket is None or socket.kind == "pipe":
            return facts is None
        if facts is None:
            return False
        known = "unknown" not in (facts[0], socket.family)  # `socket:[inode]`, all that -y writes, tells no family
        if known and (facts[0] == "unix") != (socket.family == "unix"):
            return False
        inode = note_inode(note)
        if inode is not None:
            if socket.inode is None:
                socket.inode = inode
                self._by_inode[inode] = description
                return True
            return socket.inode == inode
        _, _, local, peer = facts
        if local is not None and socket.local is None:
            socket.local = local
        if peer is not None and peer.port and socket.peer is None and socket.type == "stream":
            socket.peer = peer
        return True

    def _from_note(self, task: Task, fd: int, note: bytes, record: Record) -> Description | None:
        facts = note_socket(note)
        inode = note_inode(note)
        if inode is not None and inode in self._by_inode:
            return self._by_inode[inode]
        if facts is not None:
            family, kind, local, peer = facts
            description = self.inherited(task, fd, family, kind)
            socket = description.socket
            if socket is not None:
                socket.local, socket.peer, socket.inode = local, peer, inode
                if peer is not None:
                    socket.state = "established"
        elif note.startswith(b"pipe:"):
            description = Description("pipe", self.new_socket("pipe", "stream", "", None, "P"))
            if description.socket is not None:
                description.socket.inode = inode
        else:
            path = note.decode("utf-8", "backslashreplace")
            kind = "epoll" if "eventpoll" in path else "file" if path.startswith("/") else "other"
            if fd < 3 and path.startswith(("/dev/pts", "/dev/tty", "/dev/null")):
                kind = "stdio"
            description = Description(kind, path=path)
        if inode is not None:
            self._by_inode[inode] = description
        return description

    def _from_call(self, task: Task, fd: int, record: Record) -> Description | None:
        """No annotation: a network call on an unknown number proves a socket that was open before the trace."""
        if record.syscall not in NETWORK:
            return None if fd < 3 else Description("unknown")
        if record.errno in ("ENOTSOCK", "EBADF"):
            return None
        return self.inherited(task, fd, "unknown", "unknown")

    def inherited(self, task: Task, fd: int, family: str, kind: str) -> Description:
        """A socket whose beginning the log does not show."""
        socket = self.new_socket(family, kind, "", None)
        socket.inherited = True
        socket.holders.append(Holder(task.process.pid, fd, None))
        return Description("socket", socket)

    def adopt(self, task: Task, fd: int, description: Description, inode: int | None) -> None:
        """Enter a description known from a snapshot."""
        if inode is not None:
            known = self._by_inode.setdefault(inode, description)
            if known is not description:
                self.sockets.pop(description.socket.uid if description.socket else "", None)
                description = known
        if description.socket is not None:
            description.socket.holders.append(Holder(task.process.pid, fd, None))
        task.table.put(fd, description)


def parse_endpoint(text: str | None, family: str) -> Endpoint | None:
    """`1.2.3.4:80`, `[::1]:80`, `unix:/path` as `str(Endpoint)` writes them."""
    if not text:
        return None
    if text.startswith("unix:"):
        return Endpoint("unix", path=text[5:])
    host, _, port = text.rpartition(":")
    return Endpoint(family, host.strip("[]"), int(port)) if port.isdigit() else None
