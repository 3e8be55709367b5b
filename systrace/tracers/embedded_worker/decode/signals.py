"""Signals, timers, sleeps and locks: what makes a thread wait or wake without a descriptor."""

from __future__ import annotations

from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.decode import DECODERS, address, integer, plain, size
from systrace.tracers.embedded_worker.decode.descriptors import clock
from systrace.tracers.embedded_worker.decode.processes import format_siginfo
from systrace.tracers.embedded_worker.decode.structures import signal_set, time_pair
from systrace.tracers.embedded_worker.names import signal_name
from systrace.tracers.embedded_worker.text import constant, flags, pointer, signed
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

_HOW = {0: "SIG_BLOCK", 1: "SIG_UNBLOCK", 2: "SIG_SETMASK"}
_ACTION_FLAGS = (
    (0x04000000, "SA_RESTORER"), (0x08000000, "SA_ONSTACK"), (0x10000000, "SA_RESTART"), (0x40000000, "SA_NODEFER"),
    (0x80000000, "SA_RESETHAND"), (4, "SA_SIGINFO"), (1, "SA_NOCLDSTOP"), (2, "SA_NOCLDWAIT"),
)  # fmt: skip
_HANDLERS = {0: "SIG_DFL", 1: "SIG_IGN"}


def _word(tracee: Tracee) -> int:
    """Bytes of each field of a timespec: the ..._time64 calls have 64 bits everywhere."""
    return 8 if tracee.name.endswith("64") else tracee.abi.word


def _limit(tracee: Tracee, at: int) -> str:
    return time_pair(tracee, at, "tv_nsec", _word(tracee))


def _interval(tracee: Tracee, at: int, fraction: str, names: tuple[str, str]) -> str:
    word = _word(tracee)
    first, second = (time_pair(tracee, at + offset, fraction, word) for offset in (0, 2 * word))
    return f"{{{names[0]}={first}, {names[1]}={second}}}" if at and first.startswith("{") else pointer(at)


_TIMERS = {0: "ITIMER_REAL", 1: "ITIMER_VIRTUAL", 2: "ITIMER_PROF"}


def _itimer(tracee: Tracee, at: int) -> str:
    return _interval(tracee, at, "tv_usec", ("it_interval", "it_value"))


def _itimerspec(tracee: Tracee, at: int) -> str:
    return _interval(tracee, at, "tv_nsec", ("it_interval", "it_value"))


def _setitimer_enter(tracee: Tracee, args: Args) -> str:
    return f"{constant(signed(args[0]), _TIMERS, 'ITIMER_???')}, {_itimer(tracee, args[1])}, "


def _setitimer_leave(tracee: Tracee, args: Args, value: int) -> str:
    return _itimer(tracee, args[2]) if value == 0 else pointer(args[2])


_TIMER_FLAGS = ((1, "TIMER_ABSTIME"),)


def _timer_settime_enter(tracee: Tracee, args: Args) -> str:
    return (
        f"{signed(args[0])}, {flags(args[1] & 0xFFFFFFFF, _TIMER_FLAGS, 'TIMER_???')}, {_itimerspec(tracee, args[2])}, "
    )


def _timer_settime_leave(tracee: Tracee, args: Args, value: int) -> str:
    return _itimerspec(tracee, args[3]) if value == 0 else pointer(args[3])


def _nanosleep_enter(tracee: Tracee, args: Args) -> str:
    return _limit(tracee, args[0]) + ", "


def _left(tracee: Tracee, at: int, value: int) -> str:
    # only an interrupted sleep fills it in: EINTR, or the kernel's own ERESTART codes
    return _limit(tracee, at) if value in (-4, -516) else pointer(at)


def _nanosleep_leave(tracee: Tracee, args: Args, value: int) -> str:
    return _left(tracee, args[1], value)


def _clock_nanosleep_enter(tracee: Tracee, args: Args) -> str:
    mode = flags(args[1] & 0xFFFFFFFF, _TIMER_FLAGS, "TIMER_???")
    return f"{clock(tracee, args[0])}, {mode}, {_limit(tracee, args[2])}, "


def _clock_nanosleep_leave(tracee: Tracee, args: Args, value: int) -> str:
    return _left(tracee, args[3], value)


# futex(2): FUTEX_* from linux/futex.h
_FUTEX = (
    "WAIT", "WAKE", "FD", "REQUEUE", "CMP_REQUEUE", "WAKE_OP", "LOCK_PI", "UNLOCK_PI", "TRYLOCK_PI", "WAIT_BITSET",
    "WAKE_BITSET", "WAIT_REQUEUE_PI", "CMP_REQUEUE_PI", "LOCK_PI2",
)  # fmt: skip
_WITH_LIMIT = (0, 6, 9, 11, 13)
_WITH_BITSET = (9, 10)
_REQUEUES = (3, 4, 5, 11, 12)


def _futex(tracee: Tracee, args: Args) -> str:
    raw = args[1] & 0xFFFFFFFF
    command = raw & 0x7F
    name = f"FUTEX_{_FUTEX[command]}" if command < len(_FUTEX) else f"{command:#x} /* FUTEX_??? */"
    name += ("_PRIVATE" if raw & 0x80 else "") + ("|FUTEX_CLOCK_REALTIME" if raw & 0x100 else "")
    parts = [pointer(args[0]), name]
    if command not in (6, 7, 8, 13):
        parts.append(str(args[2] & 0xFFFFFFFF))
    if command in _WITH_LIMIT:
        parts.append(_limit(tracee, args[3]))
    elif command in _REQUEUES:
        parts.append(str(signed(args[3])))
    elif command in _WITH_BITSET:
        parts.append(pointer(args[3]))
    if command in _REQUEUES:
        parts.append(pointer(args[4]))
    if command in _WITH_BITSET:
        bits = args[5] & 0xFFFFFFFF
        parts.append("FUTEX_BITSET_MATCH_ANY" if bits == 0xFFFFFFFF else hex(bits))
    elif command in (4, 5, 12):
        parts.append(f"{args[5] & 0xFFFFFFFF:#x}" if command == 5 else str(args[5] & 0xFFFFFFFF))
    return ", ".join(parts)


def _set(tracee: Tracee, at: int) -> str:
    return signal_set(tracee, at)


def _procmask_enter(tracee: Tracee, args: Args) -> str:
    return f"{constant(signed(args[0]), _HOW, 'SIG_???')}, {signal_set(tracee, args[1])}, "


def _procmask_leave(tracee: Tracee, args: Args, value: int) -> str:
    old = signal_set(tracee, args[2]) if value == 0 else pointer(args[2])
    return f"{old}, {args[3]}"


def _action(tracee: Tracee, at: int) -> str:
    word = tracee.abi.word
    data = memory.read(tracee.tid, at, 3 * word + 8) if at else None
    if data is None:
        return pointer(at)
    handler, bits, restorer = (int.from_bytes(data[index * word : (index + 1) * word], "little") for index in range(3))
    restores = tracee.abi.name != "aarch64"
    mask = signal_set(tracee, at + (3 if restores else 2) * word)
    name = _HANDLERS.get(handler) or hex(handler)
    tail = f", sa_restorer={pointer(restorer)}" if restores and bits & 0x04000000 else ""
    return f"{{sa_handler={name}, sa_mask={mask}, sa_flags={flags(bits & 0xFFFFFFFF, _ACTION_FLAGS)}{tail}}}"


def _sigaction_enter(tracee: Tracee, args: Args) -> str:
    return f"{signal_name(signed(args[0]))}, {_action(tracee, args[1])}, "


def _sigaction_leave(tracee: Tracee, args: Args, value: int) -> str:
    return f"{_action(tracee, args[2]) if value == 0 else pointer(args[2])}, {args[3]}"


def _sigtimedwait_enter(tracee: Tracee, args: Args) -> str:
    return signal_set(tracee, args[0]) + ", "


def _sigtimedwait_leave(tracee: Tracee, args: Args, value: int) -> str:
    data = memory.read(tracee.tid, args[1], 128) if args[1] and value > 0 else None
    info = pointer(args[1]) if data is None else format_siginfo(data, tracee.abi.word)
    return f"{info}, {_limit(tracee, args[2])}, {args[3]}"


def _signal_result(_tracee: Tracee, _args: Args, value: int) -> str:
    return f"{value} ({signal_name(value)})"


def _nothing(_tracee: Tracee, _args: Args) -> str:
    return ""


DECODERS.add("alarm", Decoder(plain(integer)))
DECODERS.add("pause", Decoder(_nothing))
DECODERS.add("setitimer", Decoder(_setitimer_enter, _setitimer_leave))
for _name in ("timer_settime", "timer_settime64", "timerfd_settime", "timerfd_settime64"):
    DECODERS.add(_name, Decoder(_timer_settime_enter, _timer_settime_leave))
DECODERS.add("nanosleep", Decoder(_nanosleep_enter, _nanosleep_leave))
for _name in ("clock_nanosleep", "clock_nanosleep_time64"):
    DECODERS.add(_name, Decoder(_clock_nanosleep_enter, _clock_nanosleep_leave))
for _name in ("futex", "futex_time64"):
    DECODERS.add(_name, Decoder(_futex))
DECODERS.add("rt_sigaction", Decoder(_sigaction_enter, _sigaction_leave))
DECODERS.add("rt_sigprocmask", Decoder(_procmask_enter, _procmask_leave))
for _name in ("rt_sigtimedwait", "rt_sigtimedwait_time64"):
    DECODERS.add(_name, Decoder(_sigtimedwait_enter, _sigtimedwait_leave, _signal_result))
DECODERS.add("rt_sigsuspend", Decoder(plain(_set, size)))
DECODERS.add("rt_sigreturn", Decoder(_nothing))
DECODERS.add("sigreturn", Decoder(_nothing))
DECODERS.add("sched_yield", Decoder(_nothing))
DECODERS.add("timer_delete", Decoder(plain(integer)))
DECODERS.add("timer_create", Decoder(plain(clock, address, address)))
