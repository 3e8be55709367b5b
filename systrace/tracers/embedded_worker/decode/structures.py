"""Structures that many calls share: times, socket addresses, buffers, signal sets."""

from __future__ import annotations

import socket
import struct
from functools import lru_cache

from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.names import signal_name
from systrace.tracers.embedded_worker.text import pointer, quote
from systrace.tracers.embedded_worker.tracee import Tracee

PAIR = {8: struct.Struct("=qq"), 4: struct.Struct("=ii")}  # timespec, timeval
IOVEC = {8: struct.Struct("=QQ"), 4: struct.Struct("=II")}
INT = struct.Struct("=i")
MOST = 1024  # elements of an array, IOV_MAX


class Limits:
    """What `-s` sets: one value for the whole worker."""

    strings = 4096


def time_pair(tracee: Tracee, address: int, fraction: str, word: int = 0) -> str:
    """`{tv_sec=1, tv_nsec=0}`; `fraction` names the second field, `word` is the size of each."""
    pair = memory.unpack(tracee.tid, address, PAIR[word or tracee.abi.word])
    return pointer(address) if pair is None else f"{{tv_sec={pair[0]}, {fraction}={pair[1]}}}"


def timespec(tracee: Tracee, address: int) -> str:
    """struct timespec."""
    return time_pair(tracee, address, "tv_nsec")


def timespec64(tracee: Tracee, address: int) -> str:
    """struct __kernel_timespec, 64 bits everywhere."""
    return time_pair(tracee, address, "tv_nsec", 8)


def timeval(tracee: Tracee, address: int) -> str:
    """struct timeval."""
    return time_pair(tracee, address, "tv_usec")


def text(tracee: Tracee, address: int, size: int) -> str:
    """`size` bytes at `address` as a string, cut (`"..."...`) after the string limit."""
    shown = size if size < Limits.strings else Limits.strings
    data = memory.read_beginning(tracee.tid, address, shown) if address or not size else None
    if data is None:
        return pointer(address)
    return quote(data) + ("..." if len(data) < size else "")


def path(tracee: Tracee, address: int) -> str:
    """A file name, never cut by the string limit."""
    found = memory.read_string(tracee.tid, address, 4096) if address else None
    return pointer(address) if found is None else quote(found[0]) + ("" if found[1] else "...")


def iovec(tracee: Tracee, address: int, count: int, available: int | None = None) -> str:
    """`[{iov_base="...", iov_len=5}]`; `available` bytes in all were received, None: all were sent."""
    layout = IOVEC[tracee.abi.word]
    shown = min(count, MOST, Limits.strings)
    data = memory.read(tracee.tid, address, shown * layout.size) if address or not count else None
    if data is None:
        return pointer(address)
    parts = []
    left = available
    for base, length in layout.iter_unpack(data):
        here = length if left is None else min(length, left)
        left = None if left is None else left - here
        parts.append(f"{{iov_base={text(tracee, base, here)}, iov_len={length}}}")
    if shown < count:
        parts.append("...")
    return f"[{', '.join(parts)}]"


def signal_set(tracee: Tracee, address: int, size: int = 8) -> str:
    """`[INT TERM]`, or `~[KILL STOP]` when most are in it, as strace does."""
    data = memory.read(tracee.tid, address, min(size, 8)) if address else None
    if data is None:
        return pointer(address)
    mask = int.from_bytes(data, "little")
    members = [number for number in range(1, 65) if mask >> (number - 1) & 1]
    inverted = len(members) * 2 > 64
    if inverted:
        members = [number for number in range(1, 65) if number not in members]
    names = " ".join([signal_name(number).removeprefix("SIG") for number in members])
    return f"{'~' if inverted else ''}[{names}]"


FAMILIES = {
    0: "AF_UNSPEC", 1: "AF_UNIX", 2: "AF_INET", 3: "AF_AX25", 4: "AF_IPX", 5: "AF_APPLETALK", 9: "AF_X25",
    10: "AF_INET6", 15: "AF_KEY", 16: "AF_NETLINK", 17: "AF_PACKET", 21: "AF_RDS", 26: "AF_LLC", 27: "AF_IB",
    29: "AF_CAN", 30: "AF_TIPC", 31: "AF_BLUETOOTH", 38: "AF_ALG", 39: "AF_NFC", 40: "AF_VSOCK", 43: "AF_SMC",
    44: "AF_XDP",
}  # fmt: skip


def sockaddr(tracee: Tracee, address: int, size: int) -> str:
    """`{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}` of `size` bytes at `address`."""
    data = memory.read(tracee.tid, address, min(size, 128)) if address and size > 0 else None
    return pointer(address) if data is None or len(data) < 2 else format_sockaddr(data)


def format_sockaddr(data: bytes) -> str:
    """The same from its bytes."""
    number = int.from_bytes(data[:2], "little")
    family = FAMILIES.get(number)
    if family is None:
        return f"{{sa_family={number:#x} /* AF_??? */, sa_data={quote(data[2:])}}}"
    if number == socket.AF_INET and len(data) >= 8:
        return _inet(data[2:8])
    if number == socket.AF_INET6 and len(data) >= 24:
        body = _inet6(data)
    elif number == socket.AF_UNIX:
        if len(data) == 2:
            return "{sa_family=AF_UNIX}"
        body = f"sun_path={_unix_path(data[2:110])}"
    elif number == socket.AF_NETLINK and len(data) >= 12:
        pid, groups = struct.unpack_from("=II", data, 4)
        body = f"nl_pid={pid}, nl_groups={groups:08x}"
    elif number == socket.AF_VSOCK and len(data) >= 12:
        port, cid = struct.unpack_from("=II", data, 4)
        body = f"svm_cid={cid:#x}, svm_port={port:#x}"
    else:
        body = f"sa_data={quote(data[2:])}"
    return f"{{sa_family={family}, {body}}}"


@lru_cache(1024)
def _inet(data: bytes) -> str:
    port = int.from_bytes(data[:2], "big")
    return f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{socket.inet_ntoa(data[2:])}")}}'


def _inet6(data: bytes) -> str:
    port, flow = struct.unpack_from("!HI", data, 2)
    scope = int.from_bytes(data[24:28], "little")
    host = socket.inet_ntop(socket.AF_INET6, data[8:24])
    scope_text = str(scope)
    if scope and data[8:10] in (b"\xfe\x80", b"\xff\x02"):
        try:
            scope_text = f'if_nametoindex("{socket.if_indextoname(scope)}")'
        except OSError:
            pass  # the interface is gone, or the tracee lives in another network namespace
    return (
        f'sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), inet_pton(AF_INET6, "{host}", &sin6_addr), '
        f"sin6_scope_id={scope_text}"
    )


def _unix_path(data: bytes) -> str:
    if data[:1] == b"\0":
        return "@" + quote(data[1:])
    return quote(data.split(b"\0", 1)[0])
