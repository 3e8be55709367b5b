"""Records of the ring buffer, and the memory in them: struct header and struct chunk of bpf/tables.h."""

from __future__ import annotations

import struct

from systrace.dataclass import dataclass

ENTERED, CALLED, FORKED, ENDED, SIGNALLED, EXECED, SUBMITTED, COMPLETED, UNSEEN = range(1, 10)  # enum record
_HEADER = struct.Struct("=BBHIII 2Q 6Q qQ iIQ iIQ iIQ I4x")
_CHUNK = struct.Struct("=QII")
NO_CALL = 0xFFFF
HANDED_OVER = 1  # the address of what is no memory, but a received descriptor
_DESCRIPTOR = struct.Struct("=iIQ")

Descriptor = tuple[int, int, int]  # number, mode (0: none), inode
Chunk = tuple[int, bytes, bool]  # address, bytes, whether a string has ended


@dataclass(slots=True)
class Record:
    """One of them. Times are CLOCK_MONOTONIC in ns."""

    kind: int
    compat: int
    call: int
    tid: int
    tgid: int
    lost: int
    entered: int
    left: int
    args: tuple[int, ...]
    result: int
    files: int
    on: Descriptor
    made: tuple[Descriptor, Descriptor]
    data: bytes

    def chunks(self) -> list[Chunk]:
        """What was read of the thread's memory."""
        data, found, at = self.data, [], _HEADER.size
        end = len(data)
        while at + _CHUNK.size <= end:
            address, length, ended = _CHUNK.unpack_from(data, at)
            at += _CHUNK.size
            found.append((address, data[at : at + length], bool(ended)))
            at += length + 8 & ~7  # as if each were a string with its NUL
        return found


def parse(data: bytes) -> Record:
    """A record from its bytes."""
    kind, compat, call, tid, tgid, lost, entered, left, *rest = _HEADER.unpack_from(data)
    on, first, second = rest[8:11], rest[11:14], rest[14:17]
    return Record(
        kind, compat, call, tid, tgid, lost, entered, left, tuple(rest[:6]), rest[6], rest[7],
        (on[0], on[1], on[2]), ((first[0], first[1], first[2]), (second[0], second[1], second[2])),
        data[: _HEADER.size + rest[17]],
    )  # fmt: skip


def handed_over(chunks: list[Chunk]) -> list[Descriptor]:
    """The descriptors that came with a message."""
    found = [_DESCRIPTOR.unpack(data) for address, data, _ended in chunks if address == HANDED_OVER]
    return [(number, mode, inode) for number, mode, inode in found]


class Memory:
    """The memory of a thread as it was in one call (`memory.Source`): later pieces stand for newer states."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at `address`; None where they were not recorded."""
        for start, data, _ended in self.chunks:
            at = address - start
            if at >= 0 and at + size <= len(data):
                return data[at : at + size]
        return None

    def beginning(self, address: int, size: int) -> bytes | None:
        """As much as was recorded of `size` bytes at `address`."""
        whole = self.read(address, size)
        return whole or next((data[:size] for start, data, _ended in self.chunks if start == address and data), None)

    def string(self, address: int, limit: int) -> tuple[bytes, bool] | None:
        """See `memory.read_string`."""
        for start, data, ended in self.chunks:
            if start == address:
                return data[:limit], ended and len(data) <= limit
        return None
