"""Call numbers, for machines that are not this one too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from systrace.calls.numbers import NAMES, name_of

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
