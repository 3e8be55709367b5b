"""Making and ending connections: socket(2) to shutdown(2)."""

from __future__ import annotations

import errno
import struct
from functools import lru_cache

from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.decode import DECODERS, descriptor, integer, new_descriptor, plain
from systrace.tracers.embedded_worker.decode.structures import FAMILIES, sockaddr
from systrace.tracers.embedded_worker.decode.transfer import enter_with_length, name_and_length
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.text import constant, flags, pointer, signed
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

_TYPES = {
    1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET", 6: "SOCK_DCCP",
    10: "SOCK_PACKET",
}  # fmt: skip
_TYPE_FLAGS = ((0o2000000, "SOCK_CLOEXEC"), (0o4000, "SOCK_NONBLOCK"))
_IP_PROTOCOLS = {
    0: "IPPROTO_IP", 1: "IPPROTO_ICMP", 2: "IPPROTO_IGMP", 6: "IPPROTO_TCP", 17: "IPPROTO_UDP", 33: "IPPROTO_DCCP",
    41: "IPPROTO_IPV6", 58: "IPPROTO_ICMPV6", 132: "IPPROTO_SCTP", 136: "IPPROTO_UDPLITE", 255: "IPPROTO_RAW",
    262: "IPPROTO_MPTCP",
}  # fmt: skip
_NETLINK = {
    0: "NETLINK_ROUTE", 2: "NETLINK_USERSOCK", 4: "NETLINK_SOCK_DIAG", 5: "NETLINK_NFLOG", 6: "NETLINK_XFRM",
    7: "NETLINK_SELINUX", 9: "NETLINK_AUDIT", 11: "NETLINK_CONNECTOR", 12: "NETLINK_NETFILTER",
    15: "NETLINK_KOBJECT_UEVENT", 16: "NETLINK_GENERIC",
}  # fmt: skip


def _socket(_tracee: Tracee, args: Args) -> str:
    return _kind(args[0] & 0xFFFFFFFF, args[1] & 0xFFFFFFFF, signed(args[2]))


@lru_cache(64)
def _kind(family: int, kind: int, protocol: int) -> str:
    type_text = constant(kind & 0xF, _TYPES, "SOCK_???")
    if kind & ~0xF:
        type_text += "|" + flags(kind & ~0xF, _TYPE_FLAGS)
    if family in (2, 10):
        protocol_text = constant(protocol, _IP_PROTOCOLS, "IPPROTO_???")
    elif family == 16:
        protocol_text = constant(protocol, _NETLINK, "NETLINK_???")
    else:
        protocol_text = str(protocol)
    return f"{constant(family, FAMILIES, 'AF_???')}, {type_text}, {protocol_text}"


def _pair_enter(tracee: Tracee, args: Args) -> str:
    return _socket(tracee, args) + ", "


def pair(tracee: Tracee, address: int, value: int) -> str:
    """The two new descriptors that a call stored at `address`."""
    data = memory.read(tracee.tid, address, 8) if value >= 0 else None
    if data is None:
        return pointer(address)
    first, second = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (0, 4))
    return f"[{new_descriptor(tracee, (), first)}, {new_descriptor(tracee, (), second)}]"


def _pair_leave(tracee: Tracee, args: Args, value: int) -> str:
    return pair(tracee, args[3], value)


def _address(tracee: Tracee, args: Args) -> str:
    length = signed(args[2])
    return f"{descriptor(tracee, args[0])}, {sockaddr(tracee, args[1], length)}, {length}"


def _named_enter(tracee: Tracee, args: Args) -> str:
    if args[2]:
        enter_with_length(tracee, args, args[2])
    return descriptor(tracee, args[0]) + ", "


def _named_leave(tracee: Tracee, args: Args, value: int) -> str:
    if not args[2]:
        return f"{pointer(args[1])}, NULL"
    return name_and_length(tracee, args[1], args[2], value)


def _accept4_leave(tracee: Tracee, args: Args, value: int) -> str:
    return f"{_named_leave(tracee, args, value)}, {flags(args[3] & 0xFFFFFFFF, _TYPE_FLAGS, 'SOCK_???')}"


_HOW = {0: "SHUT_RD", 1: "SHUT_WR", 2: "SHUT_RDWR"}


def _how(_tracee: Tracee, value: int) -> str:
    return constant(signed(value), _HOW, "SHUT_???")


_AF_UNIX, _AF_NETLINK = 1, 16


def _made(tracee: Tracee, args: Args, value: int) -> str:
    """Many programs ask for a name service that is not there, before they read files under the same number; and netlink
    has calls of its own: these sockets matter once they are connected or bound."""
    text = new_descriptor(tracee, args, value)
    if FileTable.narrowed and args[0] & 0xFFFFFFFF in (_AF_UNIX, _AF_NETLINK):
        if value in tracee.fresh:
            tracee.fresh.remove(value)
        tracee.files.watch(tracee.tid, value)
    return text


_UNDER_WAY = (0, -errno.EINPROGRESS, -errno.EAGAIN)


def _named_leave_it(tracee: Tracee, args: Args, value: int) -> str:
    fd = signed(args[0])
    if not FileTable.narrowed or value not in _UNDER_WAY or tracee.coverage.covers(fd):
        return ""
    if memory.unpack(tracee.tid, args[1], _FAMILY) == (_AF_UNIX,):
        tracee.fresh += tracee.files.same(tracee.tid, fd)
    return ""


_FAMILY = struct.Struct("=H")
DECODERS.add("socket", Decoder(_socket, result=_made, blind=True))
DECODERS.add("socketpair", Decoder(_pair_enter, _pair_leave))
DECODERS.add("bind", Decoder(_address, _named_leave_it))
DECODERS.add("connect", Decoder(_address, _named_leave_it))
DECODERS.add("listen", Decoder(plain(descriptor, integer)))
DECODERS.add("accept", Decoder(_named_enter, _named_leave, new_descriptor))
DECODERS.add("accept4", Decoder(_named_enter, _accept4_leave, new_descriptor))
DECODERS.add("getsockname", Decoder(_named_enter, _named_leave))
DECODERS.add("getpeername", Decoder(_named_enter, _named_leave))
DECODERS.add("shutdown", Decoder(plain(descriptor, _how), blind=True))
