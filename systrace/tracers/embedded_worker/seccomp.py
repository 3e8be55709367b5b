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
_LOAD, _JEQ, _JGE, _JSET, _JUMP, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x05, 0x06
_NR, _ARCH, _ARG0 = 0, 4, 16  # offsets in struct seccomp_data, little endian
_SPAN = 250  # jumps are 8 bits wide

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, k


def _match(numbers: Sequence[int]) -> list[Instruction]:
    """Trace the numbers; the accumulator holds the number. Consecutive numbers share a range test."""
    return [instruction for first, last in ranges(numbers) for instruction in _in_range(first, last)]


def _in_range(first: int, last: int) -> list[Instruction]:
    if first == last:
        return [(_JEQ, 0, 1, first), (_RETURN, 0, 0, RET_TRACE)]
    return [(_JGE, 0, 2, first), (_JGE, 1, 0, last + 1), (_RETURN, 0, 0, RET_TRACE)]


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """What follows each other, as one: ends included."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


Wanted = Sequence[tuple[Abi, Sequence[int]]]
Test = list[Instruction]  # traces, or falls through


def on_descriptors(ranges: Sequence[tuple[int, int]]) -> Test:
    """The first argument is in one of the ranges, ends included."""
    tests = [instruction for first, last in ranges for instruction in _in_range(first, last)]
    return [(_LOAD, 0, 0, _ARG0), *tests] if tests else []


def with_bits(argument: int, mask: int) -> Test:
    """Any of these bits is set in the low half of an argument."""
    return [(_LOAD, 0, 0, _ARG0 + 8 * argument), (_JSET, 0, 1, mask), (_RETURN, 0, 0, RET_TRACE)]


def one_of(argument: int, values: Iterable[int]) -> Test:
    """The low half of an argument is one of the values."""
    return [(_LOAD, 0, 0, _ARG0 + 8 * argument), *_match(list(values))]


def shorter_than(fd: int, count: int) -> Test:
    """The first argument is `fd`, and the third, a size, is below `count`."""
    return [
        (_LOAD, 0, 0, _ARG0),
        (_JEQ, 0, 5, fd),
        (_LOAD, 0, 0, _ARG0 + 8 * 2 + 4),
        (_JEQ, 0, 3, 0),
        (_LOAD, 0, 0, _ARG0 + 8 * 2),
        (_JGE, 1, 0, count),
        (_RETURN, 0, 0, RET_TRACE),
    ]


def program(wanted: Wanted, narrowed: Sequence[tuple[Abi, Sequence[int], Test]] = ()) -> bytes:
    """The BPF program (struct sock_filter[]) that stops at the given numbers of each calling convention.

    `narrowed` are calls that stop only where a test of their arguments says so. The number is looked at before any
    argument: so the kernel can remember that a call is always let through (Linux 5.11).
    """
    code: list[Instruction] = [(_LOAD, 0, 0, _ARCH)]
    for abi in dict.fromkeys((*[each[0] for each in wanted], *[each[0] for each in narrowed])):
        body = [
            (_LOAD, 0, 0, _NR),
            *_match([number for owner, numbers in wanted if owner is abi for number in numbers]),
        ]
        for owner, numbers, test in narrowed:
            if owner is abi and numbers and test:
                body += _tested(numbers, [*test, (_RETURN, 0, 0, RET_ALLOW)])
        body.append((_RETURN, 0, 0, RET_ALLOW))
        if len(body) <= _SPAN:
            code += [(_JEQ, 0, len(body), abi.audit), *body]
        else:
            code += [(_JEQ, 1, 0, abi.audit), (_JUMP, 0, 0, len(body)), *body]
    return assemble([*code, (_RETURN, 0, 0, RET_ALLOW)])


def _tested(numbers: Sequence[int], test: Test) -> Test:
    """The test, for any of the numbers; the accumulator holds the number."""
    ordered = sorted(set(numbers))
    jumps: Test = []
    for left, number in zip(range(len(ordered) - 1, -1, -1), ordered, strict=True):
        jumps.append((_JEQ, left, 0 if left else len(test), number))
    return [*jumps, *test]


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
