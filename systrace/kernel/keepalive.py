"""Turn on TCP keepalive for the live sockets of a running process.

Keepalive is the one repair that is safe on a process nobody understands yet: if the peer is alive it changes nothing
but the packets that hold a NAT gateway's entry; if the peer is gone the blocked call fails with ETIMEDOUT, and the
program's own error handling runs. It is done on a duplicate (see `pidfd`), so the process is neither stopped nor woken.
"""

from __future__ import annotations

import errno
import socket

from systrace.dataclass import dataclass
from systrace.errors import CaptureError, UsageError
from systrace.kernel import pidfd, procfs
from systrace.kernel.permission import refusal
from systrace.model import Endpoint, Keepalive

_NOT_CONNECTIONS = ("listen", "close", "time-wait", "bound", "")


@dataclass(frozen=True, slots=True)
class Change:
    """One connection before and after. `after` equals `before` in a dry run and where `error` says why."""

    fd: int
    local: Endpoint | None
    peer: Endpoint | None
    state: str
    before: Keepalive
    after: Keepalive
    error: str = ""


def apply(
    pid: int,
    fds: tuple[int, ...] = (),
    *,
    idle_s: int = 60,
    interval_s: int = 15,
    count: int = 4,
    dry_run: bool = False,
) -> list[Change]:
    """Set it on all TCP connections of `pid`, or on the named descriptors only.

    Raises:
        UsageError: impossible values, or a named descriptor that is no TCP connection.
        CaptureError: no such process, not allowed, or Linux before 5.6.
    """
    if not (1 <= idle_s <= 32767 and 1 <= interval_s <= 32767 and 1 <= count <= 127):
        raise UsageError("keepalive takes 1 to 32767 s for --idle and --interval, and a --count of 1 to 127 (tcp(7))")
    group = procfs.status_of(pid).get("Tgid", "") if pid > 0 else ""
    if not group.isdigit():
        raise CaptureError(f"there is no process {pid}")
    pid = int(group)
    changes = []
    try:
        with pidfd.Target(pid) as target:
            for fd in fds or _socket_numbers(pid):
                change = _one(target, fd, (idle_s, interval_s, count), dry_run=dry_run)
                if change is not None:
                    changes.append(change)
                elif fds:
                    raise UsageError(f"descriptor {fd} of process {pid} is no TCP connection")
    except OSError as error:
        raise CaptureError(_explain(pid, error)) from error
    return changes


def _socket_numbers(pid: int) -> tuple[int, ...]:
    descriptors = procfs.descriptors_of(pid)
    if descriptors is None:
        raise CaptureError(refusal(pid, "keepalive") or f"the descriptors of process {pid} cannot be read")
    return tuple(d.fd for d in descriptors if d.kind == "socket")


def _one(target: pidfd.Target, fd: int, values: tuple[int, int, int], *, dry_run: bool) -> Change | None:
    try:
        with target.duplicate(fd) as mine:
            return _change(mine, fd, values, dry_run=dry_run)
    except OSError as error:
        if error.errno == errno.EBADF:  # closed meanwhile, or never open
            return None
        raise


def _change(mine: int, fd: int, values: tuple[int, int, int], *, dry_run: bool) -> Change | None:
    kind = pidfd.domain_type_protocol(mine)
    info = pidfd.tcp_info_of(mine) if kind is not None and kind[2] == socket.IPPROTO_TCP else None
    if info is None or info.state in _NOT_CONNECTIONS:
        return None
    before, error = pidfd.keepalive_of(mine), ""
    if not dry_run:
        try:
            pidfd.set_keepalive(mine, *values)
        except OSError as refused:
            error = refused.strerror or "refused"
    local, peer = pidfd.addresses_of(mine)
    return Change(fd, local, peer, info.state, before, pidfd.keepalive_of(mine), error)


def _explain(pid: int, error: OSError) -> str:
    if error.errno == errno.ENOSYS:
        return "this kernel has no pidfd_getfd: Linux 5.6 or later is needed to reach another process's sockets"
    if error.errno in (errno.ESRCH, errno.ENOENT):
        return f"process {pid} has ended"
    if error.errno in (errno.EPERM, errno.EACCES):
        filtered = f"pidfd_getfd on process {pid} is refused, probably by a seccomp filter of the container"
        return refusal(pid, "keepalive") or filtered
    return f"process {pid}: {error.strerror}"


def children_with_connections(pid: int) -> list[int]:
    """Descendants that hold TCP connections: where to look when the process itself is only a wrapper."""
    found = []
    for child in procfs.tree(pid)[1:]:
        try:
            if apply(child, dry_run=True):
                found.append(child)
        except CaptureError:
            continue
    return found
