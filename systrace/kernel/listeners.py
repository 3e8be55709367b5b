"""The queue of a listening socket, where the peer of a connect is on this machine: in this network namespace or another."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from systrace.kernel import sock_diag
from systrace.kernel.procfs import read
from systrace.look.nouns import Backlog
from systrace.model import Endpoint

_SEARCH_S = (
    0.05  # of a processor, for which other namespaces are looked for: a busy machine makes it last longer, not end
)
_MOST = 64  # namespaces


class Listeners:
    """Whoever on this machine may be the peer of a connect: the namespaces that have its address."""

    def __init__(self, peer: Endpoint, pid: int) -> None:
        """As seen from `pid`. The tables of other namespaces are root's to read (setns(2))."""
        self._peer = peer
        self._own = _has(pid, peer.host)
        owners = [pid] if self._own else [other for other in _strangers(pid) if _has(other, peer.host)]
        self._overflows = {owner: _overflows(owner) for owner in owners}

    def full(self) -> Backlog | None:
        """The queue that takes no more. That another namespace has the same address proves nothing: its kernel must have
        dropped connections for it since the first look (LINUX_MIB_LISTENOVERFLOWS).
        """
        found = []
        for owner, before in self._overflows.items():
            if self._own or _overflows(owner) > before:
                queue = _queue(self._peer, owner)
                if queue is not None and queue.full:
                    found.append(replace(queue, elsewhere=not self._own))
        return found[0] if len(found) == 1 else None


def _overflows(pid: int) -> int:
    """How many connections the kernel has dropped in that namespace because a queue was full."""
    lines = [
        line.split() for line in (read(f"/proc/{pid}/net/netstat") or b"").split(b"\n") if line.startswith(b"TcpExt:")
    ]
    if len(lines) != 2 or b"ListenOverflows" not in lines[0]:
        return 0
    return int(lines[1][lines[0].index(b"ListenOverflows")])


def _queue(peer: Endpoint, pid: int) -> Backlog | None:
    """Of the listener on that very address, else on all."""
    try:
        with sock_diag.namespace_socket(pid) as netlink:
            rows = sock_diag.listening(netlink)
    except OSError:
        return None
    here = [row for row in rows if row.local is not None and row.local.port == peer.port]
    same = [row for row in here if row.local is not None and row.local.host == peer.host]
    wide = [row for row in here if row.local is not None and row.local.host in ("0.0.0.0", "::")]  # noqa: S104
    listeners = same or wide
    if len(listeners) != 1 or listeners[0].unread is None or listeners[0].unsent is None:
        return None  # of several (SO_REUSEPORT) the kernel chose one
    return Backlog(listeners[0].unread, listeners[0].unsent)


def _strangers(pid: int) -> Iterator[int]:
    """One process of each other network namespace of this machine."""
    seen = {_namespace(pid)}
    deadline = time.thread_time() + _SEARCH_S
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if not entry.isdigit() or time.thread_time() > deadline or len(seen) > _MOST:
            continue
        inode = _namespace(int(entry))
        if inode and inode not in seen:
            seen.add(inode)
            yield int(entry)


def _namespace(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino  # noqa: PTH116
    except OSError:
        return 0


def _has(pid: int, host: str) -> bool:
    """Whether the address is one of the namespace of `pid` itself (fib_trie, if_inet6 of proc_pid_net(5))."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    if address.version == 6:
        return address.packed.hex().encode() in (read(f"/proc/{pid}/net/if_inet6") or b"")
    lines = (read(f"/proc/{pid}/net/fib_trie") or b"").split(b"\n")
    mine = f"|-- {socket.inet_ntoa(address.packed)}".encode()
    return any(line.endswith(mine) and b"/32 host LOCAL" in after for line, after in pairwise(lines))
