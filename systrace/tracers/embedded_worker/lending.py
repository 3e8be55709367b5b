"""The registers of a tracee that makes a call of ours, kept where another process finds them if we are killed meanwhile.

The tracer writes them down before it changes them, and strikes them out when they are back. Whoever takes the job over
(`capture.guard`) reads them out of the dying tracer's memory. One record is enough: the tracer waits for one tracee only. In it
stands the last wait status, too: of a job that the tracer has reaped, and then did not live to tell.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Sequence
from typing import Any

from systrace.dataclass import dataclass

_HEAD = struct.Struct("=qqq")  # thread, 0 for none; how many words; which of them is not to be put back, -1 for none
_MOST = 64  # words
_STATUS_AT = _HEAD.size + 8 * _MOST
_RECORD = ctypes.create_string_buffer(_STATUS_AT + ctypes.sizeof(ctypes.c_int))
STATUS = ctypes.c_int.from_buffer(_RECORD, _STATUS_AT)
ADDRESS = ctypes.addressof(_RECORD)
# linux/ptrace.h, linux/elf.h
_GETREGSET, _SETREGSET = 0x4204, 0x4205
_NT_PRSTATUS = 1
MENDED, UNMENDED = b"go", b"on"  # systrace's word that the job may begin: whether somebody would read the record


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def lend(tid: int, words: Sequence[int], shadowed: Sequence[int]) -> None:
    """From now on these words are that thread's registers, whatever it shows; `shadowed` are not known (`Layout`)."""
    struct.pack_into(f"={len(words)}Q", _RECORD, _HEAD.size, *words)
    _HEAD.pack_into(_RECORD, 0, tid, len(words), shadowed[0] if shadowed else -1)


def returned() -> None:
    """Each thread's registers are its own."""
    _HEAD.pack_into(_RECORD, 0, 0, 0, -1)


@dataclass(frozen=True, slots=True)
class Lent:
    """One record."""

    tid: int
    words: tuple[int, ...]
    shadowed: int

    def give_back(self, ptrace: Callable[..., Any]) -> bool:
        """Set the registers of the thread, which stands at a stop of ours; False when it is gone."""
        buffer = ctypes.create_string_buffer(8 * _MOST)
        vector = _Iovec(ctypes.addressof(buffer), len(buffer))
        if ptrace(_GETREGSET, self.tid, _NT_PRSTATUS, ctypes.addressof(vector)) == -1:
            return False
        layout = struct.Struct(f"={len(self.words)}Q")
        if vector.length != layout.size:
            return False
        now = layout.unpack_from(buffer)
        words = [now[at] if at == self.shadowed else word for at, word in enumerate(self.words)]
        layout.pack_into(buffer, 0, *words)
        return bool(ptrace(_SETREGSET, self.tid, _NT_PRSTATUS, ctypes.addressof(vector)) != -1)


def find(pid: int, address: int) -> tuple[Lent | None, int | None]:
    """What process `pid`, which is dying but not dead, has lent, and the last wait status that it got."""
    try:
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None, None
    try:
        data = os.pread(descriptor, len(_RECORD), address)
    except OSError:
        return None, None
    finally:
        os.close(descriptor)
    if len(data) < len(_RECORD):
        return None, None
    (status,) = struct.unpack_from("=i", data, _STATUS_AT)
    tid, count, shadowed = _HEAD.unpack_from(data)
    if not tid or not 0 < count <= _MOST:
        return None, status
    return Lent(tid, struct.unpack_from(f"={count}Q", data, _HEAD.size), shadowed), status
