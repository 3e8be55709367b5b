"""Which system calls there are, sorted by what they do: the one table; everybody who must know a call's kind asks here.

Names are strace's, those of 32-bit programs (`_time64`, `_newselect`) included. Numbers are in `calls.numbers`, errors by
their meaning in `calls.errnos`. What a call's arguments mean is a handler's business (`parser.syscalls`): a class that
only one handler knows does not belong here.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def either(names: frozenset[str]) -> bytes:
    """One of them, as part of a regular expression."""
    return "|".join(sorted(names)).encode()


# Transfers
ACCEPTS = _names("accept accept4")
RECEIVES = _names("recv recvfrom recvmsg recvmmsg recvmmsg_time64")
SENDS = _names("send sendto sendmsg sendmmsg")
READS = RECEIVES | _names("read pread64 readv preadv preadv2")
SENDFILES = _names("sendfile sendfile64")
WRITES = SENDS | SENDFILES | _names("write pwrite64 writev pwritev pwritev2")
INCOMING = READS | ACCEPTS  # SO_RCVTIMEO limits these
COUNTED_WRITES = _names("write writev send sendto")  # strace prints the count behind what is written

# Waits
POLLS = _names("poll ppoll ppoll_time64")
SELECTS = _names("select _newselect pselect6 pselect6_time64")
EPOLLS = _names("epoll_wait epoll_pwait epoll_pwait2")
LOOPS = POLLS | SELECTS | EPOLLS  # for one of several descriptors: what event loops are made of
EPOLL_SETS = _names("epoll_create epoll_create1 epoll_ctl")
SLEEPS = _names("nanosleep clock_nanosleep clock_nanosleep_time64")
FUTEXES = _names("futex futex_time64 futex_wait futex_waitv")
CHILDREN = _names("wait4 waitpid waitid")
SIGNALS = _names("pause rt_sigsuspend sigsuspend rt_sigtimedwait rt_sigtimedwait_time64")
LOCKS = _names("flock fcntl fcntl64")
SEMAPHORES = _names("semop semtimedop semtimedop_time64")
QUEUES = _names("msgrcv msgsnd mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64")
TIMERS = _names("alarm setitimer")
DISK = _names("fsync fdatasync sync syncfs sync_file_range msync")
# EINTR after a stop, handler or not: signal(7), and measured on Linux 6.18. The kernel restarts some of its list since:
# futex (2.6.22), msgrcv and msgsnd, reads of inotify (3.8), io_pgetevents.
NEVER_RESTARTED = EPOLLS | SEMAPHORES | _names("io_getevents io_uring_enter rt_sigtimedwait rt_sigtimedwait_time64")
INTERRUPTIBLE = NEVER_RESTARTED | INCOMING | WRITES | {"connect"}  # the latter with SO_RCVTIMEO or SO_SNDTIMEO
BLOCKING = READS | WRITES | ACCEPTS | LOOPS | SLEEPS | FUTEXES | CHILDREN | LOCKS | {"connect", "restart_syscall"}

# Processes
FORKS = _names("fork vfork clone clone3")
EXECS = _names("execve execveat")
EXITS = _names("exit exit_group")
KILLS = _names("kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal")
OWN_NUMBERS = _names("getpid gettid")
LIVES = FORKS | EXECS | EXITS  # without these, processes cannot be told apart
PROCESS = LIVES | CHILDREN | KILLS | _names("pidfd_open arch_prctl")  # strace's %process

# Descriptors
SOCKETS = _names("socket socketpair")
PIPES = _names("pipe pipe2")
DUPLICATES = _names("dup dup2 dup3")
OPENS = _names("open openat openat2 creat")
RENAMES = _names("rename renameat renameat2")
OF_FILES = _names("read write close fcntl")  # what programs call most on a file that is open
EVENTS = _names("eventfd eventfd2")
SOCKET_NAMES = _names("getsockname getpeername")
SOCKET_OPTIONS = SOCKET_NAMES | _names("getsockopt setsockopt")
NETWORK = (  # strace's %network
    SOCKETS | ACCEPTS | RECEIVES | SENDS | SOCKET_OPTIONS | _names("bind listen connect shutdown")
)
WITH_ADDRESS = ACCEPTS | _names("connect sendto recvfrom sendmsg recvmsg getpeername")
MAKERS = SOCKETS | ACCEPTS | PIPES | DUPLICATES | OPENS | {"fcntl", "recvmsg"}  # what descriptors of interest come from
CLOSERS = _names("close dup2 dup3")  # what takes a number away from what it stood for
PATH_FIRST = _names(
    "open creat stat lstat stat64 lstat64 access execve unlink mkdir rmdir rename readlink chdir statfs"
)
PATH_SECOND = _names(  # behind the descriptor of a folder
    "openat openat2 newfstatat fstatat64 statx faccessat faccessat2 unlinkat mkdirat readlinkat execveat"
)
PATHS = PATH_FIRST | PATH_SECOND
# Calls whose first argument is a descriptor, be it a folder's: strace's %desc and %network.
ON_DESCRIPTOR = (
    (READS | WRITES | EPOLLS | DUPLICATES | LOCKS | NETWORK | PATH_SECOND | {"fsync", "fdatasync", "syncfs"}) - SOCKETS
) | _names(
    "close close_range copy_file_range epoll_ctl fadvise64 fallocate fchdir fchmod fchmodat fchown fchown32 fchownat "
    "fgetxattr flistxattr fremovexattr fsconfig fsetxattr fsmount fstat fstat64 fstatfs fstatfs64 ftruncate ftruncate64 "
    "getdents getdents64 inotify_add_watch inotify_rm_watch io_uring_enter io_uring_register ioctl linkat lseek _llseek "
    "mknodat name_to_handle_at open_by_handle_at pidfd_getfd pidfd_send_signal readahead renameat renameat2 signalfd "
    "signalfd4 splice symlinkat sync_file_range tee timerfd_gettime timerfd_settime utimensat vmsplice"
)
# What a tracer is asked for: all that `parser.syscalls` has a handler for (a test holds the two together). The handlers
# themselves would take longer to import than a job should wait for its start.
FOLLOWED = (
    NETWORK | MAKERS | LOOPS | EPOLL_SETS | SLEEPS | FUTEXES | CHILDREN | SIGNALS | LOCKS | SEMAPHORES | QUEUES | TIMERS
    | EVENTS | LIVES | SENDFILES | COUNTED_WRITES | RENAMES
) | _names(
    "read readv preadv2 pwritev2 copy_file_range splice tee close close_range ioctl memfd_create "
    "signalfd signalfd4 timerfd_create timer_settime timer_settime64 inotify_init inotify_init1 io_uring_setup "
    "io_uring_enter pidfd_open pidfd_getfd pidfd_send_signal clone2 _exit kill tkill tgkill rt_sigqueueinfo rt_sigreturn "
    "sigreturn sigtimedwait restart_syscall"
)  # fmt: skip
# These never wait: a line of theirs without an end was cut.
AT_ONCE = (NETWORK - ACCEPTS - RECEIVES - SENDS - {"connect"}) | DUPLICATES | PIPES | EVENTS | EPOLL_SETS | TIMERS
AT_ONCE |= OWN_NUMBERS | {"kill", "tgkill"}
