"""A duplicate of another process's socket (`pidfd_getfd`): its options, its figures, its unread bytes.

The owner is not stopped, signalled or woken. The duplicate shares the open file description, so this module never sets
file flags on it, never reads from it, and closes it at once (while it lives, a close by the owner sends no FIN). All
calls go through libc: a Python socket object would apply `socket.setdefaulttimeout`, which sets O_NONBLOCK on both.
Source: pidfd_open(2), pidfd_getfd(2), tcp(7), socket(7). One thing is not free of trace: with cgroup v1 net_cls, the
kernel tags the socket with the class of whoever received the duplicate.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import termios
from collections.abc import Iterator

from systrace.kernel.addresses import endpoint_of
from systrace.kernel.sock_diag import tcp_info
from systrace.look.nouns import TcpInfo
from systrace.model import Endpoint, Keepalive

_PIDFD_GETFD = 438  # the same on every architecture, since Linux 5.6
_SO_PEEK_OFF = 42
_SO_PROTOCOL, _SO_DOMAIN = 38, 39
_TCP_USER_TIMEOUT = 18
_PEEKED = 64  # bytes
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


class Target:
    """A process held by a pidfd: whatever happens to the number, this is the same process. A context manager.

    Raises:
        ProcessLookupError: no such process. OSError ENOSYS: Linux before 5.3 (5.6 for `duplicate`).
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def lives(self) -> bool:
        """Whether it has not ended: the number is its own then."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return not poll.poll(0)

    @contextlib.contextmanager
    def duplicate(self, fd: int) -> Iterator[int]:
        """Our own number for the target's `fd`, closed on leaving.

        Raises:
            OSError: EPERM not allowed, EBADF not open, ESRCH gone, ENOSYS old kernel.
        """
        mine = _check(_libc.syscall(_PIDFD_GETFD, self._fd, fd, 0))
        try:
            yield mine
        finally:
            os.close(mine)


def option(fd: int, level: int, name: int) -> int | None:
    """An int socket option, None where the socket has no such one."""
    value, size = ctypes.c_int(0), ctypes.c_uint(4)
    if _libc.getsockopt(fd, level, name, ctypes.byref(value), ctypes.byref(size)) != 0:
        return None
    return value.value


def option_bytes(fd: int, level: int, name: int, size: int) -> bytes:
    """A structured socket option, b"" where the socket has no such one."""
    buffer, length = ctypes.create_string_buffer(size), ctypes.c_uint(size)
    if _libc.getsockopt(fd, level, name, buffer, ctypes.byref(length)) != 0:
        return b""
    return buffer.raw[: length.value]


def set_option(fd: int, level: int, name: int, value: int) -> None:
    """setsockopt(2) of an int. Raises OSError."""
    raw = ctypes.c_int(value)
    _check(_libc.setsockopt(fd, level, name, ctypes.byref(raw), 4))


def domain_type_protocol(fd: int) -> tuple[int, int, int] | None:
    """SO_DOMAIN, SO_TYPE, SO_PROTOCOL; None when the descriptor is no socket."""
    domain = option(fd, socket.SOL_SOCKET, _SO_DOMAIN)
    kind = option(fd, socket.SOL_SOCKET, socket.SO_TYPE)
    protocol = option(fd, socket.SOL_SOCKET, _SO_PROTOCOL)
    return (domain, kind, protocol) if domain is not None and kind is not None and protocol is not None else None


def keepalive_of(fd: int) -> Keepalive:
    """SO_KEEPALIVE and, for TCP, its timers in seconds."""
    on = option(fd, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return Keepalive(
        on=bool(on) if on is not None else None,
        idle_s=option(fd, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        interval_s=option(fd, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        count=option(fd, socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    )


def set_keepalive(fd: int, idle_s: int, interval_s: int, count: int) -> None:
    """The timers first, then the switch; where the switch was on, TCP_KEEPIDLE re-arms the pending timer.

    Raises:
        OSError: EINVAL for values outside 1..32767 s and 1..127 probes.
    """
    set_option(fd, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval_s)
    set_option(fd, socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)
    set_option(fd, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
    set_option(fd, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def timeout_ns(fd: int, name: int) -> int | None:
    """SO_RCVTIMEO or SO_SNDTIMEO; None when not set."""
    raw = option_bytes(fd, socket.SOL_SOCKET, name, 16)
    if len(raw) != 16:
        return None
    seconds, microseconds = struct.unpack("=qq", raw)
    return (seconds * 10**9 + microseconds * 1000) or None


def user_timeout_ns(fd: int) -> int | None:
    """TCP_USER_TIMEOUT; None when not set."""
    milliseconds = option(fd, socket.IPPROTO_TCP, _TCP_USER_TIMEOUT)
    return milliseconds * 10**6 if milliseconds else None


def unsent(fd: int) -> int | None:
    """Bytes that the peer has not acknowledged (SIOCOUTQ), None where the socket cannot tell."""
    try:
        (count,) = struct.unpack("=i", fcntl.ioctl(fd, termios.TIOCOUTQ, struct.pack("=i", 0)))
    except OSError:
        return None
    return int(count)


def nonblocking(fd: int) -> bool:
    """O_NONBLOCK of the shared file description."""
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK)


def unread(fd: int) -> int | None:
    """Bytes that a read would find (SIOCINQ); None for listening sockets and where it is not known."""
    value = struct.pack("=i", 0)
    try:
        (count,) = struct.unpack("=i", fcntl.ioctl(fd, termios.FIONREAD, value))
    except OSError:
        return None
    return int(count)


def peek(fd: int) -> bytes:
    """The first unread bytes, left where they are. b"" for sockets with SO_PEEK_OFF, whose offset a peek would move."""
    offset = option(fd, socket.SOL_SOCKET, _SO_PEEK_OFF)
    if offset is not None and offset >= 0:
        return b""
    buffer = ctypes.create_string_buffer(_PEEKED)
    count = _libc.recv(fd, buffer, _PEEKED, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return buffer.raw[:count] if count > 0 else b""


def tcp_info_of(fd: int) -> TcpInfo | None:
    """TCP_INFO, None when it is no TCP socket."""
    return tcp_info(option_bytes(fd, socket.IPPROTO_TCP, socket.TCP_INFO, 256))


def addresses_of(fd: int) -> tuple[Endpoint | None, Endpoint | None]:
    """getsockname(2), getpeername(2)."""
    found = []
    for call in (_libc.getsockname, _libc.getpeername):
        buffer, length = ctypes.create_string_buffer(128), ctypes.c_uint(128)
        done = call(fd, buffer, ctypes.byref(length)) == 0
        found.append(endpoint_of(buffer.raw[: min(length.value, 128)]) if done else None)
    return found[0], found[1]


def supported() -> str:
    """ "" when pidfd_getfd works on ourselves, else the errno name (ENOSYS: Linux before 5.6; EPERM: filtered)."""
    try:
        with Target(os.getpid()) as target:
            reader, writer = os.pipe()
            try:
                with target.duplicate(reader):
                    return ""
            finally:
                os.close(reader)
                os.close(writer)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "error")
