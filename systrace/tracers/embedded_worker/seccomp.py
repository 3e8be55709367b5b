"""The filter that stops a started job only at the calls that are wanted (seccomp(2), SECCOMP_RET_TRACE).

All other calls run at full speed. A filter cannot be taken off again, and without a tracer its RET_TRACE calls fail
with ENOSYS: that is why jobs with a filter are never let go, and are killed with their tracer where nobody may take
them over (`capture.guard`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Sequence

from ptrace.ctypes_libc import libc

from systrace.tracers.embedded_worker.names import Abi

NUMBERS = {"x86_64": 317, "aarch64": 277}  # of seccomp(2) itself
SET_MODE_FILTER = 1
FLAG_TSYNC = 1
# Linux 4.17: before 5.16 a filter without it also switches mitigations on that slow the job down (spec_store_bypass,
# spectre_v2). They are for sandboxes; the job shall run as it runs without us.
FLAG_SPEC_ALLOW = 4
RET_ALLOW, RET_TRACE = 0x7FFF0000, 0x7FF00000
_PR_SET_NO_NEW_PRIVS = 38
_LOAD, _JEQ, _JGE, _JUMP, _RETURN = 0x20, 0x15, 0x35, 0x05, 0x06
_NR, _ARCH, _ARG0 = 0, 4, 16  # offsets in struct seccomp_data, little endian
_SPAN = 250  # jumps are 8 bits wide

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, k


def _match(numbers: Sequence[int]) -> list[Instruction]:
    """Trace the numbers; the accumulator holds the number. Consecutive numbers share a range test."""
    return [instruction for first, last in _ranges(numbers) for instruction in _in_range(first, last)]


def _in_range(first: int, last: int) -> list[Instruction]:
    if first == last:
        return [(_JEQ, 0, 1, first), (_RETURN, 0, 0, RET_TRACE)]
    return [(_JGE, 0, 2, first), (_JGE, 1, 0, last + 1), (_RETURN, 0, 0, RET_TRACE)]


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


Wanted = Sequence[tuple[Abi, Sequence[int]]]


def program(wanted: Wanted, narrowed: Wanted = (), descriptors: Sequence[tuple[int, int]] = ()) -> bytes:
    """The BPF program (struct sock_filter[]) that stops at the given numbers of each calling convention.

    `narrowed` are calls whose first argument is a descriptor: they stop only in one of the ranges `descriptors`, ends
    included. The number is looked at before any argument: so the kernel can remember that a call is always let
    through (Linux 5.11).
    """
    test: list[Instruction] = [(_LOAD, 0, 0, _ARG0)]
    for first, last in descriptors:
        test += _in_range(first, last)
    test.append((_RETURN, 0, 0, RET_ALLOW))
    code: list[Instruction] = [(_LOAD, 0, 0, _ARCH)]
    for abi in {abi: None for abi, _ in (*wanted, *narrowed)}:
        body = [
            (_LOAD, 0, 0, _NR),
            *_match([number for owner, numbers in wanted if owner is abi for number in numbers]),
        ]
        for number in [number for owner, numbers in narrowed if owner is abi for number in numbers]:
            body += [(_JEQ, 0, len(test), number), *test]
        body.append((_RETURN, 0, 0, RET_ALLOW))
        if len(body) <= _SPAN:
            code += [(_JEQ, 0, len(body), abi.audit), *body]
        else:
            code += [(_JEQ, 1, 0, abi.audit), (_JUMP, 0, 0, len(body)), *body]
    return assemble([*code, (_RETURN, 0, 0, RET_ALLOW)])


def assemble(code: Iterable[Instruction]) -> bytes:
    """struct sock_filter[] of the instructions."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


class _Fprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(code: bytes, number: int) -> None:
    """Put the filter on this thread, by system call `number`.

    Without CAP_SYS_ADMIN the kernel wants "no new privileges" first; with it that is left alone, because it would take
    the rights of set-uid programs away.

    Raises:
        OSError: the kernel refuses.
    """
    buffer = ctypes.create_string_buffer(code, len(code))
    fprog = _Fprog(len(code) // 8, ctypes.addressof(buffer))
    if libc.syscall(number, SET_MODE_FILTER, FLAG_SPEC_ALLOW, ctypes.byref(fprog)) == 0:
        return
    if ctypes.get_errno() == errno.EACCES:
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if libc.syscall(number, SET_MODE_FILTER, FLAG_SPEC_ALLOW, ctypes.byref(fprog)) == 0:
            return
    raise OSError(ctypes.get_errno(), "seccomp(2)")


def usable(number: int) -> bool:
    """Whether the kernel lets us install a filter: tried in a child, because there is no way back."""
    child = os.fork()
    if child == 0:
        try:
            install(program([]), number)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0
