"""Which sockets the threads of a process wait for at this moment: a few small reads of /proc a thread, nobody is touched."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from dataclasses import field

from systrace import calls
from systrace.dataclass import dataclass
from systrace.kernel import procfs, sock_diag
from systrace.kernel.calls import decode
from systrace.kernel.interest import followed
from systrace.kernel.memory import Memory
from systrace.look.nouns import Call, Descriptor, SocketState

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_LITTLE = 3  # descriptors: curl has its wake-up call among them
_MOST = 1024  # descriptors of one wait that are followed


@dataclass(frozen=True, slots=True)
class Awaited:
    """A socket that a blocked thread waits for."""

    pid: int
    tid: int
    call: str
    fd: int
    inode: int
    alone: bool  # it waits for little else: a timer, a wake-up call
    limit_ns: int | None = None  # of the call


def awaited(pid: int, sets: Sets | None = None) -> list[Awaited]:
    """What the threads of one process wait for; `sets` remembers large epoll sets from one look to the next.

    Raises:
        PermissionError: the kernel does not say (ptrace access mode, proc_pid_syscall(5)).
    """
    found: list[Awaited] = []
    machine = ""
    for tid in procfs.task_ids(pid):
        current = procfs.syscall_of(pid, tid)
        if current == "refused":
            raise PermissionError(pid)
        if isinstance(current, str):
            continue
        machine = machine or procfs.machine_of(pid)
        with Memory(pid, 32 if machine in ("i386", "arm") else 64) as memory:
            call = decode(*current, machine, "", memory)
            if call.name == "restart_syscall":
                call = decode(*current, machine, procfs.wchan_of(pid, tid), memory)
        found += _sockets(pid, tid, call, sets if sets is not None else {})
    return found


Sets = dict[tuple[int, int], tuple[bytes, list["Awaited"]]]  # by thread and epoll descriptor: fdinfo, and its meaning


def _sockets(pid: int, tid: int, call: Call, sets: Sets) -> list[Awaited]:
    if call.name not in calls.EPOLLS or call.fd is None:
        return _named(pid, tid, call)
    text = procfs.read(f"/proc/{pid}/fdinfo/{call.fd}") or b""
    known = sets.get((tid, call.fd))
    if known is None or known[0] != text or (known[1] and known[1][0].call != call.name):
        known = sets[tid, call.fd] = text, _named(pid, tid, call)
    return known[1]


def _named(pid: int, tid: int, call: Call) -> list[Awaited]:
    if call.name in calls.EPOLLS and call.fd is not None:
        watched = {call.fd: procfs.epoll_interest(pid, call.fd, {})}
        call = followed(pid, call, _NOTHING, watched) or call
    found = []
    for fd, _direction in call.fds[:_MOST]:
        try:
            match = _SOCKET.fullmatch(os.readlink(f"/proc/{pid}/fd/{fd}"))  # noqa: PTH115
        except OSError:
            continue
        if match is not None:
            found.append(Awaited(pid, tid, call.name, fd, int(match[1]), len(call.fds) <= _LITTLE, call.limit_ns))
    return found


def sockets_of(pid: int) -> set[int]:
    """The inodes of all sockets that the process holds."""
    found = set()
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                match = _SOCKET.fullmatch(os.readlink(f"/proc/{pid}/fd/{number}"))  # noqa: PTH115
                if match is not None:
                    found.add(int(match[1]))
    return found


_NOTHING: tuple[Descriptor, ...] = ()


@dataclass(slots=True)
class Tables:
    """The kernel's tables of TCP sockets, in each network namespace that was asked about; close it."""

    refused: bool = False  # a namespace could not be entered: its text tables have no TCP_INFO
    _opened: dict[int, socket.socket | None] = field(default_factory=dict)

    def find(self, pid: int, inodes: set[int], most: int | None = None) -> dict[int, sock_diag.Row]:
        """The TCP sockets with these inodes in the namespace of `pid`; of very many the `most` telling."""
        netlink = self._of(pid)
        if netlink is None:
            rows = sock_diag.text_rows(pid, inodes)[:most]
        else:
            rows = sock_diag.inet_rows(netlink, inodes, ("tcp",), most)
        return {row.inode: row for row in rows if row.protocol == "tcp"}

    def namespace(self, pid: int) -> int:
        """The number of its network namespace; 0 where that may not be known."""
        try:
            return os.stat(f"/proc/{pid}/ns/net").st_ino  # noqa: PTH116
        except OSError:
            return 0

    def again(self, namespace: int, row: sock_diag.Row) -> sock_diag.Row | None:
        """A socket of `find` as it is now, though its process may have gone; None: nobody knows it any more."""
        netlink = self._opened.get(namespace)
        now = sock_diag.again(netlink, row.key) if netlink is not None and row.key else None
        if now is not None:
            now.accepted = row.accepted  # which only the whole table tells
        return now

    def close(self) -> None:
        """Let all go."""
        for each in self._opened.values():
            if each is not None:
                each.close()
        self._opened.clear()

    def _of(self, pid: int) -> socket.socket | None:
        namespace = self.namespace(pid)
        if namespace not in self._opened:
            try:
                self._opened[namespace] = sock_diag.namespace_socket(pid)
            except PermissionError:
                self._opened[namespace], self.refused = None, True
            except OSError:  # the process has gone
                return None
        return self._opened[namespace]


def state_of(pid: int, fd: int, row: sock_diag.Row) -> SocketState:
    """A row as the noun of a look, without what only a duplicate of the descriptor would tell."""
    return SocketState(
        pid, fd, row.inode, row.family, row.type, row.protocol, row.local, row.peer, row.state, row.timer, row.timer_ms,
        row.retransmits, row.unread, row.unsent, tcp=row.tcp, accepted=row.accepted,
    )  # fmt: skip
