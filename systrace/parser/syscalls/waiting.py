"""Calls that wait: poll, select, epoll, sleeps, locks, timers."""

from __future__ import annotations

import re
from functools import lru_cache

from systrace.annotations import note_of, without_notes
from systrace.calls import QUEUES, SEMAPHORES
from systrace.model import Blocked, EpollChanged, Event, Record, TimerSet, Waited
from systrace.parser.syscalls import syscall
from systrace.parser.values import fd_of, number_of, split_args, timespec_ns

_POLLED = re.compile(rb"\{fd=(-?\d{1,10}), events=([^{}]*)\}")
_POLL_READY = re.compile(rb"\{fd=(-?\d{1,10}), revents=([^{}]*)\}")
_EPOLL_READY = re.compile(
    rb"\{(?:events=)?([A-Z_|0-9a-fx]+), (?:data=)?(?:\{(?:u32=)?(\d{1,20}), (?:u64=)?(\d{1,20})\}|0x([0-9a-f]{1,16}))\}"
)
_EPOLL_TAIL = re.compile(rb"(?:[\]}]|0x[0-9a-f]+|NULL), (?:\w+=)?\d+, (?:\w+=)?(-?\d{1,20})(?:, |\Z)")
_MEMBERS = re.compile(rb"\d{1,9}")
_READY_SET = re.compile(rb"(in|out|except) \[([^\]]*)\]")
_NEVER = (1 << 31) - 1
_MOST_CACHED = 2000  # bytes of arguments that are worth remembering
_YEAR_NS = 365 * 86400 * 10**9
_MOST_RESULT = 4096  # strace has a buffer of 1 kB for this text


def _ms(number: int | None) -> int | None:
    """A millisecond argument; negative, and its unsigned form, mean no limit."""
    if number is None:
        return None
    number &= 0xFFFFFFFF
    return None if number > _NEVER else number * 10**6


def _wants(events: bytes) -> str:
    reads = b"POLLIN" in events or b"RDNORM" in events or b"POLLPRI" in events
    return ("r" if reads else "") + ("w" if b"POLLOUT" in events or b"WRNORM" in events else "")


@syscall("poll", "ppoll", "ppoll_time64")
def polled(record: Record) -> Event | None:
    """poll(2); without descriptors it is a sleep."""
    args = record.args
    read = _poll_arguments if len(args) < _MOST_CACHED else _poll_arguments.__wrapped__
    fds, limit = read(args, record.syscall)
    if not fds and args.startswith((b"NULL, 0", b"[], 0", b"0x0, 0", b"0, 0")):
        return Blocked(record, "sleep", -1, limit, record.syscall)
    ready = _poll_ready(record.result_text[:_MOST_RESULT]) if record.retval else ()
    cut = args.find(b"...") >= 0 or not args.startswith((b"[", b"fds=["))
    return Waited(record, fds, -1, limit, ready, record.retval == 0, cut)


@lru_cache(maxsize=2048)  # a loop polls the same descriptors again and again
def _poll_arguments(args: bytes, syscall: str) -> tuple[tuple[tuple[int, str], ...], int | None]:
    fds = tuple((int(m[1]), _wants(m[2])) for m in _POLLED.finditer(without_notes(args)) if m[1] != b"-1")
    if syscall == "poll":
        return fds, _ms(number_of(args.rpartition(b", ")[2]))
    parts = split_args(args)
    return fds, timespec_ns(parts[2]) if len(parts) > 2 else None


@lru_cache(maxsize=2048)
def _poll_ready(text: bytes) -> tuple[tuple[int, str], ...]:
    return tuple((int(m[1]), m[2].decode("ascii", "replace")) for m in _POLL_READY.finditer(without_notes(text)))


def _set(text: bytes) -> list[int]:
    return [int(n) for n in _MEMBERS.findall(without_notes(text))] if text.startswith(b"[") else []


@syscall("select", "_newselect", "pselect6", "pselect6_time64")
def selected(record: Record) -> Event | None:
    """select(2); without descriptors it is a sleep."""
    parts = split_args(record.args)
    if len(parts) < 5:
        return None
    unit = "n" if record.syscall.startswith("pselect6") else "u"
    limit = timespec_ns(parts[4], unit)
    wanted: dict[int, str] = {}
    for letter, text in (("r", parts[1]), ("w", parts[2]), ("", parts[3])):
        for fd in _set(text):
            wanted[fd] = wanted.get(fd, "") + letter
    if not wanted and number_of(parts[0]) in (0, None):
        return Blocked(record, "sleep", -1, limit, record.syscall)
    ready = [
        (int(fd), {b"in": "POLLIN", b"out": "POLLOUT"}.get(kind, "POLLPRI"))
        for kind, members in _READY_SET.findall(without_notes(record.result_text))
        for fd in _MEMBERS.findall(members)
    ]
    cut = b"..." in record.args or any(p.startswith(b"0x") for p in parts[1:4])
    return Waited(record, tuple(wanted.items()), -1, limit, tuple(ready), record.retval == 0, cut)


@syscall("epoll_wait", "epoll_pwait", "epoll_pwait2")
def epolled(record: Record) -> Event | None:
    """epoll_wait(2): what it waits for is known from epoll_ctl."""
    args = record.args
    if record.syscall == "epoll_pwait2":
        limit = timespec_ns(args)
    else:
        last = max(_EPOLL_TAIL.finditer(args), key=lambda match: match.start(), default=None)
        limit = _ms(int(last[1])) if last is not None else None
    ready: tuple[tuple[int, str], ...] = ()
    if record.retval:
        ready = tuple(
            (int(m[4], 16) if m[4] else int(m[3]), m[1].decode("ascii", "replace")) for m in _EPOLL_READY.finditer(args)
        )
    return Waited(record, (), fd_of(args), limit, ready, record.retval == 0, len(ready) < (record.retval or 0))


_CTL = re.compile(rb"(?:op=)?EPOLL_CTL_(\w+), (?:fd=)?(\d{1,9})(?:, |\Z)")


@syscall("epoll_ctl")
def epoll_changed(record: Record) -> Event | None:
    """epoll_ctl(2)."""
    args = without_notes(record.args)
    match = _CTL.search(args)
    if match is None or record.errno is not None:
        return None
    ready = _EPOLL_READY.search(args, match.end())
    events = ready[1].decode("ascii", "replace") if ready is not None else ""
    data = (int(ready[4], 16) if ready[4] else int(ready[3])) if ready is not None else None
    return EpollChanged(record, fd_of(record.args), match[1].decode(), int(match[2]), events, data)


@syscall("restart_syscall")
def restarted(record: Record) -> Event | None:
    """The kernel goes on with an interrupted wait; which one is known only from the call before (trap 28)."""
    ready = _poll_ready(record.result_text[:_MOST_RESULT])
    return Waited(record, (), -1, None, ready, record.retval == 0, True)


@syscall("nanosleep", "clock_nanosleep", "clock_nanosleep_time64")
def slept(record: Record) -> Event | None:
    """A sleep of known length; with TIMER_ABSTIME until a moment."""
    limit = _until(record) if b"TIMER_ABSTIME" in record.args else timespec_ns(record.args)
    return Blocked(record, "sleep", -1, limit, "")


def _until(record: Record) -> int | None:
    """How far away a moment is that a call names; of all clocks the log's own is CLOCK_REALTIME."""
    moment, now = timespec_ns(record.args), record.time_ns
    if moment is None or now is None or b"CLOCK_REALTIME" not in record.args:
        return None
    return moment - now if 0 <= moment - now < _YEAR_NS else None  # else the log's clock is another


@syscall("pause", "rt_sigsuspend", "sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "sigtimedwait")
def signal_awaited(record: Record) -> Event | None:
    """Waits for a signal."""
    return Blocked(record, "signal", -1, timespec_ns(record.args), "")


@syscall("futex", "futex_time64", "futex_wait", "futex_waitv")
def futex(record: Record) -> Event | None:
    """Waits on a lock or condition of another thread; wake-ups are no event."""
    if b"WAIT" not in record.args and b"LOCK_PI" not in record.args and not record.syscall.startswith("futex_wait"):
        return None
    address = record.args.partition(b",")[0].decode("ascii", "replace")
    return Blocked(record, "futex", -1, timespec_ns(record.args), address)


@syscall("flock")
def file_locked(record: Record) -> Event | None:
    """flock(2)."""
    if b"LOCK_UN" in record.args or b"LOCK_NB" in record.args:
        return None
    return Blocked(record, "lock", fd_of(record.args), None, note_of(record.args).decode("utf-8", "replace"))


@syscall(*sorted(SEMAPHORES | QUEUES))
def ipc_awaited(record: Record) -> Event | None:
    """System V and POSIX queues and semaphores."""
    return Blocked(record, "message", -1, timespec_ns(record.args), record.syscall)


@syscall("alarm")
def alarm(record: Record) -> Event | None:
    """alarm(2), whole seconds."""
    seconds = number_of(record.args)
    return TimerSet(record, (seconds or 0) * 10**9) if seconds is not None else None


_ITIMER = re.compile(
    rb"it_value=\{(?:tv_sec=)?(\d{1,18}), (?:tv_(u|n)sec=)?(\d{1,9})\}|\}, \{(\d{1,18}), (\d{1,9})\}\}"
)


_INTERVAL = re.compile(
    rb"it_interval=\{(?:tv_sec=)?(\d{1,18}), (?:tv_[un]sec=)?(\d{1,9})\}|\{\{(\d{1,18}), (\d{1,9})\}, "
)


def _periodic(args: bytes) -> bool:
    interval = _INTERVAL.search(args)
    return interval is not None and any(part is not None and int(part) for part in interval.groups())


@syscall("setitimer", "timer_settime", "timer_settime64")
def timer_set(record: Record) -> Event | None:
    """setitimer(2), timer_settime(2): only timers that end in a signal matter here."""
    if record.syscall == "setitimer" and b"ITIMER_REAL" not in record.args and not record.args.startswith(b"0"):
        return None
    match = _ITIMER.search(record.args)
    if match is None:
        return None
    seconds, fraction = match[1] or match[4], match[3] or match[5]
    micro = match[2] == b"u" or (match[2] is None and record.syscall == "setitimer")
    return TimerSet(record, int(seconds) * 10**9 + int(fraction) * (1000 if micro else 1), _periodic(record.args))
