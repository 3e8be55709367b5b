"""Numbers to names: system calls per calling convention, errors, signals."""

from __future__ import annotations

import errno
import os
import sys

from ptrace.signames import SIGNAMES

from systrace.calls.numbers import ELDERS, NAMES, SOCKETCALLS, X32_BIT
from systrace.dataclass import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Abi:
    """One calling convention of the kernel."""

    name: str
    audit: int  # AUDIT_ARCH_*, linux/audit.h
    word: int  # bytes of a long and of a pointer
    names: dict[int, str]

    def name_of(self, number: int) -> str:
        """The call's name, or strace's `syscall_0x...` for a number that nobody knows."""
        name = self.names.get(number)
        if name is None and self.name == "x86_64" and number & X32_BIT:
            x32 = self.names.get(number & ~X32_BIT)
            return f"{x32}#64" if x32 else f"syscall_0x{number:x}"
        return name or f"syscall_0x{number:x}"

    def numbers(self, wanted: frozenset[str]) -> list[int]:
        """The numbers of the wanted names, ascending; names that this architecture lacks are left out.

        A 32-bit program asked for `ppoll` may use `ppoll_time64`, or make all socket calls through `socketcall`.
        """
        if self.word == 4:
            wanted |= {f"{name}_time64" for name in wanted} | {f"{name}64" for name in wanted}
            wanted |= {other for name, other in ELDERS.items() if name in wanted}
            wanted |= {"socketcall"} if wanted & set(SOCKETCALLS.values()) else frozenset()
        return sorted(number for number, name in self.names.items() if name in wanted)


_OLD_SELECT = {82: "old_select"}  # not to be decoded as select(2): its one argument points to the five

X86_64 = Abi("x86_64", 0xC000003E, 8, NAMES["x86_64"])
I386 = Abi("i386", 0x40000003, 4, NAMES["i386"] | _OLD_SELECT)
AARCH64 = Abi("aarch64", 0xC00000B7, 8, NAMES["aarch64"])
ARM = Abi("arm", 0x40000028, 4, NAMES["arm"] | _OLD_SELECT)  # 32-bit programs on aarch64

ABIS = {abi.audit: abi for abi in (X86_64, I386, AARCH64, ARM)}


def native(machine: str | None = None) -> list[Abi]:
    """The conventions of this machine, the native one first.

    Raises:
        LookupError: the embedded tracer does not know this architecture.
    """
    machine = machine or os.uname().machine
    if machine == "x86_64":
        return [X86_64, I386]
    if machine == "aarch64" and sys.byteorder == "little":
        return [AARCH64, ARM]
    raise LookupError(machine)


# Values that the kernel keeps to itself: errno above 511, include/linux/errno.h; texts are strace's.
_RESTART = {
    512: "ERESTARTSYS (To be restarted if SA_RESTART is set)",
    513: "ERESTARTNOINTR (To be restarted)",
    514: "ERESTARTNOHAND (To be restarted if no handler)",
    516: "ERESTART_RESTARTBLOCK (Interrupted by signal)",
}
_PREFERRED = {errno.EAGAIN: "EAGAIN", errno.EDEADLK: "EDEADLK", errno.EOPNOTSUPP: "EOPNOTSUPP"}
_FAILURES = {
    number: f"-1 {_PREFERRED.get(number, name)} ({os.strerror(number)})" for number, name in errno.errorcode.items()
}


def failure(value: int) -> str:
    """The result text of a call that returned the negative `value`: `-1 ECONNREFUSED (...)`, `? ERESTARTSYS (...)`."""
    text = _FAILURES.get(-value)
    if text is not None:
        return text
    restart = _RESTART.get(-value)
    return f"? {restart}" if restart else f"-1 (errno {-value})"


def errno_name(number: int) -> str:
    """ECONNREFUSED for 111; the number for one without a name."""
    return _PREFERRED.get(number) or errno.errorcode.get(number, str(number))


_RTMIN = 32


def signal_name(number: int) -> str:
    """SIGTERM for 15, SIGRT_2 for 34 as strace writes it, the number for one out of range."""
    if _RTMIN <= number <= 64:
        return "SIGRTMIN" if number == _RTMIN else f"SIGRT_{number - _RTMIN}"
    name = SIGNAMES.get(number)
    if name is None:
        return str(number)
    return "SIGIO" if name == "SIGPOLL" else str(name)
