"""Socket options and addresses: getsockopt(2), setsockopt(2), getsockname(2), getpeername(2)."""

from __future__ import annotations

import errno as errno_names
import re

from systrace.model import Event, Named, OptionGot, OptionSet, Record
from systrace.parser.syscalls import syscall
from systrace.parser.values import endpoint_in, fd_of, number_of, split_args, string_at, timespec_ns

_LEVELS = {b"1": "SOL_SOCKET", b"6": "SOL_TCP", b"IPPROTO_TCP": "SOL_TCP", b"0x1": "SOL_SOCKET", b"0x6": "SOL_TCP"}
_SOCKET_OPTIONS = {4: "SO_ERROR", 9: "SO_KEEPALIVE", 13: "SO_LINGER", 20: "SO_RCVTIMEO", 21: "SO_SNDTIMEO"}
_TCP_OPTIONS = {
    1: "TCP_NODELAY", 4: "TCP_KEEPIDLE", 5: "TCP_KEEPINTVL", 6: "TCP_KEEPCNT", 7: "TCP_SYNCNT", 11: "TCP_INFO",
    18: "TCP_USER_TIMEOUT",
}  # fmt: skip
_VALUE = re.compile(rb"\[([^\]]*)\]")
_TIMEOUTS = ("SO_RCVTIMEO", "SO_SNDTIMEO")


@syscall("setsockopt")
def option_set(record: Record) -> Event | None:
    """setsockopt(2); timeouts are the raw bytes of a struct timeval in every version."""
    parts = split_args(record.args)
    if len(parts) < 4:
        return None
    level, name = _level(parts[1]), _name(parts[1], parts[2])
    value = _timeout(parts[3]) if name in _TIMEOUTS else _integer(parts[3])
    return OptionSet(record, fd_of(record.args), level, name, value)


@syscall("getsockopt")
def option_got(record: Record) -> Event | None:
    """getsockopt(2): of interest is SO_ERROR, the outcome of an asynchronous connect."""
    parts = split_args(record.args)
    if len(parts) < 4:
        return None
    name = _name(parts[1], parts[2])
    if name != "SO_ERROR":
        return None
    return OptionGot(record, fd_of(record.args), name, _error(parts[3]) if record.errno is None else None)


@syscall("getsockname", "getpeername")
def named(record: Record) -> Event | None:
    """The address of one end."""
    which = "local" if record.syscall == "getsockname" else "peer"
    return Named(record, fd_of(record.args), which, endpoint_in(record.args) if record.errno is None else None)


def _level(text: bytes) -> str:
    first = text.split(b" ", 1)[0]
    return _LEVELS.get(first, first.decode("ascii", "replace"))


def _name(level: bytes, text: bytes) -> str:
    first = text.split(b" ", 1)[0]
    number = number_of(first)
    if number is not None:
        table = _TCP_OPTIONS if _level(level) == "SOL_TCP" else _SOCKET_OPTIONS
        return table.get(number, str(number))
    return first.decode("ascii", "replace").removesuffix("_OLD").removesuffix("_NEW")


def _integer(text: bytes) -> int | None:
    match = _VALUE.match(text)
    number = number_of(match[1] if match is not None else text)
    return number & 0xFFFFFFFF if number is not None else None


def _timeout(text: bytes) -> int | None:
    """ns of a timeval: 16 bytes on 64 bit, 8 on 32 bit, or decoded."""
    decoded = timespec_ns(text, "u")
    if decoded is not None:
        return decoded
    found = string_at(text)
    if found is None or found[1]:
        return None
    raw = found[0]
    if len(raw) not in (8, 16):
        return None
    half = len(raw) // 2
    return int.from_bytes(raw[:half], "little") * 10**9 + int.from_bytes(raw[half:], "little") * 1000


def _error(text: bytes) -> str | None:
    match = _VALUE.match(text)
    if match is None:
        return None
    value = match[1].split(b" ", 1)[0]
    if value[:1].isalpha():
        return value.decode("ascii", "replace")
    number = number_of(value)
    if number is None:
        return None
    number &= 0xFFFFFFFF
    return errno_names.errorcode.get(number, f"errno {number}") if number else ""
