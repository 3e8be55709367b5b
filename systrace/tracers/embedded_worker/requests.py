"""Raw ptrace(2) requests: python-ptrace's binding, and the newer requests that it does not name (linux/ptrace.h)."""

from __future__ import annotations

import ctypes
import errno
import signal
import struct

from ptrace.binding.func import (
    PTRACE_CONT,
    PTRACE_DETACH,
    PTRACE_EVENT_CLONE,
    PTRACE_EVENT_EXEC,
    PTRACE_EVENT_FORK,
    PTRACE_EVENT_VFORK,
    PTRACE_GETSIGINFO,
    PTRACE_O_TRACECLONE,
    PTRACE_O_TRACEEXEC,
    PTRACE_O_TRACEFORK,
    PTRACE_O_TRACESYSGOOD,
    PTRACE_O_TRACEVFORK,
    PTRACE_SYSCALL,
    ptrace,
)
from ptrace.ctypes_libc import libc

from systrace.tracers.embedded_worker.lending import STATUS

SEIZE = 0x4206
SETOPTIONS = 0x4200
INTERRUPT = 0x4207
LISTEN = 0x4208
GET_SYSCALL_INFO = 0x420E
GETEVENTMSG = 0x4201
GETREGSET = 0x4204
SETREGSET = 0x4205
_NT_PRSTATUS = 1  # the general registers, linux/elf.h
CONT: int = PTRACE_CONT
SYSCALL: int = PTRACE_SYSCALL
DETACH: int = PTRACE_DETACH

EVENT_FORK: int = PTRACE_EVENT_FORK
EVENT_VFORK: int = PTRACE_EVENT_VFORK
EVENT_CLONE: int = PTRACE_EVENT_CLONE
EVENT_EXEC: int = PTRACE_EVENT_EXEC
EVENT_SECCOMP = 7
EVENT_STOP = 128

O_TRACESECCOMP = 1 << EVENT_SECCOMP
O_EXITKILL = 1 << 20
O_FOLLOW: int = (
    PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC
)

OP_ENTRY, OP_EXIT = 1, 2
SYSCALL_STOP = signal.SIGTRAP | 0x80  # as the stop's signal, with PTRACE_O_TRACESYSGOOD
AT_SYSCALL: int = SYSCALL_STOP << 8 | 0x7F  # the whole wait statuses of the two stops that nearly all are
AT_SECCOMP: int = EVENT_SECCOMP << 16 | signal.SIGTRAP << 8 | 0x7F
WALL = 0x40000000  # __WALL: threads and processes alike

_INFO = ctypes.create_string_buffer(96)
_ENTRY = struct.Struct("=B3xI16x7Q")
_EXIT = struct.Struct("=B3xI16xq")
_SIGINFO = ctypes.create_string_buffer(128)
_MESSAGE = ctypes.c_ulong()
# Arguments as wide as the call takes them, made once: `argtypes` would double the cost of each request.
_NONE = ctypes.c_ulong(0)
_INFO_SIZE = ctypes.c_ulong(len(_INFO))
_INFO_AT, _SIGINFO_AT, _MESSAGE_AT = (ctypes.c_void_p(ctypes.addressof(each)) for each in (_INFO, _SIGINFO, _MESSAGE))
_STATUS_AT = ctypes.byref(STATUS)

# python-ptrace's own wrapper formats an error text each time; on the two requests of every stop that is the main cost.
_raw = libc["ptrace"]  # by item: a function object of our own, its types are not shared
_waitpid = libc["waitpid"]


# A call as it enters the kernel: OP_*, AUDIT_ARCH_*, the architecture's own number, the six arguments.
Entry = tuple[int, int, int, tuple[int, ...]]


def wait() -> tuple[int, int]:
    """(thread, status) of the next stop or exit; (0, 0) when a signal interrupted the wait, (-1, 0) without children.

    Not `os.waitpid`: that one starts over after a signal, and the loop has to look at its flags then.
    """
    tid: int = _waitpid(-1, _STATUS_AT, WALL)
    if tid > 0:
        return tid, STATUS.value
    return (0, 0) if ctypes.get_errno() == errno.EINTR else (-1, 0)


def resume(request: int, tid: int, signum: int = 0) -> bool:
    """Restart a stopped tracee with CONT, SYSCALL, LISTEN or DETACH; False when it is gone (killed meanwhile)."""
    return bool(_raw(request, tid, _NONE, ctypes.c_ulong(signum) if signum else _NONE) != -1)


def syscall_entry(tid: int) -> Entry | None:
    """What PTRACE_GET_SYSCALL_INFO (Linux 5.3) says at an entry or seccomp stop; None when the tracee is gone."""
    if _raw(GET_SYSCALL_INFO, tid, _INFO_SIZE, _INFO_AT) <= 0:
        return None
    fields = _ENTRY.unpack_from(_INFO)
    return fields[0], fields[1], fields[2], fields[3:]


def syscall_exit(tid: int) -> tuple[int, int] | None:
    """(op, return value, negative errno on failure) at a syscall stop; None when the tracee is gone."""
    if _raw(GET_SYSCALL_INFO, tid, _INFO_SIZE, _INFO_AT) <= 0:
        return None
    op, _, value = _EXIT.unpack_from(_INFO)
    return op, value


def event_message(tid: int) -> int:
    """PTRACE_GETEVENTMSG: the new child, or the former thread id at an exec; 0 when the tracee is gone."""
    if _raw(GETEVENTMSG, tid, _NONE, _MESSAGE_AT) == -1:
        return 0
    return _MESSAGE.value


def siginfo(tid: int) -> bytes | None:
    """The raw siginfo_t of a signal-delivery stop (128 bytes); None at a group-stop or when the tracee is gone."""
    if _raw(PTRACE_GETSIGINFO, tid, _NONE, _SIGINFO_AT) == -1:
        return None
    return _SIGINFO.raw


def register_set(request: int, tid: int, vector: int) -> bool:
    """GETREGSET or SETREGSET of the general registers; `vector` is the address of a struct iovec."""
    return bool(_raw(request, tid, ctypes.c_ulong(_NT_PRSTATUS), ctypes.c_void_p(vector)) != -1)


def seize(tid: int, options: int) -> None:
    """PTRACE_SEIZE: attach without a stop.

    Raises:
        ptrace.PtraceError: refused or gone; `.errno` says which (ptrace(2)).
    """
    ptrace(SEIZE, tid, 0, options)


def set_options(tid: int, options: int) -> bool:
    """Change the PTRACE_O_* of a stopped tracee; what it makes from now on inherits them. False when it is gone."""
    return bool(_raw(SETOPTIONS, tid, _NONE, ctypes.c_ulong(options)) != -1)


def interrupt(tid: int) -> bool:
    """Ask for a stop (PTRACE_INTERRUPT); False when the tracee is gone."""
    return bool(_raw(INTERRUPT, tid, _NONE, _NONE) != -1)
