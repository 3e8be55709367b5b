"""IP packets (RFC 791, 8200, 9293, 768, 792, 4443) whose checksums are those of hardware that makes them: zero, but IPv4's."""

from __future__ import annotations

import ipaddress
import struct

from systrace.dataclass import dataclass

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
MOST = 65_000  # bytes of payload in one packet
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_WINDOW = 65_535
_LAST_PORT = 65_535
_TTL = 64


@dataclass(frozen=True, slots=True)
class Address:
    """One end."""

    packed: bytes  # 4 or 16 bytes
    port: int

    @staticmethod
    def of(host: str, port: int) -> Address:
        """From text; the scope of a link-local address is left out.

        Raises:
            ValueError: it is none.
        """
        if not 0 <= port <= _LAST_PORT:
            raise ValueError(port)
        return Address(ipaddress.ip_address(host.partition("%")[0]).packed, port)

    @property
    def v4_in_6(self) -> bool:
        """An IPv4 address as a dual-stack socket writes it."""
        return self.packed[:12] == b"\0" * 10 + b"\xff\xff"

    def v4(self) -> Address:
        """The same as IPv4."""
        return Address(self.packed[12:], self.port)


@dataclass(frozen=True, slots=True)
class Packet:
    """The bytes that are known, and how long it was."""

    captured: bytes
    length: int


def tcp(source: Address, target: Address, seq: int, ack: int, flags: int, data: bytes = b"", size: int = 0) -> Packet:
    """A segment that carries `size` bytes, of which `data` is known."""
    header = struct.pack(
        "!HHIIBBHHH", source.port, target.port, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 5 << 4, flags, _WINDOW, 0, 0
    )
    return _ip(source, target, _TCP, header, data, size)


def udp(source: Address, target: Address, data: bytes, size: int) -> Packet:
    """A datagram of `size` bytes, of which `data` is known."""
    header = struct.pack("!HHHH", source.port, target.port, 8 + size, 0)
    if len(source.packed) == 16:  # RFC 8200, 8.1: zero is no checksum there
        pseudo = source.packed + target.packed + struct.pack("!II", 8 + size, _UDP)
        header = header[:6] + struct.pack("!H", _checksum(pseudo + header + data) or 0xFFFF)
    return _ip(source, target, _UDP, header, data, size)


def unreachable(source: Address, target: Address, code: int, of: Packet) -> Packet:
    """ICMP destination unreachable; `code`: 1 host, 3 port (of RFC 792; those of RFC 4443 are made of them)."""
    quoted = of.captured[:64] if len(source.packed) == 4 else of.captured[:512]
    if len(source.packed) == 4:
        body = struct.pack("!BBHI", 3, code, 0, 0) + quoted
        body = body[:2] + struct.pack("!H", _checksum(body)) + body[4:]
        return _ip(source, target, _ICMP, body, b"", 0)
    body = struct.pack("!BBHI", 1, 4 if code == 3 else 3, 0, 0) + quoted
    pseudo = source.packed + target.packed + struct.pack("!II", len(body), _ICMP6)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    return _ip(source, target, _ICMP6, body, b"", 0)


def _ip(source: Address, target: Address, protocol: int, header: bytes, data: bytes, size: int) -> Packet:
    length = len(header) + size
    if len(source.packed) == 4:
        head = (
            struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, _TTL, protocol, 0) + source.packed + target.packed
        )
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    else:
        head = struct.pack("!IHBB", 6 << 28, length, protocol, _TTL) + source.packed + target.packed
    return Packet(head + header + data, len(head) + length)


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
