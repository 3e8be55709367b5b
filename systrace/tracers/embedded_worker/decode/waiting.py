"""Waiting for descriptors: poll(2), select(2), epoll(7)."""

from __future__ import annotations

import platform
import struct
from functools import lru_cache

from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.decode import DECODERS, descriptor, integer, new_descriptor, plain
from systrace.tracers.embedded_worker.decode.structures import (
    PAIR,
    Limits,
    signal_set,
    time_pair,
    timespec,
    timespec64,
    timeval,
)
from systrace.tracers.embedded_worker.text import constant, flags, pointer, signed
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

_POLLFD = struct.Struct("=ihh")
_EVENTS = (
    (0x1, "IN"), (0x2, "PRI"), (0x4, "OUT"), (0x8, "ERR"), (0x10, "HUP"), (0x20, "NVAL"), (0x40, "RDNORM"),
    (0x80, "RDBAND"), (0x100, "WRNORM"), (0x200, "WRBAND"), (0x400, "MSG"), (0x2000, "RDHUP"),
)  # fmt: skip
_POLL = tuple((bit, f"POLL{name}") for bit, name in _EVENTS)
_EPOLL = (
    *((bit, f"EPOLL{name}") for bit, name in _EVENTS if name != "NVAL"),
    (1 << 28, "EPOLLEXCLUSIVE"), (1 << 29, "EPOLLWAKEUP"), (1 << 30, "EPOLLONESHOT"), (1 << 31, "EPOLLET"),
)  # fmt: skip
# The kernel packs struct epoll_event on x86 only (linux/eventpoll.h).
_EPOLL_EVENT = struct.Struct("=IQ" if platform.machine() in ("x86_64", "i686") else "=I4xQ")


@lru_cache(1024)
def _poll_flags(value: int) -> str:
    return flags(value & 0xFFFF, _POLL, "POLL_???")


def _pollfds(tracee: Tracee, address: int, count: int, returned: bool) -> str | None:
    shown = count if returned or count < Limits.strings else Limits.strings
    data = memory.read(tracee.tid, address, shown * _POLLFD.size) if address or not count else None
    if data is None:
        return None
    if returned:
        parts = [
            f"{{fd={fd}, revents={_poll_flags(revents)}}}" for fd, _, revents in _POLLFD.iter_unpack(data) if revents
        ]
    else:
        parts = [
            f"{{fd={fd}{tracee.files.text(tracee.tid, fd)}, events={_poll_flags(events)}}}"
            for fd, events, _ in _POLLFD.iter_unpack(data)
        ]
        if shown < count:
            parts.append("...")
    return f"[{', '.join(parts)}]"


def _poll_enter(tracee: Tracee, args: Args) -> str:
    count = args[1] & 0xFFFFFFFF
    fds = _pollfds(tracee, args[0], count, False)
    limit = args[2]
    return f"{pointer(args[0]) if fds is None else fds}, {count}, {limit if limit < 0x8000_0000 else signed(limit)}"


def _poll_result(tracee: Tracee, args: Args, value: int) -> str:
    if value == 0:
        return "0 (Timeout)"
    return f"{value} ({_pollfds(tracee, args[0], args[1] & 0xFFFFFFFF, True)})"


def _ppoll_enter(tracee: Tracee, args: Args) -> str:
    count = args[1] & 0xFFFFFFFF
    fds = _pollfds(tracee, args[0], count, False)
    limit = _long_timespec(tracee, args[2])
    mask = signal_set(tracee, args[3])
    return f"{pointer(args[0]) if fds is None else fds}, {count}, {limit}, {mask}, {args[4]}"


def _ppoll_result(tracee: Tracee, args: Args, value: int) -> str:
    if value == 0:
        return "0 (Timeout)"
    left = f", left {_long_timespec(tracee, args[2])}" if args[2] else ""
    return f"{value} ({_pollfds(tracee, args[0], args[1] & 0xFFFFFFFF, True)}{left})"


def _long_timespec(tracee: Tracee, address: int) -> str:
    return (timespec64 if tracee.name.endswith("64") else timespec)(tracee, address)


def _members(tracee: Tracee, address: int, highest: int) -> list[int] | None:
    if not address:
        return None
    highest = min(max(highest, 0), 65536)
    word = tracee.abi.word
    data = memory.read(tracee.tid, address, -(-highest // (8 * word)) * word)
    if data is None:
        return None
    bits = int.from_bytes(data, "little") & ((1 << highest) - 1)
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found


def _set(tracee: Tracee, address: int, highest: int) -> str:
    members = _members(tracee, address, highest)
    if members is None:
        return pointer(address)
    return f"[{' '.join([descriptor(tracee, fd) for fd in members])}]"


def _sets(tracee: Tracee, args: Args) -> str:
    highest = signed(args[0])
    return f"{highest}, {', '.join([_set(tracee, address, highest) for address in args[1:4]])}"


def _select_enter(tracee: Tracee, args: Args) -> str:
    return f"{_sets(tracee, args)}, {timeval(tracee, args[4])}"


def _pselect_enter(tracee: Tracee, args: Args) -> str:
    # The sixth argument points to {sigset_t *mask, size_t size}: a system call has only six.
    pair = memory.unpack(tracee.tid, args[5], PAIR[tracee.abi.word])
    mask = pointer(args[5]) if pair is None else f"{{sigmask={signal_set(tracee, pair[0])}, sigsetsize={pair[1]}}}"
    return f"{_sets(tracee, args)}, {_long_timespec(tracee, args[4])}, {mask}"


def _select_result(tracee: Tracee, args: Args, value: int) -> str:
    if value == 0:
        return "0 (Timeout)"
    highest = signed(args[0])
    parts = []
    for label, address in zip(("in", "out", "except"), args[1:4], strict=True):
        members = _members(tracee, address, highest)
        if members:
            parts.append(f"{label} [{' '.join(map(str, members))}]")
    if args[4]:
        left = timeval(tracee, args[4]) if tracee.name in ("select", "_newselect") else _long_timespec(tracee, args[4])
        parts.append(f"left {left}")
    return f"{value} ({', '.join(parts)})"


@lru_cache(1024)
def _epoll_flags(value: int) -> str:
    return flags(value, _EPOLL, "EPOLL_???")


def _epoll_event(events: int, data: int) -> str:
    return f"{{events={_epoll_flags(events)}, data={{u32={data & 0xFFFFFFFF}, u64={data}}}}}"


_OPERATIONS = {1: "EPOLL_CTL_ADD", 2: "EPOLL_CTL_DEL", 3: "EPOLL_CTL_MOD"}


def _epoll_ctl(tracee: Tracee, args: Args) -> str:
    operation = signed(args[1])
    event = memory.unpack(tracee.tid, args[3], _EPOLL_EVENT) if operation != 2 else None
    event_text = pointer(args[3]) if event is None else _epoll_event(*event)
    name = constant(operation, _OPERATIONS, "EPOLL_CTL_???")
    return f"{descriptor(tracee, args[0])}, {name}, {descriptor(tracee, args[2])}, {event_text}"


def _epoll_enter(tracee: Tracee, args: Args) -> str:
    return descriptor(tracee, args[0]) + ", "


def _epoll_events(tracee: Tracee, args: Args, value: int) -> str:
    shown = min(max(value, 0), Limits.strings)
    data = memory.read(tracee.tid, args[1], shown * _EPOLL_EVENT.size) if value >= 0 else None
    if data is None:
        return pointer(args[1])
    parts = [_epoll_event(*event) for event in _EPOLL_EVENT.iter_unpack(data)]
    return f"[{', '.join(parts)}{', ...' if shown < value else ''}]"


def _epoll_wait_leave(tracee: Tracee, args: Args, value: int) -> str:
    return f"{_epoll_events(tracee, args, value)}, {signed(args[2])}, {signed(args[3])}"


def _epoll_pwait_leave(tracee: Tracee, args: Args, value: int) -> str:
    return f"{_epoll_wait_leave(tracee, args, value)}, {signal_set(tracee, args[4])}, {args[5]}"


def _epoll_pwait2_leave(tracee: Tracee, args: Args, value: int) -> str:
    limit = time_pair(tracee, args[3], "tv_nsec", 8)
    mask = signal_set(tracee, args[4])
    return f"{_epoll_events(tracee, args, value)}, {signed(args[2])}, {limit}, {mask}, {args[5]}"


def _create_flags(_tracee: Tracee, value: int) -> str:
    return flags(value & 0xFFFFFFFF, ((0o2000000, "EPOLL_CLOEXEC"),), "EPOLL_???")


DECODERS.add("poll", Decoder(_poll_enter, result=_poll_result))
for _call in ("ppoll", "ppoll_time64"):
    DECODERS.add(_call, Decoder(_ppoll_enter, result=_ppoll_result))
for _call in ("select", "_newselect"):
    DECODERS.add(_call, Decoder(_select_enter, result=_select_result))
for _call in ("pselect6", "pselect6_time64"):
    DECODERS.add(_call, Decoder(_pselect_enter, result=_select_result))
DECODERS.add("epoll_create", Decoder(plain(integer), result=new_descriptor))
DECODERS.add("epoll_create1", Decoder(plain(_create_flags), result=new_descriptor))
DECODERS.add("epoll_ctl", Decoder(_epoll_ctl))
DECODERS.add("epoll_wait", Decoder(_epoll_enter, _epoll_wait_leave))
DECODERS.add("epoll_pwait", Decoder(_epoll_enter, _epoll_pwait_leave))
DECODERS.add("epoll_pwait2", Decoder(_epoll_enter, _epoll_pwait2_leave))
