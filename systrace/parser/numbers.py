"""Names of calls that an old strace printed as numbers (`syscall_288`, `syscall_0x1b3`): x86-64, from 221 on.

Sources: arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl. Numbers from 424 on are the same on every
architecture; those of i386 between 335 and 423 mean nothing on x86-64, so they need no look at the personality.
"""

from __future__ import annotations

_FROM_221 = (
    "fadvise64 timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime "
    "clock_getres clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes vserver mbind set_mempolicy "
    "get_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid add_key "
    "request_key keyctl ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch migrate_pages openat "
    "mkdirat mknodat fchownat futimesat newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat "
    "pselect6 ppoll unshare set_robust_list get_robust_list splice tee sync_file_range vmsplice move_pages utimensat "
    "epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 signalfd4 eventfd2 "
    "epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init "
    "fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns getcpu "
    "process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom "
    "memfd_create kexec_file_load bpf execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 "
    "pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq"
).split()
_FROM_424 = (
    "pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount "
    "fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr "
    "quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease "
    "futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue "
    "statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules"
).split()
_FROM_359_I386 = (
    "socket socketpair bind connect listen accept4 getsockopt setsockopt getsockname getpeername sendto sendmsg "
    "recvfrom recvmsg shutdown"
).split()
_I386 = {
    337: "recvmmsg", 345: "sendmmsg", 407: "clock_nanosleep_time64", 413: "pselect6_time64", 414: "ppoll_time64",
    417: "recvmmsg_time64", 420: "semtimedop_time64", 421: "rt_sigtimedwait_time64", 422: "futex_time64",
}  # fmt: skip
NAMES: dict[int, str] = {
    **_I386,
    **dict(enumerate(_FROM_359_I386, 359)),
    **dict(enumerate(_FROM_221, 221)),
    **dict(enumerate(_FROM_424, 424)),
}


def name_of(printed: str) -> str:
    """The call's name for `syscall_288` or `syscall_0x1b3`; anything else, and unknown numbers, as printed."""
    if not printed.startswith("syscall_"):
        return printed
    digits = printed[8:]
    try:
        return NAMES.get(int(digits, 16 if digits.startswith("0x") else 10), printed)
    except ValueError:
        return printed
