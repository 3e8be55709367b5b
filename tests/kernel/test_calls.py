"""Call numbers and arguments, for machines that are not this one too."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.kernel.calls import decode, mutex_owner
from systrace.kernel.memory import Memory
from systrace.kernel.syscall_names import NAMES, name_of
from systrace.model import Endpoint

# From the tables of the kernel sources, one for each architecture.
NUMBERS = {
    "x86_64": {0: "read", 1: "write", 7: "poll", 23: "select", 35: "nanosleep", 42: "connect", 43: "accept",
               44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 61: "wait4", 72: "fcntl", 73: "flock",
               202: "futex", 219: "restart_syscall", 230: "clock_nanosleep", 232: "epoll_wait", 270: "pselect6",
               271: "ppoll", 281: "epoll_pwait", 288: "accept4", 299: "recvmmsg", 441: "epoll_pwait2"},
    "aarch64": {22: "epoll_pwait", 25: "fcntl", 32: "flock", 63: "read", 64: "write", 72: "pselect6", 73: "ppoll",
                98: "futex", 101: "nanosleep", 115: "clock_nanosleep", 202: "accept", 203: "connect", 206: "sendto",
                207: "recvfrom", 211: "sendmsg", 212: "recvmsg", 242: "accept4", 243: "recvmmsg", 260: "wait4",
                441: "epoll_pwait2"},
    "i386": {3: "read", 4: "write", 7: "waitpid", 102: "socketcall", 114: "wait4", 142: "_newselect", 143: "flock",
             168: "poll", 221: "fcntl64", 240: "futex", 256: "epoll_wait", 362: "connect", 364: "accept4",
             371: "recvfrom", 407: "clock_nanosleep_time64", 422: "futex_time64"},
    "arm": {3: "read", 4: "write", 114: "wait4", 142: "_newselect", 143: "flock", 162: "nanosleep", 168: "poll",
            217: "getdents64", 221: "fcntl64", 240: "futex", 252: "epoll_wait", 283: "connect", 285: "accept",
            289: "send", 291: "recv", 292: "recvfrom", 297: "recvmsg", 322: "openat", 336: "ppoll", 366: "accept4",
            407: "clock_nanosleep_time64", 414: "ppoll_time64"},
}  # fmt: skip


@pytest.mark.parametrize("machine", NUMBERS)
def test_numbers(machine: str) -> None:
    assert {number: name_of(number, machine) for number in NUMBERS[machine]} == NUMBERS[machine]


HEADERS = {  # in every linux-libc-dev, for its own architecture and (asm-generic) for aarch64
    "x86_64": "x86_64-linux-gnu/asm/unistd_64.h",
    "i386": "x86_64-linux-gnu/asm/unistd_32.h",
    "aarch64": "asm-generic/unistd.h",
    "arm": "../arm-linux-gnueabihf/include/asm/unistd-eabi.h",  # linux-libc-dev-armhf-cross
}


@pytest.mark.parametrize(("machine", "header"), HEADERS.items())
def test_tables_agree_with_the_kernel_s_headers(machine: str, header: str) -> None:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip("the machine forbids it: no kernel headers")
    text = path.read_text()
    names = re.findall(r"#define __NR_(?!arch_specific)(\w+)\s+(?:\(__NR_SYSCALL_BASE \+ )?(\d+)", text)
    theirs = {int(n): name for name, n in names}
    # "#define __NR3264_fstat 80" has its name further down, first the one for 64 bits
    renamed: dict[str, str] = {}
    for name, old in re.findall(r"#define __NR_(\w+) __NR3264_(\w+)", text):
        renamed.setdefault(old, name)
    theirs |= {int(n): renamed[old] for old, n in re.findall(r"#define __NR3264_(\w+) (\d+)", text)}
    if machine == "aarch64":
        theirs = {n: name for n, name in theirs.items() if not 403 <= n <= 423}  # these are for 32 bits only
    assert len(theirs) > 300
    assert {n: name for n, name in theirs.items() if NAMES[machine].get(n) != name and n < 450} == {}


def test_an_unknown_number_keeps_its_number() -> None:
    assert name_of(99999, "x86_64") == "syscall_99999"
    assert name_of(435, "sparc64") == "clone3"
    assert name_of(0x40000000 | 45, "x86_64") == "recvfrom"  # x32


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(os.getpid()) as own:
        yield own


def at(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


def test_poll_reads_its_descriptors_and_its_limit(memory: Memory) -> None:
    entries = ctypes.create_string_buffer(struct.pack("=ihhihhihh", 5, 1, 0, -1, 1, 0, 9, 4, 0), 24)
    call = decode(7, (at(entries), 3, 60000, 0, 0, 0), "x86_64", "", memory)
    assert (call.fds, call.limit_ns, call.limit_source) == (((5, "r"), (9, "w")), 60 * 10**9, "poll")
    for_ever = decode(7, (at(entries), 1, 0xFFFFFFFF, 0, 0, 0), "x86_64", "", memory)
    assert (for_ever.fd, for_ever.limit_ns) == (5, None)


def test_select_reads_its_bit_sets(memory: Memory) -> None:
    reads = ctypes.create_string_buffer(struct.pack("=QQ", 1 << 4, 1 << 1), 16)
    writes = ctypes.create_string_buffer(struct.pack("=QQ", 1 << 4, 0), 16)
    limit = ctypes.create_string_buffer(struct.pack("=qq", 180, 500_000_000), 16)
    call = decode(72, (66, at(reads), at(writes), 0, at(limit), 0), "aarch64", "", memory)
    assert (call.name, call.fds, call.limit_ns) == ("pselect6", ((4, "rw"), (65, "r")), 180_500_000_000)


def test_connect_reads_where_to(memory: Memory) -> None:
    raw = struct.pack("=H", 2) + (443).to_bytes(2, "big") + bytes([203, 0, 113, 10]) + bytes(8)
    address = ctypes.create_string_buffer(raw, 16)
    call = decode(203, (3, at(address), 16, 0, 0, 0), "aarch64", "", memory)
    assert (call.name, call.fd, call.detail) == ("connect", 3, str(Endpoint("inet", "203.0.113.10", 443)))


def test_a_restarted_call_is_named_after_where_it_sleeps(memory: Memory) -> None:
    assert decode(219, (0, 0, 0), "x86_64", "poll_schedule_timeout.constprop.0", memory).name == "poll"
    assert decode(219, (0, 0, 0), "x86_64", "do_poll.constprop.0", memory).name == "poll"
    assert decode(219, (0, 0, 0), "x86_64", "__futex_wait", memory).name == "futex"
    assert decode(128, (0,) * 6, "aarch64", "hrtimer_nanosleep", memory).name == "clock_nanosleep"
    assert decode(219, (0, 0, 0), "x86_64", "", memory).name == "restart_syscall"  # hidden: nobody knows


def test_a_restarted_sleep_has_the_limit_that_it_had_at_first(memory: Memory) -> None:
    limit = ctypes.create_string_buffer(struct.pack("=qq", 300, 0), 16)
    call = decode(219, (at(limit), 0, 0), "x86_64", "do_syscall_64", memory)
    assert (call.name, call.limit_ns, call.resumed) == ("nanosleep", 300 * 10**9, True)
    call = decode(219, (1, 0, at(limit)), "x86_64", "do_syscall_64", memory)
    assert (call.name, call.limit_ns, call.resumed) == ("clock_nanosleep", 300 * 10**9, True)
    assert not decode(35, (at(limit), 0, 0), "x86_64", "do_syscall_64", memory).resumed


def test_the_owner_of_a_contended_mutex(memory: Memory) -> None:
    mutex = ctypes.create_string_buffer(struct.pack("=III", 2, 1, 4711), 12)
    call = decode(202, (at(mutex), 0x80, 2, 0, 0, 0), "x86_64", "futex_do_wait", memory)
    assert mutex_owner(call, memory) == 4711
    free = ctypes.create_string_buffer(struct.pack("=III", 0, 0, 4711), 12)
    assert mutex_owner(decode(202, (at(free), 0x80, 2, 0, 0, 0), "x86_64", "", memory), memory) == 0


@pytest.mark.parametrize("number", [7, 23, 42, 202, 230, 232, 271, 281, 102, 270, 441])
@pytest.mark.parametrize("machine", ["x86_64", "i386", "aarch64", "vax"])
def test_wild_pointers_are_survived(number: int, machine: str, memory: Memory) -> None:
    wild = (0xFFFFFFFFFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF00000001, 0xDEAD, 1, 0xFFFFFFFFFFFFFFF8)
    call = decode(number, wild, machine, "", memory)
    assert call.limit_ns is None or call.limit_ns >= 0
    assert len(decode(number, (), machine, "", memory).args) == 6
