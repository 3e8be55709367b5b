"""What the kernel's half records of which call: the one place to enter a call (or a piece of memory) that it should.

A call that is wanted and not named here is recorded whenever it is made, with its arguments and no memory behind them.
"""

from __future__ import annotations

import struct

from systrace.calls import (
    EXITS,
    POLLS,
    READS,
    RECEIVES,
    SELECTS,
    SENDS,
    WRITES,
)
from systrace.calls.numbers import SOCKETCALLS as SOCKETCALLS
from systrace.dataclass import dataclass
from systrace.tracers.embedded_worker.names import Abi

CALLS = 1024  # numbers of an architecture, as in bpf/tables.h
_SOCKETCALLS = 1000
STREAM_BUDGET = 65_536  # bytes of each pipe, terminal, or file of words
OPEN_BUDGET = 256  # files opened for reading, of each process
NEVER, ALWAYS, STREAMS, SOCKETS, KEPT, OPENED, CONTROLS = 0, 1, 2, 4, 8, 16, 32  # enum filter
_BEFORE, _AFTER = 1, 2  # enum when
_FIXED, _ARGUMENT, _RESULT, _POINTED, _STRING, _STRINGS, _VECTOR, _MESSAGE, _MESSAGES, _BITS = range(1, 11)  # enum kind
_PIECE = struct.Struct("=BBBBI")
_CALL = struct.Struct("=9B7x")
_PIECES = 8
_PATH = 4095
_NAME = 128  # sockaddr_storage

Piece = tuple[int, int, int, int, int]  # when, kind, the argument that points to it, the one that says how large, size


@dataclass(frozen=True, slots=True)
class Interest:
    """struct call of bpf/tables.h, by words."""

    filter: int = ALWAYS
    pieces: tuple[Piece, ...] = ()
    fd: int | None = 0  # the argument that is a descriptor
    made: int = 0  # 1: the result is a new descriptor; 2 + 16 * argument: two of them there
    flags: int = 0  # the argument that holds those of open(2)
    other: int = 0  # an argument, not the first, that is another descriptor
    early: bool = False  # told of at its beginning, even without a piece

    def encoded(self, name: str) -> bytes:
        """For the kernel."""
        before = 2 if self.early else any(piece[0] == _BEFORE for piece in self.pieces)
        fd = 0 if self.fd is None else self.fd + 1
        head = [self.filter, before, fd, self.made, self.flags, self.other]
        head += [name in WRITES, name in EXITS, name in _STARTS]
        pieces = [_PIECE.pack(*piece) for piece in self.pieces]
        return _CALL.pack(*map(int, head)) + b"".join(pieces).ljust(_PIECES * _PIECE.size, b"\0")


def _before(kind: int, at: int, count: int = 0, size: int = 1) -> Piece:
    return _BEFORE, kind, at, count, size


def _after(kind: int, at: int, count: int = 0, size: int = 1) -> Piece:
    return _AFTER, kind, at, count, size


_STARTS = frozenset(("execve", "execveat"))
_ON_SOCKET = Interest(SOCKETS)
_SENT, _GOT = _after(_ARGUMENT, 1, 2), _after(_RESULT, 1)
_VECTOR_OF = Interest(STREAMS, (_after(_VECTOR, 1, 2),))


def _fixed(at: int, size: int = 16) -> tuple[Piece, Piece]:
    """What the call may change."""
    return _before(_FIXED, at, size=size), _after(_FIXED, at, size=size)


def _paths(*at: int) -> tuple[Piece, ...]:
    return tuple(_after(_STRING, each, size=_PATH) for each in at)


def _name(at: int, length: int) -> tuple[Piece, ...]:
    """A socket address and the length of it, which the call sets."""
    return *_fixed(length, 4), _after(_POINTED, at, length, _NAME)


def _no_descriptor(*pieces: Piece, made: int = 0) -> Interest:
    return Interest(fd=None, pieces=pieces, made=made)


_SETS = [(_BITS, 1, 0, 1), (_BITS, 2, 0, 1), (_BITS, 3, 0, 1), (_FIXED, 4, 0, 16)]
_POLLED = _after(_ARGUMENT, 0, 1, 8)
_MADE = _no_descriptor(made=1)
_TWO_MADE_AT = 2  # + 16 * the argument that points to them

INTERESTS: dict[str, Interest] = {
    # Sockets
    "socket": _MADE,
    "socketpair": _no_descriptor(_after(_FIXED, 3, size=8), made=_TWO_MADE_AT + 16 * 3),
    "pidfd_getfd": Interest(made=1),
    "connect": Interest(SOCKETS, (_before(_ARGUMENT, 1, 2),)),
    "bind": Interest(SOCKETS, (_after(_ARGUMENT, 1, 2),)),
    "accept": Interest(SOCKETS, _name(1, 2), made=1),
    "accept4": Interest(SOCKETS, _name(1, 2), made=1),
    "getsockname": Interest(SOCKETS, _name(1, 2)),
    "getpeername": Interest(SOCKETS, _name(1, 2)),
    "getsockopt": Interest(SOCKETS, (*_fixed(4, 4), _after(_POINTED, 3, 4, 256))),
    "setsockopt": Interest(SOCKETS, (_after(_ARGUMENT, 3, 4),)),
    "listen": _ON_SOCKET,
    "shutdown": _ON_SOCKET,
    # Bytes
    **dict.fromkeys(READS - RECEIVES, Interest(STREAMS, (_GOT,))),
    **dict.fromkeys(WRITES - SENDS, Interest(STREAMS, (_SENT,))),
    **dict.fromkeys(("readv", "preadv", "preadv2", "writev", "pwritev", "pwritev2"), _VECTOR_OF),
    "send": Interest(SOCKETS, (_SENT,)),
    "recv": Interest(SOCKETS, (_GOT,)),
    "sendto": Interest(SOCKETS, (_SENT, _after(_ARGUMENT, 4, 5))),
    "recvfrom": Interest(SOCKETS, (_GOT, *_name(4, 5))),
    "sendmsg": Interest(SOCKETS, (_after(_MESSAGE, 1),)),
    "recvmsg": Interest(SOCKETS, (_before(_FIXED, 1, size=56), _after(_MESSAGE, 1))),
    "sendmmsg": Interest(SOCKETS, (_after(_MESSAGES, 1, 2),)),
    "recvmmsg": Interest(SOCKETS, (_after(_MESSAGES, 1, 2), _before(_FIXED, 4, size=16))),
    "recvmmsg_time64": Interest(SOCKETS, (_after(_MESSAGES, 1, 2), _before(_FIXED, 4, size=16))),
    "sendfile": Interest(SOCKETS, (_after(_FIXED, 2, size=8),), other=1),
    "sendfile64": Interest(SOCKETS, (_after(_FIXED, 2, size=8),), other=1),
    "splice": Interest(SOCKETS, (_after(_FIXED, 1, size=8), _after(_FIXED, 3, size=8)), other=2),
    "tee": Interest(NEVER),  # of pipes
    "copy_file_range": Interest(NEVER),  # knows files alone
    # Descriptors
    "close": Interest(KEPT),
    "dup": Interest(made=1),
    "dup2": Interest(made=1, other=1),
    "dup3": Interest(made=1, other=1),
    "fcntl": Interest(CONTROLS, (_after(_FIXED, 2, size=32),), made=1),
    "fcntl64": Interest(CONTROLS, (_after(_FIXED, 2, size=32),), made=1),
    "ioctl": Interest(SOCKETS, (_after(_FIXED, 2, size=8),)),
    "pipe": _no_descriptor(_after(_FIXED, 0, size=8), made=_TWO_MADE_AT),
    "pipe2": _no_descriptor(_after(_FIXED, 0, size=8), made=_TWO_MADE_AT),
    "open": Interest(OPENED, _paths(0), fd=None, made=1, flags=1),
    "creat": _no_descriptor(*_paths(0), made=1),
    "openat": Interest(OPENED, _paths(1), fd=None, made=1, flags=2),
    "openat2": _no_descriptor(*_paths(1), _after(_FIXED, 2, size=24), made=1),
    "rename": _no_descriptor(*_paths(0, 1)),
    "renameat": _no_descriptor(*_paths(1, 3)),
    "renameat2": _no_descriptor(*_paths(1, 3)),
    "memfd_create": _no_descriptor(*_paths(0), made=1),
    **dict.fromkeys(("epoll_create", "epoll_create1", "eventfd", "eventfd2", "timerfd_create"), _MADE),
    **dict.fromkeys(("inotify_init", "inotify_init1", "pidfd_open", "io_uring_setup"), _MADE),
    # Waits
    **dict.fromkeys(POLLS, _no_descriptor(_before(_ARGUMENT, 0, 1, 8), *_fixed(2), _POLLED)),
    "poll": _no_descriptor(_POLLED),  # its limit is no memory
    **dict.fromkeys(SELECTS, _no_descriptor(*[of(*each) for of in (_before, _after) for each in _SETS])),
    "epoll_ctl": Interest(pieces=(_after(_FIXED, 3, size=12),)),
    "epoll_wait": Interest(pieces=(_after(_RESULT, 1, size=12),)),
    "epoll_pwait": Interest(pieces=(_after(_RESULT, 1, size=12),)),
    "epoll_pwait2": Interest(pieces=(_after(_RESULT, 1, size=12), _after(_FIXED, 3, size=16))),
    "nanosleep": _no_descriptor(_before(_FIXED, 0, size=16), _after(_FIXED, 1, size=16)),
    "clock_nanosleep": _no_descriptor(_before(_FIXED, 2, size=16), _after(_FIXED, 3, size=16)),
    "clock_nanosleep_time64": _no_descriptor(_before(_FIXED, 2, size=16), _after(_FIXED, 3, size=16)),
    "futex": _no_descriptor(_after(_FIXED, 3, size=16)),
    "futex_time64": _no_descriptor(_after(_FIXED, 3, size=16)),
    "semop": _no_descriptor(_after(_ARGUMENT, 1, 2, 6)),
    "semtimedop": _no_descriptor(_after(_ARGUMENT, 1, 2, 6), _after(_FIXED, 3, size=16)),
    "setitimer": _no_descriptor(_after(_FIXED, 1, size=32), _after(_FIXED, 2, size=32)),
    # Processes
    "execve": _no_descriptor(_before(_STRING, 0, size=_PATH), _before(_STRINGS, 1)),
    "execveat": _no_descriptor(_before(_STRING, 1, size=_PATH), _before(_STRINGS, 2)),
    **dict.fromkeys(EXITS, Interest(fd=None, early=True)),
    "clone": _no_descriptor(_after(_FIXED, 2, size=4)),
    "clone3": _no_descriptor(_before(_ARGUMENT, 0, 1), _after(_ARGUMENT, 0, 1)),  # a child's lines may come between
    "wait4": _no_descriptor(_after(_FIXED, 1, size=4)),
    "waitpid": _no_descriptor(_after(_FIXED, 1, size=4)),
    "waitid": _no_descriptor(_after(_FIXED, 2, size=128)),
}


def table(abi: Abi, wanted: frozenset[str]) -> dict[int, bytes]:
    """Number -> struct call, of one calling convention."""
    names = {number: abi.name_of(number) for number in (abi.numbers(wanted) if wanted else abi.names) if number < CALLS}
    if "socketcall" in names.values():
        names |= {_SOCKETCALLS + inner: name for inner, name in SOCKETCALLS.items() if not wanted or name in wanted}
    return {number: INTERESTS.get(name, _no_descriptor()).encoded(name) for number, name in names.items()}
