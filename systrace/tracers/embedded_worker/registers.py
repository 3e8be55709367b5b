"""A stopped tracee's general registers, by PTRACE_GETREGSET: what a system call needs of them, per architecture.

The kernel hands out 64-bit words in the order of `struct user_regs_struct` (arch/x86/include/asm/user_64.h) or
`struct user_pt_regs` (arch/arm64/include/uapi/asm/ptrace.h); a 32-bit program's set has another size.
"""

from __future__ import annotations

import ctypes
import struct

from systrace.dataclass import dataclass
from systrace.tracers.embedded_worker import requests

Registers = list[int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of registers among the words; `instruction` is the one that enters the kernel, 2 or 4 bytes."""

    words: int
    counter: int  # of the next instruction
    number: int
    arguments: tuple[int, ...]
    instruction: bytes
    restart: int | None  # where the kernel keeps the number of a call that it may restart
    shadowed: tuple[int, ...]  # show something else at the beginning and end of calls, and are not to be put back


LAYOUTS = {
    # r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base ...
    "x86_64": Layout(27, 16, 10, (14, 13, 12, 7, 9, 8), b"\x0f\x05", 15, ()),
    # x0 ... x30 sp pc pstate; at a syscall stop x7 says which one it is (arch/arm64/kernel/ptrace.c, report_syscall)
    "aarch64": Layout(34, 32, 8, (0, 1, 2, 3, 4, 5), b"\x01\x00\x00\xd4", None, (7,)),
}

_BUFFER = ctypes.create_string_buffer(512)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_VECTOR = _Iovec()


def get(tid: int, layout: Layout) -> Registers | None:
    """All words; None when the tracee is gone, or runs a 32-bit program."""
    _VECTOR.base, _VECTOR.length = ctypes.addressof(_BUFFER), len(_BUFFER)
    if not requests.register_set(requests.GETREGSET, tid, ctypes.addressof(_VECTOR)):
        return None
    if _VECTOR.length != layout.words * 8:
        return None
    return list(struct.unpack_from(f"={layout.words}Q", _BUFFER))


def put(tid: int, registers: Registers) -> bool:
    """Set them all; False when the tracee is gone."""
    struct.pack_into(f"={len(registers)}Q", _BUFFER, 0, *registers)
    _VECTOR.base, _VECTOR.length = ctypes.addressof(_BUFFER), len(registers) * 8
    return requests.register_set(requests.SETREGSET, tid, ctypes.addressof(_VECTOR))


def put_back(tid: int, saved: Registers, layout: Layout) -> bool:
    """Set them to what they were at another stop, but for those that did not show their value there."""
    now = get(tid, layout) if layout.shadowed else None
    if now is not None:
        saved = saved.copy()
        for index in layout.shadowed:
            saved[index] = now[index]
    return put(tid, saved)


def for_call(saved: Registers, layout: Layout, number: int, arguments: tuple[int, ...]) -> Registers:
    """The same, about to make system call `number` once more with the instruction that it has just come from."""
    changed = saved.copy()
    changed[layout.counter] = saved[layout.counter] - len(layout.instruction)
    changed[layout.number] = number
    if layout.restart is not None:
        changed[layout.restart] = 0xFFFFFFFF_FFFFFFFF  # no call to be restarted, should a signal come now
    for index, value in zip(layout.arguments, arguments, strict=False):
        changed[index] = value
    return changed
