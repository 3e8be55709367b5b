"""Processes and threads: clone(2) and kin, execve(2), wait4(2), exit(2), kill(2)."""

from __future__ import annotations

import os

from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.decode import DECODERS, address, descriptor, integer, plain
from systrace.tracers.embedded_worker.decode.descriptors import directory
from systrace.tracers.embedded_worker.decode.structures import Limits, path
from systrace.tracers.embedded_worker.names import signal_name
from systrace.tracers.embedded_worker.text import constant, flags, pointer, quote, signed
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

CLONE_FILES = 0x400
CLONE_THREAD = 0x10000
_PARENT_SETTID, _CHILD_SETTID, _CHILD_CLEARTID, _SETTLS, _PIDFD = 0x100000, 0x1000000, 0x200000, 0x80000, 0x1000
_CLONE = (
    (0x100, "CLONE_VM"), (0x200, "CLONE_FS"), (CLONE_FILES, "CLONE_FILES"), (0x800, "CLONE_SIGHAND"),
    (_PIDFD, "CLONE_PIDFD"), (0x2000, "CLONE_PTRACE"), (0x4000, "CLONE_VFORK"), (0x8000, "CLONE_PARENT"),
    (CLONE_THREAD, "CLONE_THREAD"), (0x20000, "CLONE_NEWNS"), (0x40000, "CLONE_SYSVSEM"), (_SETTLS, "CLONE_SETTLS"),
    (_PARENT_SETTID, "CLONE_PARENT_SETTID"), (_CHILD_CLEARTID, "CLONE_CHILD_CLEARTID"),
    (0x400000, "CLONE_DETACHED"), (0x800000, "CLONE_UNTRACED"), (_CHILD_SETTID, "CLONE_CHILD_SETTID"),
    (0x2000000, "CLONE_NEWCGROUP"), (0x4000000, "CLONE_NEWUTS"), (0x8000000, "CLONE_NEWIPC"),
    (0x10000000, "CLONE_NEWUSER"), (0x20000000, "CLONE_NEWPID"), (0x40000000, "CLONE_NEWNET"), (0x80000000, "CLONE_IO"),
    (0x100000000, "CLONE_CLEAR_SIGHAND"), (0x200000000, "CLONE_INTO_CGROUP"),
)  # fmt: skip


def _none(_tracee: Tracee, _args: Args) -> str:
    return ""


def _clone_flags(value: int) -> str:
    signal = value & 0xFF
    parts = [flags(value & ~0xFF & 0xFFFFFFFF, _CLONE)] if value & ~0xFF else []
    if signal:
        parts.append(signal_name(signal))
    return "|".join(parts) or "0"


def _clone_enter(tracee: Tracee, args: Args) -> str:
    tracee.children_share = args[0]
    return f"child_stack={pointer(args[1])}, flags={_clone_flags(args[0])}"


def _int_at(tracee: Tracee, at: int) -> str:
    data = memory.read(tracee.tid, at, 4) if at else None
    return pointer(at) if data is None else f"[{int.from_bytes(data, 'little', signed=True)}]"


def _clone_leave(tracee: Tracee, args: Args, value: int) -> str:
    bits, parent, child, tls = args[0], args[2], args[3], args[4]
    if tracee.abi.name != "x86_64":  # CONFIG_CLONE_BACKWARDS: tls comes before child_tid
        child, tls = tls, child
    parts = []
    if bits & (_PARENT_SETTID | _PIDFD):
        parts.append(f"parent_tid={_int_at(tracee, parent) if value >= 0 else pointer(parent)}")
    if bits & _SETTLS:
        parts.append(f"tls={pointer(tls)}")
    if bits & (_CHILD_SETTID | _CHILD_CLEARTID):
        parts.append(f"child_tidptr={pointer(child)}")
    return "".join([f", {part}" for part in parts])


def _child(tracee: Tracee, _args: Args, value: int) -> str:
    """The child's number, and ours where it was made in another PID namespace (as strace --pidns-translation)."""
    born, tracee.born = tracee.born, 0
    return f"{value} /* {born} in strace's PID NS */" if born not in (0, value) and value > 0 else str(value)


def _clone3_fields(tracee: Tracee, at: int, length: int) -> list[int] | None:
    data = memory.read(tracee.tid, at, min(length, 88)) if length >= 64 else None
    return None if data is None else [int.from_bytes(data[index : index + 8], "little") for index in range(0, 64, 8)]


def _clone3_enter(tracee: Tracee, args: Args) -> str:
    fields = _clone3_fields(tracee, args[0], args[1])
    if fields is None:
        tracee.children_share = 0
        return pointer(args[0])
    bits, pidfd, child, parent, signal, stack, stack_size, tls = fields
    tracee.children_share = bits
    parts = [f"flags={flags(bits, _CLONE)}"]
    if bits & _PIDFD:
        parts.append(f"pidfd={pointer(pidfd)}")
    if bits & (_CHILD_SETTID | _CHILD_CLEARTID):
        parts.append(f"child_tid={pointer(child)}")
    if bits & _PARENT_SETTID:
        parts.append(f"parent_tid={pointer(parent)}")
    parts += [
        f"exit_signal={signal_name(signal) if signal else 0}",
        f"stack={pointer(stack)}",
        f"stack_size={stack_size:#x}" if stack_size else "stack_size=0",
    ]
    if bits & _SETTLS:
        parts.append(f"tls={pointer(tls)}")
    return f"{{{', '.join(parts)}}}"


def _clone3_leave(tracee: Tracee, args: Args, value: int) -> str:
    fields = _clone3_fields(tracee, args[0], args[1])
    parts = []
    if fields is not None and value > 0:
        if fields[0] & _PIDFD:
            parts.append(f"pidfd={_int_at(tracee, fields[1])}")
        if fields[0] & _PARENT_SETTID:
            parts.append(f"parent_tid={_int_at(tracee, fields[3])}")
    return (f" => {{{', '.join(parts)}}}" if parts else "") + f", {args[1]}"


_last: tuple[int, int, list[memory.Window], str] = (0, 0, [], "")


def _strings(tracee: Tracee, at: int) -> str:
    """A list of them; who looks for a program in all of $PATH passes the same again and again."""
    global _last
    tid, address, windows, text = _last
    if tid == tracee.tid and address == at and all(window.unchanged() for window in windows):
        return text
    windows = [memory.Window(tracee.tid), memory.Window(tracee.tid)]
    text = _list(tracee, at, *windows)
    _last = (tracee.tid, at, windows, text)
    return text


def _list(tracee: Tracee, at: int, pointers: memory.Window, texts: memory.Window) -> str:
    parts: list[str] = []
    word = tracee.abi.word
    for index in range(Limits.strings + 1):
        data = pointers.read(at + index * word, word) if at else None
        if data is None:
            return pointer(at) if not parts else f"[{', '.join(parts)}, {pointer(at + index * word)}]"
        string = int.from_bytes(data, "little")
        if not string:
            break
        if index == Limits.strings:
            parts.append("...")
            break
        found = texts.string(string, Limits.strings)
        parts.append(pointer(string) if found is None else quote(found[0]) + ("" if found[1] else "..."))
    return f"[{', '.join(parts)}]"


_MOST_VARIABLES = 100_000


def _environment(tracee: Tracee, at: int) -> str:
    """Only the number of variables: their values are nobody's business."""
    count = 0
    word = tracee.abi.word
    while at and count < _MOST_VARIABLES:
        place = at + count * word
        size = memory.PAGE - place % memory.PAGE  # to the end of its page: the next one need not be there
        data = memory.read(tracee.tid, place, size if size >= word else word)
        if data is None:
            return pointer(at)
        for index in range(0, len(data) - word + 1, word):
            if not any(data[index : index + word]):
                return f"{pointer(at)} /* {count} var{'' if count == 1 else 's'} */"
            count += 1
    return pointer(at)


def _execve(tracee: Tracee, args: Args) -> str:
    return f"{path(tracee, args[0])}, {_strings(tracee, args[1])}, {_environment(tracee, args[2])}"


_EXECVEAT = ((0x100, "AT_SYMLINK_NOFOLLOW"), (0x1000, "AT_EMPTY_PATH"))


def _execveat(tracee: Tracee, args: Args) -> str:
    rest = f"{path(tracee, args[1])}, {_strings(tracee, args[2])}, {_environment(tracee, args[3])}"
    return f"{directory(tracee, args[0])}, {rest}, {flags(args[4] & 0xFFFFFFFF, _EXECVEAT, 'AT_???')}"


_WAIT = (
    (1, "WNOHANG"), (2, "WSTOPPED"), (4, "WEXITED"), (8, "WCONTINUED"), (0x1000000, "WNOWAIT"),
    (0x20000000, "__WNOTHREAD"), (0x40000000, "__WALL"), (0x80000000, "__WCLONE"),
)  # fmt: skip


def wait_status(status: int) -> str:
    """`{WIFEXITED(s) && WEXITSTATUS(s) == 3}` for a status of wait4(2)."""
    if status == 0xFFFF:
        return "{WIFCONTINUED(s)}"
    if os.WIFSTOPPED(status):
        return f"{{WIFSTOPPED(s) && WSTOPSIG(s) == {signal_name(os.WSTOPSIG(status))}}}"
    if os.WIFSIGNALED(status):
        dumped = " && WCOREDUMP(s)" if os.WCOREDUMP(status) else ""
        return f"{{WIFSIGNALED(s) && WTERMSIG(s) == {signal_name(os.WTERMSIG(status))}{dumped}}}"
    return f"{{WIFEXITED(s) && WEXITSTATUS(s) == {os.WEXITSTATUS(status)}}}"


def _wait4_enter(_tracee: Tracee, args: Args) -> str:
    return f"{signed(args[0])}, "


def _status(tracee: Tracee, args: Args, value: int) -> str:
    data = memory.read(tracee.tid, args[1], 4) if args[1] and value > 0 else None
    status = pointer(args[1]) if data is None else f"[{wait_status(int.from_bytes(data, 'little'))}]"
    return f"{status}, {flags(args[2] & 0xFFFFFFFF, _WAIT, 'W???')}"


def _wait4_leave(tracee: Tracee, args: Args, value: int) -> str:
    return f"{_status(tracee, args, value)}, {pointer(args[3])}"


_ID_TYPES = {0: "P_ALL", 1: "P_PID", 2: "P_PGID", 3: "P_PIDFD"}
_CHILD_CODES = {1: "CLD_EXITED", 2: "CLD_KILLED", 3: "CLD_DUMPED", 4: "CLD_TRAPPED", 5: "CLD_STOPPED",
                6: "CLD_CONTINUED"}  # fmt: skip


def _waitid_enter(_tracee: Tracee, args: Args) -> str:
    return f"{constant(signed(args[0]), _ID_TYPES, 'P_???')}, {signed(args[1])}, "


def _waitid_leave(tracee: Tracee, args: Args, value: int) -> str:
    data = memory.read(tracee.tid, args[2], 128) if args[2] and value == 0 else None
    info = pointer(args[2]) if data is None else format_siginfo(data, tracee.abi.word)
    return f"{info}, {flags(args[3] & 0xFFFFFFFF, _WAIT, 'W???')}, {pointer(args[4])}"


def _signal(_tracee: Tracee, value: int) -> str:
    number = signed(value)
    return signal_name(number) if number else "0"


def _siginfo_at(tracee: Tracee, at: int) -> str:
    data = memory.read(tracee.tid, at, 128) if at else None
    return pointer(at) if data is None else format_siginfo(data, tracee.abi.word)


_CODES = {0: "SI_USER", 0x80: "SI_KERNEL", -1: "SI_QUEUE", -2: "SI_TIMER", -3: "SI_MESGQ", -4: "SI_ASYNCIO",
          -5: "SI_SIGIO", -6: "SI_TKILL", -60: "SI_ASYNCNL"}  # fmt: skip
_FAULT_CODES = {
    4: {1: "ILL_ILLOPC", 2: "ILL_ILLOPN"}, 5: {1: "TRAP_BRKPT", 2: "TRAP_TRACE"},
    7: {1: "BUS_ADRALN", 2: "BUS_ADRERR", 3: "BUS_OBJERR"}, 8: {1: "FPE_INTDIV", 2: "FPE_INTOVF"},
    11: {1: "SEGV_MAPERR", 2: "SEGV_ACCERR"}, 17: _CHILD_CODES,
    29: {1: "POLL_IN", 2: "POLL_OUT", 3: "POLL_MSG", 4: "POLL_ERR", 5: "POLL_PRI", 6: "POLL_HUP"},
}  # fmt: skip


def format_siginfo(data: bytes, word: int = 8) -> str:
    """`{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=7, si_uid=0, si_status=0, si_utime=0, si_stime=0}`.

    `data` is siginfo_t as the kernel lays it out for a `word`-byte long (asm-generic/siginfo.h); `si_signo` 0 is `{}`.
    """

    def number(at: int, size: int = 4, sign: bool = True) -> int:
        return int.from_bytes(data[at : at + size], "little", signed=sign)

    signo, error, code = number(0), number(4), number(8)
    union = 16 if word == 8 else 12
    if not signo:
        return "{}"
    codes = _FAULT_CODES.get(signo, {})
    code_name = _CODES.get(code) or codes.get(code) or f"{code:#x}"
    parts = [f"si_signo={signal_name(signo)}"]
    if error:
        parts.append(f"si_errno={error}")
    parts.append(f"si_code={code_name}")
    sender = [f"si_pid={number(union)}", f"si_uid={number(union + 4, sign=False)}"]
    if code in (0, -6):
        parts += sender
    elif code == -1:
        value = number(union + 8, word, sign=False)
        parts += [*sender, f"si_value={{int={signed(value)}, ptr={pointer(value)}}}"]
    elif code == -2:
        parts += [f"si_timerid={number(union):#x}", f"si_overrun={number(union + 4)}"]
    elif signo == 17 and code > 0:
        status = number(union + 8)
        times = [number(union + at, word) for at in (8 + word, 8 + 2 * word)]
        shown = str(status) if code == 1 else signal_name(status)
        parts += [*sender, f"si_status={shown}", f"si_utime={times[0]}", f"si_stime={times[1]}"]
    elif signo in (4, 5, 7, 8, 11) and code > 0:
        parts.append(f"si_addr={pointer(number(union, word, sign=False))}")
    elif signo == 29 and code > 0:
        parts += [f"si_band={number(union, word)}", f"si_fd={number(union + word)}"]
    return f"{{{', '.join(parts)}}}"


for _name in ("fork", "vfork"):
    DECODERS.add(_name, Decoder(_none, None, _child))
for _name in ("getpid", "getppid", "gettid", "getpgrp", "setsid", "restart_syscall"):
    DECODERS.add(_name, Decoder(_none))
DECODERS.add("clone", Decoder(_clone_enter, _clone_leave, _child))
DECODERS.add("clone3", Decoder(_clone3_enter, _clone3_leave, _child))
DECODERS.add("execve", Decoder(_execve))
DECODERS.add("execveat", Decoder(_execveat))
DECODERS.add("wait4", Decoder(_wait4_enter, _wait4_leave))
DECODERS.add("waitpid", Decoder(_wait4_enter, _status))
DECODERS.add("waitid", Decoder(_waitid_enter, _waitid_leave))
DECODERS.add("exit", Decoder(plain(integer), returns=False))
DECODERS.add("exit_group", Decoder(plain(integer), returns=False))
DECODERS.add("kill", Decoder(plain(integer, _signal)))
DECODERS.add("tkill", Decoder(plain(integer, _signal)))
DECODERS.add("tgkill", Decoder(plain(integer, integer, _signal)))
DECODERS.add("rt_sigqueueinfo", Decoder(plain(integer, _signal, _siginfo_at)))
DECODERS.add("rt_tgsigqueueinfo", Decoder(plain(integer, integer, _signal, _siginfo_at)))
DECODERS.add("pidfd_send_signal", Decoder(plain(descriptor, _signal, _siginfo_at, address)))
DECODERS.add("setpgid", Decoder(plain(integer, integer)))
DECODERS.add("getpgid", Decoder(plain(integer)))
DECODERS.add("getsid", Decoder(plain(integer)))
DECODERS.add("unshare", Decoder(lambda _tracee, args: _clone_flags(args[0] & ~0xFF)))
DECODERS.add("setns", Decoder(plain(descriptor, address)))
DECODERS.add("chdir", Decoder(plain(path)))
