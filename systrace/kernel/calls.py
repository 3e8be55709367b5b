"""The blocked call of a thread: from a number and six registers to a `Call` that says what it waits for.

Pointers are followed only to what names the wait: descriptor lists, timeouts, socket addresses, the lock word.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import replace

from systrace import calls
from systrace.calls.numbers import SOCKETCALLS, name_of
from systrace.kernel.addresses import endpoint_of
from systrace.kernel.memory import Memory
from systrace.kernel.procfs import poll_direction
from systrace.look.nouns import Call
from systrace.words import clean

_MS = 10**6
_MAX_POLL = 4096  # descriptors
_MAX_SELECT = 65536
_MAX_SEMAPHORES = 512
_FUTEX_COMMAND = 0x7F
_FUTEX_WAITS = {0: "wait", 6: "lock-pi", 9: "wait-bitset", 11: "wait-requeue-pi", 13: "lock-pi2"}  # linux/futex.h
_FUTEX_CLOCK_REALTIME = 0x100
_FUTEX_ABSOLUTE = (6, 9, 11, 13)
_TIMER_ABSTIME = 1
_SETLKW = {7: "fcntl lock", 14: "fcntl lock", 38: "fcntl lock"}  # F_SETLKW, F_SETLKW64 (32-bit), F_OFD_SETLKW
_CLOCKS = 0x1000  # a first argument below names a clock: no pointer is that small


def decode(number: int, args: tuple[int, ...], machine: str, wchan: str, memory: Memory) -> Call:
    """What the call waits for. `args` are the raw registers; six are expected, fewer count as 0."""
    args = (*args, 0, 0, 0, 0, 0, 0)[:6]
    name = name_of(number, machine)
    if name == "socketcall":
        name, args = _socketcall(args, memory)
    elif name == "restart_syscall":
        return _resumed(number, args, wchan, memory)
    return _decoded(Call(number, name, args), memory)


def _decoded(call: Call, memory: Memory) -> Call:
    for names, decoder in _DECODERS:
        if call.name in names:
            return decoder(call, memory)
    return call


def _resumed(number: int, args: tuple[int, ...], wchan: str, memory: Memory) -> Call:
    """restart_syscall(2): what a stop interrupted goes on, until the moment that it had been given at first.

    Only poll, futex with a timeout, and the sleeps go on so (`do_restart_poll`, `futex_wait_restart`,
    `hrtimer_nanosleep_restart` and its likes): where the thread sleeps tells which. The registers are still those of the
    first call. When that began is not known, so its limit is at most as far away as it is long.
    """
    if not wchan:
        return Call(number, "restart_syscall", args)
    if "poll" in wchan:
        name = "poll"
    elif "futex" in wchan:
        name = "futex"
    else:
        name = "clock_nanosleep" if args[0] < _CLOCKS else "nanosleep"
    return replace(_decoded(Call(number, name, args), memory), resumed=True)


def _socketcall(args: tuple[int, ...], memory: Memory) -> tuple[str, tuple[int, ...]]:
    name = SOCKETCALLS.get(args[0], "socketcall")
    words = memory.words(args[1], 6)
    return name, tuple(word & 0xFFFFFFFF for word in words) if words is not None else (-1, 0, 0, 0, 0, 0)


def _fd(value: int) -> int | None:
    fd = value & 0xFFFFFFFF
    return fd if fd < 1 << 31 else None


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _milliseconds(value: int) -> int | None:
    timeout = _signed(value)
    return None if timeout < 0 else timeout * _MS


def _descriptor(call: Call, memory: Memory) -> Call:
    fd = _fd(call.args[0])
    direction = (
        "r" if call.name in calls.INCOMING else "w" if call.name in calls.WRITES or call.name == "connect" else ""
    )
    call = replace(call, fd=fd, fds=((fd, direction),) if fd is not None and direction else ())
    if call.name == "connect":
        peer = endpoint_of(memory.read(call.args[1], min(call.args[2] & 0xFFFF, 128)))
        return replace(call, detail=str(peer) if peer is not None else "")
    return call


def _splice(call: Call, memory: Memory) -> Call:
    """From a pipe or into one; both ends may be what is waited for."""
    ends = (_fd(call.args[0]), "r"), (_fd(call.args[2]), "w")
    return replace(call, fd=ends[0][0], fds=tuple((fd, direction) for fd, direction in ends if fd is not None))


def _poll(call: Call, memory: Memory) -> Call:
    count = min(call.args[1] & 0xFFFFFFFF, _MAX_POLL)
    data = memory.read(call.args[0], count * 8) or b""
    entries = [(fd, poll_direction(events & 0xFFFF)) for fd, events, _ in struct.iter_unpack("=ihh", data)]
    fds = tuple(entry for entry in entries if entry[0] >= 0)
    if call.name == "poll":
        limit = _milliseconds(call.args[2])
    else:
        limit = memory.time_ns(call.args[2], wide=call.name.endswith("64")) if call.args[2] else None
    return replace(call, fd=fds[0][0] if len(fds) == 1 else None, fds=fds, limit_ns=limit, limit_source=call.name)


def _select(call: Call, memory: Memory) -> Call:
    count = min(max(_signed(call.args[0]), 0), _MAX_SELECT)
    size = -(-count // memory.bits) * (memory.bits // 8)
    wanted: dict[int, str] = {}
    for address, direction in ((call.args[1], "r"), (call.args[2], "w")):
        bits = int.from_bytes(memory.read(address, size) or b"", "little")
        while bits:
            low = bits & -bits
            wanted[low.bit_length() - 1] = wanted.get(low.bit_length() - 1, "") + direction
            bits ^= low
    fds = tuple(sorted(wanted.items()))
    unit = 1 if call.name.startswith("pselect6") else 1000
    limit = memory.time_ns(call.args[4], unit=unit, wide=call.name.endswith("64")) if call.args[4] else None
    return replace(call, fd=fds[0][0] if len(fds) == 1 else None, fds=fds, limit_ns=limit, limit_source=call.name)


def _epoll(call: Call, memory: Memory) -> Call:
    if call.name == "epoll_pwait2":
        limit = memory.time_ns(call.args[3], wide=memory.bits == 32) if call.args[3] else None
    else:
        limit = _milliseconds(call.args[3])
    return replace(call, fd=_fd(call.args[0]), limit_ns=limit, limit_source=call.name)


def _sleep(call: Call, memory: Memory) -> Call:
    wide = call.name.endswith("64")
    if call.name == "nanosleep":
        return replace(call, limit_ns=memory.time_ns(call.args[0]), limit_source=call.name)
    limit = memory.time_ns(call.args[2], wide=wide)
    if limit is not None and call.args[1] & _TIMER_ABSTIME:
        left = _until(limit, realtime=call.args[0] == 0)
        return replace(call, limit_ns=left, left_ns=left, limit_source=call.name)
    return replace(call, limit_ns=limit, limit_source=call.name)


def _until(deadline_ns: int, *, realtime: bool) -> int:
    now = time.time_ns() if realtime else time.monotonic_ns()
    return max(deadline_ns - now, 0)


def _futex(call: Call, memory: Memory) -> Call:
    if not call.name.startswith("futex_time64") and call.name != "futex":
        return replace(call, limit_source=call.name)
    operation = call.args[1] & 0xFFFFFFFF
    command = operation & _FUTEX_COMMAND
    limit, left = None, None
    if call.args[3] and command in _FUTEX_WAITS:
        limit = memory.time_ns(call.args[3], wide=call.name.endswith("64"))
        if limit is not None and command in _FUTEX_ABSOLUTE:
            limit = left = _until(limit, realtime=bool(operation & _FUTEX_CLOCK_REALTIME) or command == 6)
    return replace(call, limit_ns=limit, left_ns=left, limit_source="futex", detail=_FUTEX_WAITS.get(command, ""))


def mutex_owner(call: Call, memory: Memory) -> int:
    """The tid in the word behind a contended glibc mutex (`struct __pthread_mutex_s`: lock, count, owner), or 0.

    Meaningless when the futex is no mutex: callers accept it only if it is a thread of the same process.
    """
    if call.name not in calls.FUTEXES or call.detail not in ("wait", "lock-pi", "lock-pi2"):
        return 0
    data = memory.read(call.args[0], 12)
    if data is None:
        return 0
    lock, _, owner = struct.unpack("=III", data)
    if call.detail != "wait":
        return int(lock & 0x3FFFFFFF)  # FUTEX_TID_MASK
    return int(owner) if lock == 2 else 0


def _child(call: Call, memory: Memory) -> Call:
    target = _signed(call.args[0])
    if call.name == "waitid":  # P_PID is 1
        target = call.args[1] if target == 1 else -1
    return replace(call, detail=f"child {target}" if target > 0 else "any child")


def _signal(call: Call, memory: Memory) -> Call:
    if call.name.startswith("rt_sigtimedwait") and call.args[2]:
        limit = memory.time_ns(call.args[2], wide=call.name.endswith("64"))
        return replace(call, limit_ns=limit, limit_source="rt_sigtimedwait")
    return call


def _semaphore(call: Call, memory: Memory) -> Call:
    """The first operation of the set that takes; `struct sembuf` is number, operation, flags."""
    count = min(call.args[2] & 0xFFFFFFFF, _MAX_SEMAPHORES)
    data = memory.read(call.args[1], count * 6) or b""
    taken = next((number for number, operation, _ in struct.iter_unpack("=Hhh", data) if operation <= 0), None)
    which = f"semaphore {taken} of set" if taken is not None else "set"
    limit = memory.time_ns(call.args[3], wide=call.name.endswith("64")) if _times(call) and call.args[3] else None
    return replace(call, limit_ns=limit, limit_source=call.name, detail=f"{which} {call.args[0] & 0xFFFFFFFF}")


def _times(call: Call) -> bool:
    return call.name != "semop"


def _queue(call: Call, memory: Memory) -> Call:
    if call.name.startswith("mq_"):  # until a moment of CLOCK_REALTIME
        limit = memory.time_ns(call.args[4], wide=call.name.endswith("64")) if call.args[4] else None
        left = _until(limit, realtime=True) if limit is not None else None
        return replace(call, fd=_fd(call.args[0]), limit_ns=left, left_ns=left, limit_source=call.name)
    return replace(call, detail=f"queue {call.args[0] & 0xFFFFFFFF}")


def _path(call: Call, memory: Memory) -> Call:
    path = memory.path(call.args[0] if call.name in calls.PATH_FIRST else call.args[1])
    return replace(call, detail=clean(path) if path else "")


def _fcntl(call: Call, memory: Memory) -> Call:
    return replace(call, fd=_fd(call.args[0]), detail=_SETLKW.get(call.args[1] & 0xFFFFFFFF, ""))


_DECODERS: tuple[tuple[frozenset[str], Callable[[Call, Memory], Call]], ...] = (
    (frozenset(("splice",)), _splice),
    (calls.POLLS, _poll),
    (calls.SELECTS, _select),
    (calls.EPOLLS, _epoll),
    (calls.FUTEXES, _futex),
    (calls.CHILDREN, _child),
    (calls.SLEEPS, _sleep),
    (calls.SIGNALS, _signal),
    (calls.SEMAPHORES, _semaphore),
    (calls.QUEUES, _queue),
    (calls.LOCKS - {"flock"}, _fcntl),
    (calls.PATHS, _path),
    (calls.ON_DESCRIPTOR, _descriptor),  # what none of the above says more about
)
