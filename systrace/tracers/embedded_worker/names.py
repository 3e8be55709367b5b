"""Numbers to names: system calls per architecture, errors, signals.

System-call tables come from python-ptrace (x86_64, i386, aarch64); it has none for 32-bit ARM. Calls newer than it have
one number everywhere.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass

from ptrace.signames import SIGNAMES
from ptrace.syscall.linux.aarch64 import SYSCALL_NAMES as AARCH64_NAMES
from ptrace.syscall.linux.i386 import SYSCALL_NAMES as I386_NAMES
from ptrace.syscall.linux.x86_64 import SYSCALL_NAMES as X86_64_NAMES

# From 424 on a call has the same number on every architecture (include/uapi/asm-generic/unistd.h, Linux 6.12).
_NEWER = (
    "pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount "
    "fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr "
    "quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease "
    "futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue "
    "statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal"
)
NEWER = {424 + index: name for index, name in enumerate(_NEWER.split())}

# i386 socketcall(2) sub-calls, linux/net.h.
_SOCKETCALL = (
    "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown "
    "setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
)
SOCKETCALL = dict(enumerate(_SOCKETCALL.split(), 1))
# What python-ptrace's i386 table lacks or calls differently, asm/unistd_32.h.
_I386_320 = (
    "utimensat signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime signalfd4 eventfd2 "
    "epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init "
    "fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv "
    "process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create bpf "
    "execveat socket socketpair bind connect listen accept4 getsockopt setsockopt getsockname getpeername sendto "
    "sendmsg recvfrom recvmsg shutdown userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect "
    "pkey_alloc pkey_free statx arch_prctl io_pgetevents rseq"
)
_I386_FIXES = {
    82: "old_select",
    142: "_newselect",
    **dict(enumerate(_I386_320.split(), 320)),
    401: "msgrcv",
    403: "clock_gettime64",
    407: "clock_nanosleep_time64",
    408: "timer_gettime64",
    409: "timer_settime64",
    411: "timerfd_settime64",
    413: "pselect6_time64",
    414: "ppoll_time64",
    417: "recvmmsg_time64",
    419: "mq_timedreceive_time64",
    420: "semtimedop_time64",
    421: "rt_sigtimedwait_time64",
    422: "futex_time64",
}
# 32-bit ARM counts as i386 does up to 216 and from 403 on (arch/arm/tools/syscall.tbl); between them, what is decoded.
_ARM_RUNS = {
    221: "fcntl64", 224: "gettid", 238: "tkill sendfile64 futex", 248: "exit_group",
    250: "epoll_create epoll_ctl epoll_wait", 257: "timer_create timer_settime", 261: "timer_delete",
    265: "clock_nanosleep", 268: "tgkill", 277: "mq_timedreceive",
    280: "waitid socket bind connect listen accept getsockname getpeername socketpair send sendto recv recvfrom shutdown "
         "setsockopt getsockopt sendmsg recvmsg semop",
    302: "msgrcv", 312: "semtimedop", 316: "inotify_init", 322: "openat", 335: "pselect6 ppoll unshare",
    340: "splice", 342: "tee", 346: "epoll_pwait", 349: "signalfd timerfd_create eventfd", 353: "timerfd_settime",
    355: "signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo",
    365: "recvmmsg accept4", 374: "sendmmsg setns", 385: "memfd_create", 387: "execveat userfaultfd",
    391: "copy_file_range preadv2 pwritev2",
}  # fmt: skip
_OLD_NAMES = {"select": "_newselect", "wait4": "waitpid", "rt_sigreturn": "sigreturn"}
_X32_BIT = 0x40000000


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
        if name is None and self.name == "x86_64" and number & _X32_BIT:
            x32 = self.names.get(number & ~_X32_BIT)
            return f"{x32}#64" if x32 else f"syscall_0x{number:x}"
        return name or f"syscall_0x{number:x}"

    def numbers(self, wanted: frozenset[str]) -> list[int]:
        """The numbers of the wanted names, ascending; names that this architecture lacks are left out.

        A 32-bit program asked for `ppoll` may use `ppoll_time64`, or make all socket calls through `socketcall`.
        """
        if self.word == 4:
            wanted |= {f"{name}_time64" for name in wanted} | {f"{name}64" for name in wanted}
            wanted |= {other for name, other in _OLD_NAMES.items() if name in wanted}
            wanted |= {"socketcall"} if wanted & set(SOCKETCALL.values()) else frozenset()
        return sorted(number for number, name in self.names.items() if name in wanted)


def _table(base: dict[int, str], *more: dict[int, str]) -> dict[int, str]:
    table = {number: name for number, name in base.items() if number < 424}
    for extra in more:
        table.update(extra)
    return table | NEWER


def _arm_table() -> dict[int, str]:
    shared = {number: name for number, name in I386.names.items() if number < 217 or number > 402}
    runs = (enumerate(names.split(), first) for first, names in _ARM_RUNS.items())
    return shared | {number: name for run in runs for number, name in run}


_X86_64_FIXES = {283: "timerfd_create"}

X86_64 = Abi("x86_64", 0xC000003E, 8, _table(X86_64_NAMES, _X86_64_FIXES))
I386 = Abi("i386", 0x40000003, 4, _table(I386_NAMES, _I386_FIXES))
AARCH64 = Abi("aarch64", 0xC00000B7, 8, _table(AARCH64_NAMES))
ARM = Abi("arm", 0x40000028, 4, _arm_table())  # 32-bit programs on aarch64

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
