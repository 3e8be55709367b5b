"""Connections that are watched while they are made: SYNs needed, time, and who sent an error instead of an answer.

No right is needed: the kernel hands ICMP errors to the socket that they are about (ip(7) IP_RECVERR, MSG_ERRQUEUE).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence

from systrace.dataclass import dataclass

IP_RECVERR, IPV6_RECVERR = 11, 25  # <linux/in.h>, <linux/in6.h>
_EXTENDED = struct.Struct("=IBBBBII")  # sock_extended_err <linux/errqueue.h>
_INFO = struct.Struct("=8B24I")  # tcp_info <linux/tcp.h>, to tcpi_total_retrans
_BY_ICMP = {2, 3}  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
_BUSY = (errno.EINPROGRESS, errno.EAGAIN)


@dataclass(frozen=True, slots=True)
class Icmp:
    """An error that somebody on the path sent."""

    sender: str
    type: int
    code: int
    mtu: int = 0  # of "fragmentation needed", "packet too big"
    errno: int = 0  # what the kernel makes of it

    def __str__(self) -> str:
        return f"{self.sender} (ICMP {self.type}/{self.code})"

    @property
    def expired(self) -> bool:
        """Time exceeded: the packet's TTL ended there."""
        return self.type in (3, 11) and self.code == 0 and (self.type == 11) != (":" in self.sender)


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """What the kernel tells of a connection (tcp(7) TCP_INFO)."""

    retransmits: int
    unacked: int
    last_ack_ms: int  # since the peer last acknowledged anything
    pmtu: int
    total_retrans: int

    @staticmethod
    def of(one: socket.socket) -> TcpInfo:
        """Ask it."""
        values = _INFO.unpack(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
        return TcpInfo(values[2], values[12], values[20], values[21], values[31])


@dataclass(slots=True)
class Dial:
    """One attempt to connect, and what became of it."""

    address: str
    port: int
    ttl: int = 0
    segment: int = 0  # TCP_MAXSEG
    outcome: str = "silent"  # open, refused, silent, rejected, unreachable (by this host)
    errno: int = 0
    took_s: float = 0.0
    syns: int = 1
    icmp: Icmp | None = None
    socket: socket.socket | None = None  # where it is kept

    @property
    def error(self) -> str:
        """As errno(3) has it."""
        return errno.errorcode.get(self.errno, str(self.errno))


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def hear_errors(one: socket.socket, ttl: int = 0) -> None:
    """ICMP errors about this socket are kept for it; its packets live for `ttl` hops."""
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        if ttl:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        one.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if ttl:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


def heard(one: socket.socket) -> Icmp | None:
    """The first such error that waits."""
    try:
        _, parts, _, _ = one.recvmsg(1, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except OSError:
        return None
    for level, kind, data in parts:
        if (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            error, origin, number, code, _, info, _ = _EXTENDED.unpack_from(data)
            if origin in _BY_ICMP:
                return Icmp(_sender(data[_EXTENDED.size :]), number, code, info, error)
    return None


def _sender(data: bytes) -> str:
    family = int.from_bytes(data[:2], "little" if struct.pack("=H", 1)[0] else "big") if len(data) >= 8 else 0
    if family == socket.AF_INET:
        return socket.inet_ntoa(data[4:8])
    return socket.inet_ntop(socket.AF_INET6, data[8:24]) if family == socket.AF_INET6 and len(data) >= 24 else "?"


def dial(
    dials: Sequence[Dial], wait_s: float, *, keep: bool = False, enough: Callable[[Dial], bool] = lambda _: False
) -> None:
    """Make these connections side by side, and wait for what comes of them.

    Args:
        dials: are filled in.
        wait_s: after which what has not answered is silent.
        keep: leave those that stand open in `Dial.socket`; else they are closed at once.
        enough: of one that has ended: the others are given up.
    """
    poll, waiting, began = select.poll(), dict[int, tuple[Dial, socket.socket]](), time.monotonic()
    over = False
    try:
        for each in dials:
            one = _begun(each)
            if one is not None:
                waiting[one.fileno()] = each, one
                poll.register(one, select.POLLOUT)
        while waiting and not over and (left := began + wait_s - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000 + 1):
                poll.unregister(fd)
                each, one = waiting.pop(fd)
                each.took_s = time.monotonic() - began
                _ended(each, one, keep)
                over = over or enough(each)
        for each, one in waiting.values():
            each.took_s = time.monotonic() - began
            each.syns = TcpInfo.of(one).total_retrans + 1
            each.icmp = heard(one)
    finally:
        for _, one in waiting.values():
            one.close()


def _begun(each: Dial) -> socket.socket | None:
    one = None
    try:  # a kernel without IPv6 has no such sockets
        one = socket.socket(family_of(each.address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        hear_errors(one, each.ttl)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1 if each.ttl else 3)
        if each.segment:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, each.segment)
        number = one.connect_ex((each.address, each.port))
    except OSError as error:
        number = error.errno or errno.EIO
    if number in (*_BUSY, 0):
        return one
    if one is not None:
        one.close()
    each.errno, each.outcome = number, "refused" if number == errno.ECONNREFUSED else "unreachable"
    return None


def _ended(each: Dial, one: socket.socket, keep: bool) -> None:
    each.errno = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    each.icmp = heard(one)
    if not each.errno and not _stands(one):  # the error was taken from the queue, and the socket has none left
        each.errno = each.icmp.errno if each.icmp is not None else errno.ENOTCONN
    with contextlib.suppress(OSError):
        each.syns = TcpInfo.of(one).total_retrans + 1
    if not each.errno:
        each.outcome = "open"
        if keep:
            each.socket = one
            return
    elif each.errno == errno.ETIMEDOUT:
        each.outcome = "silent"
    elif each.errno == errno.ECONNREFUSED and each.icmp is None:
        each.outcome = "refused"
    else:
        each.outcome = "rejected" if each.icmp is not None else "unreachable"
    one.close()


def _stands(one: socket.socket) -> bool:
    try:
        one.getpeername()
    except OSError:
        return False
    return True


def exchange(one: socket.socket, message: bytes, wait_s: float, enough: Callable[[bytes], bool]) -> bytes:
    """Send a message and read until that is enough, the peer ends, or the time is over: what came."""
    until, came, poll = time.monotonic() + wait_s, b"", select.poll()
    poll.register(one, select.POLLIN | (select.POLLOUT if message else 0))
    while not enough(came) and (left := until - time.monotonic()) > 0:
        try:
            for _, events in poll.poll(left * 1000 + 1):
                if events & select.POLLOUT and message:
                    message = message[one.send(message) :]
                    if not message:
                        poll.modify(one, select.POLLIN)
                if events & ~select.POLLOUT:
                    more = one.recv(1 << 16)
                    if not more:
                        return came
                    came += more
        except BlockingIOError:
            continue
        except OSError:
            if not came:
                raise
            return came
    return came


def words_of(number: int) -> str:
    """An error in words."""
    return os.strerror(number)
