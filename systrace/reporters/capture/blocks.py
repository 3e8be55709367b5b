"""Blocks of pcapng (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

RAW_IP = 101  # LINKTYPE_RAW: an IPv4 or IPv6 packet
_SECTION, _INTERFACE, _NAMES, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 4, 6, 10
_ORDER = 0x1A2B3C4D
_COMMENT, _HARDWARE, _SYSTEM, _APPLICATION = 1, 2, 3, 4
_NAME, _DESCRIPTION, _RESOLUTION = 2, 3, 9
_TLS_KEY_LOG = 0x544C534B
_LONGEST = 0xFFFF  # bytes of an option
_LATEST = 0xFFFFFFFFFFFFFFFF  # nanoseconds: a time is of 64 bits
Option = tuple[int, bytes]


def section(application: str, system: str, comment: str) -> bytes:
    """The file's head; its length is not told."""
    options = [(_COMMENT, comment.encode()), (_SYSTEM, system.encode()), (_APPLICATION, application.encode())]
    return _block(_SECTION, struct.pack("<IHHq", _ORDER, 1, 0, -1) + _options(options))


def interface(name: str, description: str) -> bytes:
    """Raw IP, times in nanoseconds."""
    options = [(_NAME, name.encode()), (_DESCRIPTION, description.encode()), (_RESOLUTION, b"\x09")]
    return _block(_INTERFACE, struct.pack("<HHI", RAW_IP, 0, 0) + _options(options))


def names(pairs: Iterable[tuple[bytes, str]]) -> bytes:
    """Packed addresses and their names."""
    records = b""
    for address, name in pairs:
        value = address + name.encode() + b"\0"
        records += _padded(struct.pack("<HH", 1 if len(address) == 4 else 2, len(value)) + value)
    return _block(_NAMES, records + struct.pack("<HH", 0, 0))


def secrets(keylog: bytes) -> bytes:
    """Session keys, as lines of an SSLKEYLOGFILE."""
    return _block(_SECRETS, struct.pack("<II", _TLS_KEY_LOG, len(keylog)) + _padded(keylog))


def packet(time_ns: int, captured: bytes, length: int, comment: str) -> bytes:
    """A packet of `length` bytes of which the first ones are here."""
    time_ns = min(max(time_ns, 0), _LATEST)
    head = struct.pack("<IIIII", 0, time_ns >> 32, time_ns & 0xFFFFFFFF, len(captured), length)
    return _block(_PACKET, head + _padded(captured) + _options([(_COMMENT, comment.encode())] if comment else []))


def _options(options: Iterable[Option]) -> bytes:
    out = b"".join(
        _padded(struct.pack("<HH", code, len(value[:_LONGEST])) + value[:_LONGEST]) for code, value in options if value
    )
    return out + b"\0\0\0\0" if out else b""


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
