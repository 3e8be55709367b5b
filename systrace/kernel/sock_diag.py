"""The kernel's socket tables by NETLINK_SOCK_DIAG, asked in the target's own network namespace.

Formats: sock_diag(7), linux/inet_diag.h, linux/unix_diag.h, linux/tcp.h. Where entering the namespace is refused, the
text tables of /proc/PID/net say the same with fewer figures (no TCP_INFO).
"""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from systrace.dataclass import dataclass
from systrace.kernel.addresses import ip_endpoint, unix_endpoint
from systrace.kernel.netns import call_in
from systrace.kernel.procfs import read
from systrace.look.nouns import TcpInfo
from systrace.model import Endpoint

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP_REQUEST = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_REQUEST = 0x1  # NLM_F_REQUEST: one socket
_DONE, _ERROR = 3, 2
_HEADER = struct.Struct("=IHHII")
_INET = struct.Struct("=BBBB 2s2s 16s 16s I 2I IIIII")  # struct inet_diag_msg, 72 bytes
_UNIX = struct.Struct("=BBBB I 2I")
_ATTRIBUTE = struct.Struct("=HH")
_ATTR_TCP_INFO, _ATTR_PROTOCOL = 2, 11  # INET_DIAG_INFO, INET_DIAG_PROTOCOL
_UNIX_NAME, _UNIX_PEER, _UNIX_RQLEN = 0, 2, 4
_SHOW_UNIX = 0x1 | 0x4 | 0x10  # UDIAG_SHOW_NAME | _PEER | _RQLEN
_TIME_WAIT = 6  # has no owner, and there may be tens of thousands
_ALL_BUT_TIME_WAIT = 0x3FFF & ~(1 << _TIME_WAIT)
STATES = ("", "established", "syn-sent", "syn-received", "fin-wait-1", "fin-wait-2", "time-wait", "close", "close-wait",
          "last-ack", "listen", "closing", "syn-received", "bound")  # net/tcp_states.h  # fmt: skip
TIMERS = ("", "on", "keepalive", "timewait", "persist")  # as ss(8) names them
_NUMBERS = itertools.count(2)  # of questions; dumps have 1
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_MAPPED = bytes(10) + b"\xff\xff"
_SYN_SENT, _LISTEN, _ANY = 2, 10, bytes(16)
_AT_WORK = (1, 4)  # timers: something is repeated, or a closed window probed


@dataclass(slots=True)
class Row:
    """One socket of the kernel's tables."""

    inode: int
    family: str
    protocol: str
    state: str
    local: Endpoint | None
    peer: Endpoint | None
    timer: str = ""
    timer_ms: int | None = None
    retransmits: int | None = None
    unread: int | None = None
    unsent: int | None = None
    tcp: TcpInfo | None = None
    peer_inode: int | None = None
    type: str = ""
    accepted: bool = False  # a socket of this namespace listens on its local address
    key: bytes = b""  # what `again` asks for it by: addresses, ports and the kernel's cookie


def namespace_socket(pid: int) -> socket.socket:
    """A sock_diag socket that lives in the network namespace of `pid`.

    Raises:
        OSError: setns needs CAP_SYS_ADMIN there; netlink may be filtered (seccomp).
    """
    return call_in(pid, _netlink)


def _netlink() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    sock.settimeout(2.0)
    return sock


def _dump(sock: socket.socket, request: bytes) -> Iterator[bytes]:
    """The payloads of one dump. Raises OSError when the kernel refuses (module for that protocol absent: ENOENT)."""
    sock.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 1, 0) + request)
    while True:
        data = sock.recv(1 << 18)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, at)
            if length < _HEADER.size or kind == _DONE:
                return
            body = data[at + _HEADER.size : at + length]
            if kind == _ERROR:
                code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else errno.EPROTO
                raise OSError(code, os.strerror(code))
            yield body
            at += (length + 3) & ~3


def listening(sock: socket.socket) -> list[Row]:
    """All TCP listeners: `unread` is how many connections wait to be accepted, `unsent` how many may."""
    rows = []
    for family in (socket.AF_INET, socket.AF_INET6):
        request = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, 1 << _LISTEN)
        try:
            rows += [_inet_row(body, "tcp", None) for body in _dump(sock, request)]
        except OSError:
            continue
    return rows


def again(sock: socket.socket, key: bytes) -> Row | None:
    """A TCP socket of an earlier answer as it is now, held by a program or not; None when the kernel has forgotten it.

    It costs the kernel one look-up, where `inet_rows` goes through all sockets of the namespace.
    """
    family, ident = key[0], key[1:]
    request = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 1 << (_ATTR_TCP_INFO - 1), 0x3FFF) + ident
    number = next(_NUMBERS) & 0xFFFFFFFF
    try:
        sock.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST, number, 0) + request)
        while True:
            data = sock.recv(1 << 16)
            length, kind, _, answers, _ = _HEADER.unpack_from(data)
            if answers == number:  # else it is what an earlier question was no longer waited for
                return _inet_row(data[_HEADER.size : length], "tcp", None) if kind == _SOCK_DIAG_BY_FAMILY else None
    except OSError:
        return None


def _attributes(body: bytes, at: int) -> dict[int, bytes]:
    found = {}
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = body[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def inet_rows(
    sock: socket.socket, inodes: set[int], protocols: Sequence[str] = tuple(_PROTOCOLS), most: int | None = None
) -> list[Row]:
    """TCP and UDP sockets with these inodes; a loopback peer's inode is filled in where it is on this host.

    `most`: of more than so many of a protocol, those on which something is owed; without the inodes of their peers.
    """
    bodies: dict[str, list[bytes]] = {}
    for protocol in protocols:
        number = _PROTOCOLS[protocol]
        for family in (socket.AF_INET, socket.AF_INET6):
            request = struct.pack("=BBBxI48x", family, number, 1 << (_ATTR_TCP_INFO - 1), _ALL_BUT_TIME_WAIT)
            try:
                bodies.setdefault(protocol, []).extend(_dump(sock, request))
            except OSError:
                continue  # no such protocol in this kernel
    rows = []
    for protocol, found in bodies.items():
        mine = [body for body in found if int.from_bytes(body[68:72], "little") in inodes]
        if most is not None and len(mine) > most:
            mine = heapq.nlargest(most, mine, key=_urgency)
        ends = {_key(body[4:6], body[6:8], body[8:24], body[24:40]): 0 for body in mine}
        heard = {(body[4:6], _plain(body[8:24])) for body in found if body[1] == _LISTEN}
        for body in found if most is None else ():  # who is at the other end: the same pair of addresses, swapped
            key = _key(body[6:8], body[4:6], body[24:40], body[8:24])
            if key in ends:
                ends[key] = int.from_bytes(body[68:72], "little")
        for body in mine:
            other = ends[_key(body[4:6], body[6:8], body[8:24], body[24:40])]
            row = _inet_row(body, protocol, other or None)
            row.accepted = body[1] != _LISTEN and any((body[4:6], a) in heard for a in (_plain(body[8:24]), _ANY))
            rows.append(row)
    return rows


def _urgency(body: bytes) -> tuple[bool, bool, int]:
    """Something is under way or stuck; the last word was ours; how long it has been silent, in ms."""
    trouble = body[1] == _SYN_SENT or body[2] in _AT_WORK or body[60:64] != b"\0\0\0\0"  # idiag_wqueue
    info = _attributes(body, _INET.size).get(_ATTR_TCP_INFO, b"")
    if len(info) < 56:
        return trouble, False, 0
    sent, _, received = struct.unpack_from("=3I", info, 44)
    return trouble, sent <= received, received


def _key(port: bytes, other_port: bytes, address: bytes, other: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """The pair of addresses with IPv4-mapped ones as IPv4: the two ends may be sockets of different families."""
    return port, other_port, _plain(address), _plain(other)


def _plain(address: bytes) -> bytes:
    return address[12:] + bytes(12) if address.startswith(_MAPPED) else address


def _inet_row(body: bytes, protocol: str, peer_inode: int | None) -> Row:
    (family, state, timer, retransmits, port, peer_port, local, peer, _, _, _, expires, unread, unsent, _, inode) = (
        _INET.unpack_from(body)
    )
    attributes = _attributes(body, _INET.size)
    name = STATES[state] if state < len(STATES) else ""
    if protocol == "udp":
        name = "connected" if state == 1 else "unconnected"
    remote = ip_endpoint(family, peer, int.from_bytes(peer_port, "big"))
    return Row(
        inode=inode,
        family="inet" if family == socket.AF_INET else "inet6",
        protocol=protocol,
        type="stream" if protocol == "tcp" else "dgram",
        state=name,
        local=ip_endpoint(family, local, int.from_bytes(port, "big")),
        peer=remote if remote.port else None,
        timer=TIMERS[timer] if timer < len(TIMERS) else "",
        timer_ms=expires if timer else None,
        retransmits=retransmits,
        unread=unread,
        unsent=unsent,
        tcp=tcp_info(attributes.get(_ATTR_TCP_INFO, b"")),
        peer_inode=peer_inode,
        key=body[:1] + body[4:52],
    )


def tcp_info(raw: bytes) -> TcpInfo | None:
    """`struct tcp_info` of any age: fields that an older kernel does not fill are None."""
    if len(raw) < 104:
        return None
    state, _, retransmits, probes, backoff = struct.unpack_from("=5B", raw)
    rto, _, _, _, unacked = struct.unpack_from("=5I", raw, 8)
    last_sent, _, last_received, last_ack = struct.unpack_from("=4I", raw, 44)
    (rtt,) = struct.unpack_from("=I", raw, 68)
    (total,) = struct.unpack_from("=I", raw, 100)
    acked, received = struct.unpack_from("=2Q", raw, 120) if len(raw) >= 136 else (None, None)
    unsent = struct.unpack_from("=I", raw, 144)[0] if len(raw) >= 148 else None
    limited = struct.unpack_from("=Q", raw, 176)[0] / 1000 if len(raw) >= 184 else None
    return TcpInfo(
        state=STATES[state] if state < len(STATES) else "",
        retransmits=retransmits,
        probes=probes,
        backoff=backoff,
        rto_ms=rto / 1000,
        rtt_ms=rtt / 1000,
        unacked=unacked,
        last_data_sent_ms=last_sent,
        last_data_received_ms=last_received,
        last_ack_received_ms=last_ack,
        total_retransmits=total,
        bytes_acked=acked,
        bytes_received=received,
        unsent=unsent,
        rwnd_limited_ms=limited,
        data_segments_in=struct.unpack_from("=I", raw, 152)[0] if len(raw) >= 156 else None,
        out_of_order=struct.unpack_from("=I", raw, 224)[0] if len(raw) >= 228 else None,
    )


def unix_rows(sock: socket.socket, inodes: set[int]) -> list[Row]:
    """AF_UNIX sockets with these inodes; an accepted or connected one shows its peer's name through `peer_inode`."""
    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_UNIX, 0, 0)
    names: dict[int, bytes] = {}
    mine = []
    try:
        for body in _dump(sock, request):
            _, _, _, _, inode, _, _ = _UNIX.unpack_from(body)
            attributes = _attributes(body, _UNIX.size)
            if _UNIX_NAME in attributes:
                names[inode] = attributes[_UNIX_NAME]
            if inode in inodes:
                mine.append((body, attributes))
    except OSError:
        return []
    rows = []
    for body, attributes in mine:
        _, kind, state, _, inode, _, _ = _UNIX.unpack_from(body)
        peer = struct.unpack("=I", attributes[_UNIX_PEER])[0] if len(attributes.get(_UNIX_PEER, b"")) == 4 else None
        queues = struct.unpack("=II", attributes[_UNIX_RQLEN]) if len(attributes.get(_UNIX_RQLEN, b"")) == 8 else None
        rows.append(
            Row(
                inode=inode,
                family="unix",
                protocol="",
                type={1: "stream", 2: "dgram", 5: "seqpacket"}.get(kind, "other"),
                state={1: "established", 10: "listen"}.get(state, "unconnected"),
                local=unix_endpoint(names[inode]) if inode in names else None,
                peer=unix_endpoint(names[peer]) if peer is not None and peer in names else None,
                unread=queues[0] if queues else None,
                unsent=queues[1] if queues else None,
                peer_inode=peer,
            )
        )
    return rows


def text_rows(pid: int, inodes: set[int]) -> list[Row]:
    """The same from /proc/PID/net/{tcp,tcp6,udp,udp6}: readable without any capability."""
    rows = []
    heard: set[int] = set()
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in (read(f"/proc/{pid}/net/{name}", 1 << 25) or b"").split(b"\n")[1:]:
            row = _text_row(line.split(), name)
            if row is not None and row.state == "listen" and row.local is not None:
                heard.add(row.local.port)
            if row is not None and row.inode in inodes:
                rows.append(row)
    for row in rows:  # by the port alone: connect(2) takes none that somebody listens on
        row.accepted = (
            row.protocol == "tcp" and row.state != "listen" and row.local is not None and row.local.port in heard
        )
    return rows


def _text_row(words: list[bytes], name: str) -> Row | None:
    if len(words) < 10:
        return None
    try:
        local, peer = _text_endpoint(words[1]), _text_endpoint(words[2])
        state, inode = int(words[3], 16), int(words[9])
        unsent, unread = (int(part, 16) for part in words[4].split(b":"))
        timer, expires = (int(part, 16) for part in words[5].split(b":"))
        retransmits = int(words[6], 16)
    except ValueError:
        return None
    udp = name.startswith("udp")
    text = STATES[state] if state < len(STATES) else ""
    if udp:
        text = "connected" if state == 1 else "unconnected"
    return Row(
        inode=inode,
        family="inet6" if name.endswith("6") else "inet",
        protocol="udp" if udp else "tcp",
        type="dgram" if udp else "stream",
        state=text,
        local=local,
        peer=peer if peer.port else None,
        timer=TIMERS[timer] if timer < len(TIMERS) and not udp else "",
        timer_ms=expires * 1000 // os.sysconf("SC_CLK_TCK") if timer and not udp else None,
        retransmits=retransmits,
        unread=unread,
        unsent=unsent,
    )


def _text_endpoint(text: bytes) -> Endpoint:
    """`0100007F:1F90`: the address as 32-bit words in the host's byte order."""
    address, _, port = text.partition(b":")
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    if len(words) not in (1, 4):
        raise ValueError(text)
    packed = struct.pack(f"={len(words)}I", *words)
    return ip_endpoint(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed, int(port, 16))
