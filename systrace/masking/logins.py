"""Where secrets are in the binary logins of protocols. Lengths must fit exactly: other bytes are left alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ZEROS = b"\0" * 23  # reserved bytes of MySQL's HandshakeResponse41
_MYSQL = re.compile(rb"(?s)\x01.{9}\x00{23}[^\x00]{0,64}\x00(?:\x14(.{20})|\x20(.{32}))")
_CLEAR = re.compile(
    rb"(?s)\A(.)\x00\x00[\x03\x05]([\x21-\x7e]{1,200})\x00\Z"
)  # mysql_clear_password, caching_sha2 in TLS
_SASL_PLAIN = re.compile(rb"(?s)(?<=(.{5}))\x00([\x21-\x7e]{1,100})\x00([\x21-\x7e]{1,200})")  # RFC 4616, within frames
_BIND = re.compile(rb"(?s)\x02\x01[\x02\x03]\x04")  # LDAP: version, then the name (RFC 4511 4.2)
_CONNECT = re.compile(rb"(?s)\x10[\x80-\xff]{0,3}[\x00-\x7f]\x00(?:\x04MQTT|\x06MQIsdp)[\x03-\x05](.)..")


def login_spans(data: bytes) -> list[tuple[int, int]]:
    """Where passwords are, in order of the protocols below."""
    if b"\0" not in data and data[:1] not in (b"\x01", b"\x05", b"\x30"):
        return []
    found: list[tuple[int, int]] = []
    if _ZEROS in data:
        found += [match.span(match.lastindex or 0) for match in _MYSQL.finditer(data)]
    if (clear := _CLEAR.match(data)) is not None and clear[1][0] == len(clear[2]) + 1:
        found.append(clear.span(2))
    found += _plain(data)
    if b"\x60" in data:
        found += _ldap(data)
    if b"\0\x04MQTT" in data or b"\0\x06MQIsdp" in data:
        found += _mqtt(data)
    found += _socks(data)
    return found


def _plain(data: bytes) -> Iterator[tuple[int, int]]:
    """AMQP and Kafka (4 bytes before, or a varint), MongoDB (4 bytes, little endian, and a subtype)."""
    for match in _SASL_PLAIN.finditer(data):
        before, size = match[1], 2 + len(match[2]) + len(match[3])
        lengths = (int.from_bytes(before[1:], "big"), int.from_bytes(before[:4], "little"), before[4] - 1)
        if size in lengths:
            yield match.span(3)


def _ldap(data: bytes) -> Iterator[tuple[int, int]]:
    for match in _BIND.finditer(data):
        name = _length(data, match.end())
        if name is None or b"\x60" not in data[max(0, match.start() - 6) : match.start()]:
            continue
        at = name[0] + name[1]
        if data[at : at + 1] == b"\x80" and (password := _length(data, at + 1)) is not None and password[1]:
            yield password[0], min(password[0] + password[1], len(data))


def _length(data: bytes, at: int) -> tuple[int, int] | None:
    """Where a BER value begins, and its length."""
    if at >= len(data):
        return None
    first = data[at]
    if first < 0x80:
        return at + 1, first
    count = first & 0x7F
    return (at + 1 + count, int.from_bytes(data[at + 1 : at + 1 + count], "big")) if 0 < count < 4 else None


def _mqtt(data: bytes) -> Iterator[tuple[int, int]]:
    for match in _CONNECT.finditer(data):
        flags, at = match[1][0], match.end()
        if data[match.end() - 4] == 5:  # version 5 has properties
            at += 1 + data[at] if at < len(data) else 0
        fields = 1 + (2 if flags & 0x04 else 0) + (1 if flags & 0x80 else 0)
        for _ in range(fields):
            at += 2 + int.from_bytes(data[at : at + 2], "big")
        size = int.from_bytes(data[at : at + 2], "big")
        if flags & 0x40 and size and at + 2 < len(data):
            yield at + 2, min(at + 2 + size, len(data))


def _socks(data: bytes) -> Iterator[tuple[int, int]]:
    """RFC 1929, at the beginning or behind the greeting."""
    at = 2 + data[1] if data[:1] == b"\x05" and len(data) > 1 else 0
    if data[at : at + 1] == b"\x01" and at + 1 < len(data):
        name = at + 2 + data[at + 1]
        if name < len(data) and data[at + 1] and data[name]:
            end = name + 1 + data[name]
            following = data[end : end + 1]
            if end == len(data) or (at and following == b"\x05"):
                yield name + 1, end
