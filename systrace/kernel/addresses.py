"""Socket addresses of the kernel, as bytes -> `Endpoint`."""

from __future__ import annotations

import socket
import struct

from systrace.model import Endpoint
from systrace.words import clean

FAMILIES = {1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 40: "vsock"}  # linux/socket.h
TYPES = {1: "stream", 2: "dgram", 3: "raw", 5: "seqpacket"}
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp", 136: "udplite", 262: "mptcp"}


def ip_endpoint(family: int, address: bytes, port: int) -> Endpoint:
    """4 or 16 address bytes in network order; ::ffff:a.b.c.d stays IPv6, as strace prints it."""
    size = 4 if family == socket.AF_INET else 16
    return Endpoint(FAMILIES[family], socket.inet_ntop(family, address[:size]), port)


def unix_endpoint(path: bytes) -> Endpoint:
    """sun_path; an abstract name begins with NUL and is written with "@"."""
    text = "@" + clean(path[1:]) if path.startswith(b"\0") else clean(path.split(b"\0", 1)[0])
    return Endpoint("unix", path=text)


def endpoint_of(raw: bytes | None) -> Endpoint | None:
    """A `struct sockaddr`, None when it is too short or of a family without addresses we print."""
    if raw is None or len(raw) < 2:
        return None
    (family,) = struct.unpack_from("=H", raw)
    if family == socket.AF_UNIX:
        return unix_endpoint(raw[2:]) if len(raw) > 2 else None
    if family == socket.AF_INET and len(raw) >= 8:
        return ip_endpoint(family, raw[4:8], int.from_bytes(raw[2:4], "big"))
    if family == socket.AF_INET6 and len(raw) >= 24:
        return ip_endpoint(family, raw[8:24], int.from_bytes(raw[2:4], "big"))
    return None
