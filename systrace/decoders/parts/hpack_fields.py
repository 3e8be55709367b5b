"""HPACK (RFC 7541) for connections that are not wholly known.

The package `hpack` gives the two tables nobody should retype; its own decoder gives up where the start of a
connection or a part of a block is missing, this one says "?" for what it cannot know.
"""

from __future__ import annotations

from collections import deque

UNKNOWN = b"?"
_STATIC = 61  # entries of the static table
_MOST = 4000  # entries kept, whatever the peer says
_SIZE = 4096  # octets, RFC 9113 6.5.2's default; what SETTINGS allow is not needed: unused entries do no harm
_OVERHEAD = 32


class _CutError(Exception):
    """The known bytes end."""


class FieldTable:
    """One direction's dynamic table, and the decoding of its blocks."""

    def __init__(self) -> None:
        from hpack.huffman_table import decode_huffman
        from hpack.table import HeaderTable

        self._huffman = decode_huffman
        self._static: tuple[tuple[bytes, bytes], ...] = HeaderTable.STATIC_TABLE
        self._entries: deque[tuple[bytes, bytes]] = deque()  # the newest first
        self._size = 0
        self._limit = _SIZE

    def decode(self, block: bytes, cut: bool = False) -> list[tuple[bytes, bytes]]:
        """The fields of a block; those before the cut when its end is not known. Damaged ones end the list."""
        fields: list[tuple[bytes, bytes]] = []
        at = 0
        try:
            while at < len(block):
                at = self._field(block, at, fields)
        except _CutError:
            cut = True
        if cut:  # entries that the hidden part inserted shift all others
            self._entries.clear()
            self._size = 0
        return fields

    def _field(self, block: bytes, at: int, fields: list[tuple[bytes, bytes]]) -> int:
        first = block[at]
        if first & 0x80:
            index, at = _integer(block, at, 7)
            fields.append(self._entry(index))
            return at
        if first & 0xE0 == 0x20:
            self._limit, at = _integer(block, at, 5)
            self._evict()
            return at
        index, at = _integer(block, at, 6 if first & 0x40 else 4)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = self._string(block, at)
        value, at = self._string(block, at)
        fields.append((name, value))
        if first & 0x40:
            self._entries.appendleft((name, value))
            self._size += len(name) + len(value) + _OVERHEAD
            self._evict()
        return at

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 0 < index <= _STATIC:
            return self._static[index - 1]
        index -= _STATIC + 1
        return self._entries[index] if 0 <= index < len(self._entries) else (UNKNOWN, UNKNOWN)

    def _evict(self) -> None:
        while self._entries and (self._size > max(self._limit, 0) or len(self._entries) > _MOST):
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + _OVERHEAD

    def _string(self, block: bytes, at: int) -> tuple[bytes, int]:
        if at >= len(block):
            raise _CutError
        coded = block[at] & 0x80
        length, at = _integer(block, at, 7)
        data = block[at : at + length]
        if len(data) < length:
            raise _CutError
        if coded:
            try:
                data = bytes(self._huffman(data))
            except Exception:  # noqa: BLE001 - the package's errors; damaged bytes are no reason to stop
                data = UNKNOWN
        return data, at + length


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """RFC 7541 5.1."""
    limit = (1 << bits) - 1
    value = block[at] & limit
    at += 1
    if value < limit:
        return value, at
    for shift in range(0, 35, 7):
        if at >= len(block):
            raise _CutError
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise _CutError
