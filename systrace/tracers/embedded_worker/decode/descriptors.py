"""Making, copying and closing descriptors of every kind, and their flags."""

from __future__ import annotations

from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.decode import (
    DECODERS,
    Format,
    address,
    descriptor,
    integer,
    new_descriptor,
    plain,
    size,
)
from systrace.tracers.embedded_worker.decode.connection import pair
from systrace.tracers.embedded_worker.decode.structures import path, signal_set
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.text import constant, flags, pointer, signed
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

_O_CLOEXEC = 0o2000000
_O_TMPFILE = 0o20000000
# O_DIRECTORY, O_NOFOLLOW and O_DIRECT have other bits on ARM (arch/arm64/include/uapi/asm/fcntl.h).
_ARMS = ("aarch64", "arm")
_SHARED_FLAGS = (
    (0o100, "O_CREAT"), (0o200, "O_EXCL"), (0o400, "O_NOCTTY"), (0o1000, "O_TRUNC"), (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"), (0o4010000, "O_SYNC"), (0o10000, "O_DSYNC"), (0o20000, "O_ASYNC"), (0o1000000, "O_NOATIME"),
    (_O_CLOEXEC, "O_CLOEXEC"), (0o10000000, "O_PATH"),
)  # fmt: skip
_X86_FLAGS = ((0o40000, "O_DIRECT"), (0o100000, "O_LARGEFILE"), (0o20200000, "O_TMPFILE"), (0o200000, "O_DIRECTORY"),
              (0o400000, "O_NOFOLLOW"))  # fmt: skip
_ARM_FLAGS = ((0o20040000, "O_TMPFILE"), (0o40000, "O_DIRECTORY"), (0o100000, "O_NOFOLLOW"), (0o200000, "O_DIRECT"),
              (0o400000, "O_LARGEFILE"))  # fmt: skip
_ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
_AT_FDCWD = -100


def open_flags(tracee: Tracee, value: int) -> str:
    """O_*: the access mode first."""
    names = _SHARED_FLAGS + (_ARM_FLAGS if tracee.abi.name in _ARMS else _X86_FLAGS)
    rest = value & 0xFFFFFFFF & ~3
    return _ACCESS[value & 3] + ("|" + flags(rest, names) if rest else "")


def _close(tracee: Tracee, args: Args) -> str:
    text = descriptor(tracee, args[0])
    tracee.files.closing(signed(args[0]))
    return text


def _close_leave(tracee: Tracee, args: Args, value: int) -> str:
    tracee.files.closed(signed(args[0]))
    return ""


def _is_file(tracee: Tracee, args: Args) -> bool:
    """A number that once was a socket's."""
    fd = signed(args[0])
    if not FileTable.narrowed or tracee.files.is_stream(tracee.tid, fd):
        return False
    return fd not in tracee.files.watched


_STDERR = 2


def _controls_file(tracee: Tracee, args: Args) -> bool:
    command = signed(args[1])
    standard = FileTable.narrowed and args[0] <= _STDERR  # a shell keeps them while they are redirected
    if standard and not tracee.files.is_socket(tracee.tid, args[0]):
        return command not in (*_DUPLICATES, *_LOCKS)
    return command not in _LOCKS and _is_file(tracee, args)


def _dup2(tracee: Tracee, args: Args) -> str:
    return f"{descriptor(tracee, args[0])}, {descriptor(tracee, args[1])}"


def _dup3(tracee: Tracee, args: Args) -> str:
    return f"{_dup2(tracee, args)}, {_cloexec(tracee, args[2])}"


def _cloexec(tracee: Tracee, value: int) -> str:
    direct = 0o200000 if tracee.abi.name in _ARMS else 0o40000
    return flags(value & 0xFFFFFFFF, ((_O_CLOEXEC, "O_CLOEXEC"), (0o4000, "O_NONBLOCK"), (direct, "O_DIRECT")), "O_???")


_RANGE_FLAGS = ((2, "CLOSE_RANGE_UNSHARE"), (4, "CLOSE_RANGE_CLOEXEC"))


def _close_range(_tracee: Tracee, args: Args) -> str:
    first, last = args[0] & 0xFFFFFFFF, args[1] & 0xFFFFFFFF
    return f"{first}, {last}, {flags(args[2] & 0xFFFFFFFF, _RANGE_FLAGS, 'CLOSE_RANGE_???')}"


def _closes_no_socket(tracee: Tracee, args: Args) -> bool:
    """Which of the others it closed is looked for later (`FileTable.look`)."""
    if not FileTable.narrowed or args[2]:
        return False
    return not tracee.coverage.overlaps(args[0] & 0xFFFFFFFF, args[1] & 0xFFFFFFFF)


def _close_range_leave(tracee: Tracee, args: Args, value: int) -> str:
    if value == 0 and not args[2] & 4:
        tracee.files.forget_range(args[0] & 0xFFFFFFFF, args[1] & 0xFFFFFFFF)
    return ""


def _none(_tracee: Tracee, _args: Args) -> str:
    return ""


def _pipe_leave(tracee: Tracee, args: Args, value: int) -> str:
    return pair(tracee, args[0], value)


def _pipe2_leave(tracee: Tracee, args: Args, value: int) -> str:
    return f"{pair(tracee, args[0], value)}, {_cloexec(tracee, args[1])}"


# fcntl(2): F_* from asm-generic/fcntl.h and linux/fcntl.h
_COMMANDS = {
    0: "F_DUPFD", 1: "F_GETFD", 2: "F_SETFD", 3: "F_GETFL", 4: "F_SETFL", 5: "F_GETLK", 6: "F_SETLK", 7: "F_SETLKW",
    8: "F_SETOWN", 9: "F_GETOWN", 10: "F_SETSIG", 11: "F_GETSIG", 12: "F_GETLK64", 13: "F_SETLK64", 14: "F_SETLKW64",
    15: "F_SETOWN_EX", 16: "F_GETOWN_EX", 36: "F_OFD_GETLK", 37: "F_OFD_SETLK", 38: "F_OFD_SETLKW", 1024: "F_SETLEASE",
    1025: "F_GETLEASE", 1026: "F_NOTIFY", 1030: "F_DUPFD_CLOEXEC", 1031: "F_SETPIPE_SZ", 1032: "F_GETPIPE_SZ",
    1033: "F_ADD_SEALS", 1034: "F_GET_SEALS",
}  # fmt: skip
_DUPLICATES = (0, 1030)
_WITHOUT_ARGUMENT = (1, 3, 9, 11, 1025, 1032, 1034)
_LOCKS = (5, 6, 7, 12, 13, 14, 36, 37, 38)
_LOCK_TYPES = {0: "F_RDLCK", 1: "F_WRLCK", 2: "F_UNLCK"}
_WHENCE = {0: "SEEK_SET", 1: "SEEK_CUR", 2: "SEEK_END"}


def _fcntl(tracee: Tracee, args: Args) -> str:
    command = signed(args[1])
    head = f"{descriptor(tracee, args[0])}, {constant(command, _COMMANDS, 'F_???')}"
    if command in _WITHOUT_ARGUMENT:
        return head
    if command == 2:
        return f"{head}, {flags(args[2] & 0xFFFFFFFF, ((1, 'FD_CLOEXEC'),), 'FD_???')}"
    if command == 4:
        return f"{head}, {open_flags(tracee, args[2])}"
    if command in _LOCKS:
        return f"{head}, {_lock(tracee, args[2])}"
    return f"{head}, {signed(args[2]) if command in (*_DUPLICATES, 8, 10, 1031) else hex(args[2])}"


def _lock(tracee: Tracee, at: int) -> str:
    data = memory.read(tracee.tid, at, 32) if at and tracee.abi.word == 8 else None
    if data is None:
        return pointer(at)
    kind, whence = (int.from_bytes(data[index : index + 2], "little") for index in (0, 2))
    start, length = (int.from_bytes(data[index : index + 8], "little", signed=True) for index in (8, 16))
    names = f"l_type={constant(kind, _LOCK_TYPES, 'F_???')}, l_whence={constant(whence, _WHENCE, 'SEEK_???')}"
    return f"{{{names}, l_start={start}, l_len={length}}}"


def _fcntl_result(tracee: Tracee, args: Args, value: int) -> str:
    command = signed(args[1])
    if command in _DUPLICATES:
        return new_descriptor(tracee, args, value)
    if command == 3:
        return f"{value and hex(value)} (flags {open_flags(tracee, value)})"
    if command == 1:
        return f"{value:#x} (flags FD_CLOEXEC)" if value & 1 else str(value)
    return str(value)


_IOCTLS = {
    0x5401: "TCGETS", 0x5402: "TCSETS", 0x5403: "TCSETSW", 0x540F: "TIOCGPGRP", 0x5410: "TIOCSPGRP",
    0x5413: "TIOCGWINSZ", 0x5414: "TIOCSWINSZ", 0x5411: "TIOCOUTQ", 0x541B: "FIONREAD", 0x5421: "FIONBIO",
    0x5450: "FIONCLEX", 0x5451: "FIOCLEX", 0x5452: "FIOASYNC", 0x8910: "SIOCGIFNAME", 0x8912: "SIOCGIFCONF",
    0x8913: "SIOCGIFFLAGS", 0x8915: "SIOCGIFADDR", 0x8927: "SIOCGIFHWADDR", 0x8933: "SIOCGIFINDEX",
}  # fmt: skip
_INTS = (0x5410, 0x5421, 0x5452)  # read before the call
_INTS_OUT = (0x5411, 0x541B, 0x540F)


def _int_at(tracee: Tracee, at: int) -> str:
    data = memory.read(tracee.tid, at, 4) if at else None
    return pointer(at) if data is None else f"[{int.from_bytes(data, 'little', signed=True)}]"


def _ioctl(tracee: Tracee, args: Args) -> str:
    request = args[1] & 0xFFFFFFFF
    head = f"{descriptor(tracee, args[0])}, {_IOCTLS.get(request) or hex(request)}"
    if request in (0x5450, 0x5451):
        return head
    return f"{head}, {_int_at(tracee, args[2])}" if request in _INTS else f"{head}, "


def _ioctl_leave(tracee: Tracee, args: Args, value: int) -> str:
    request = args[1] & 0xFFFFFFFF
    if request in _INTS or request in (0x5450, 0x5451):
        return ""
    return _int_at(tracee, args[2]) if request in _INTS_OUT and value >= 0 else pointer(args[2])


_FLOCK = ((1, "LOCK_SH"), (2, "LOCK_EX"), (4, "LOCK_NB"), (8, "LOCK_UN"))


def _flock(tracee: Tracee, args: Args) -> str:
    return f"{descriptor(tracee, args[0])}, {flags(args[1] & 0xFFFFFFFF, _FLOCK, 'LOCK_???')}"


def directory(tracee: Tracee, value: int) -> str:
    """The directory descriptor of an `...at` call."""
    return "AT_FDCWD" if signed(value) == _AT_FDCWD else descriptor(tracee, value)


def _open_tail(tracee: Tracee, flag_bits: int, mode: int) -> str:
    with_mode = flag_bits & 0o100 or flag_bits & _O_TMPFILE
    return open_flags(tracee, flag_bits) + (f", {f'0{mode & 0o7777:o}' if mode else '000'}" if with_mode else "")


def _open(tracee: Tracee, args: Args) -> str:
    return f"{path(tracee, args[0])}, {_open_tail(tracee, args[1], args[2])}"


def _openat(tracee: Tracee, args: Args) -> str:
    return f"{directory(tracee, args[0])}, {path(tracee, args[1])}, {_open_tail(tracee, args[2], args[3])}"


def _openat2(tracee: Tracee, args: Args) -> str:
    how = memory.read(tracee.tid, args[2], 24)
    text = pointer(args[2])
    if how is not None:
        flag_bits, mode, resolve = (int.from_bytes(how[at : at + 8], "little") for at in (0, 8, 16))
        text = f"{{flags={open_flags(tracee, flag_bits)}, mode={mode:#o}, resolve={resolve:#x}}}".replace("0o", "0")
    return f"{directory(tracee, args[0])}, {path(tracee, args[1])}, {text}, {args[3]}"


_EVENTFD = ((1, "EFD_SEMAPHORE"), (_O_CLOEXEC, "EFD_CLOEXEC"), (0o4000, "EFD_NONBLOCK"))
_TIMERFD = ((_O_CLOEXEC, "TFD_CLOEXEC"), (0o4000, "TFD_NONBLOCK"))
_SIGNALFD = ((_O_CLOEXEC, "SFD_CLOEXEC"), (0o4000, "SFD_NONBLOCK"))
_MEMFD = ((1, "MFD_CLOEXEC"), (2, "MFD_ALLOW_SEALING"))
_INOTIFY = ((_O_CLOEXEC, "IN_CLOEXEC"), (0o4000, "IN_NONBLOCK"))
CLOCKS = {0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 4: "CLOCK_MONOTONIC_RAW", 7: "CLOCK_BOOTTIME"}


def clock(_tracee: Tracee, value: int) -> str:
    """clockid_t."""
    return constant(signed(value), CLOCKS, "CLOCK_???")


def _flags_of(names: tuple[tuple[int, str], ...], unknown: str) -> Format:
    def form(_tracee: Tracee, value: int) -> str:
        return flags(value & 0xFFFFFFFF, names, unknown)

    return form


def _signal_set(tracee: Tracee, value: int) -> str:
    return signal_set(tracee, value)


DECODERS.add("close", Decoder(_close, _close_leave, skip=_is_file, blind=True))
DECODERS.add("close_range", Decoder(_close_range, _close_range_leave, skip=_closes_no_socket))
DECODERS.add("dup", Decoder(plain(descriptor), result=new_descriptor))
DECODERS.add("dup2", Decoder(_dup2, result=new_descriptor))
DECODERS.add("dup3", Decoder(_dup3, result=new_descriptor))
DECODERS.add("pipe", Decoder(_none, _pipe_leave))
DECODERS.add("pipe2", Decoder(_none, _pipe2_leave))
for _name in ("fcntl", "fcntl64"):
    DECODERS.add(_name, Decoder(_fcntl, result=_fcntl_result, skip=_controls_file))
DECODERS.add("ioctl", Decoder(_ioctl, _ioctl_leave, skip=_is_file))
DECODERS.add("flock", Decoder(_flock))
DECODERS.add("open", Decoder(_open, result=new_descriptor))
DECODERS.add("openat", Decoder(_openat, result=new_descriptor))
DECODERS.add("rename", Decoder(plain(path, path)))
DECODERS.add("renameat", Decoder(plain(directory, path, directory, path)))
DECODERS.add("renameat2", Decoder(plain(directory, path, directory, path, integer)))
DECODERS.add("openat2", Decoder(_openat2, result=new_descriptor))
DECODERS.add("creat", Decoder(plain(path, size), result=new_descriptor))
DECODERS.add("eventfd", Decoder(plain(integer), result=new_descriptor))
DECODERS.add("eventfd2", Decoder(plain(integer, _flags_of(_EVENTFD, "EFD_???")), result=new_descriptor))
DECODERS.add("timerfd_create", Decoder(plain(clock, _flags_of(_TIMERFD, "TFD_???")), result=new_descriptor))
DECODERS.add("signalfd4", Decoder(plain(descriptor, _signal_set, size, _flags_of(_SIGNALFD, "SFD_???")),
                                  result=new_descriptor))  # fmt: skip
DECODERS.add("signalfd", Decoder(plain(descriptor, _signal_set, size), result=new_descriptor))
DECODERS.add("memfd_create", Decoder(plain(path, _flags_of(_MEMFD, "MFD_???")), result=new_descriptor))
DECODERS.add("inotify_init", Decoder(_none, result=new_descriptor))
DECODERS.add("inotify_init1", Decoder(plain(_flags_of(_INOTIFY, "IN_???")), result=new_descriptor))
DECODERS.add("io_uring_setup", Decoder(plain(integer, address), result=new_descriptor))
DECODERS.add("io_uring_enter", Decoder(plain(descriptor, integer, integer, address, address, size)))
DECODERS.add("userfaultfd", Decoder(plain(address), result=new_descriptor))
DECODERS.add("pidfd_open", Decoder(plain(integer, address), result=new_descriptor))
DECODERS.add("pidfd_getfd", Decoder(plain(descriptor, integer, integer), result=new_descriptor))
