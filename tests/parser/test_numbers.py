"""Calls that strace printed as numbers."""

from __future__ import annotations

import pytest

from systrace.parser.numbers import name_of


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("syscall_288", "accept4"), ("syscall_290", "eventfd2"), ("syscall_291", "epoll_create1"),
        ("syscall_292", "dup3"), ("syscall_293", "pipe2"), ("syscall_299", "recvmmsg"), ("syscall_302", "prlimit64"),
        ("syscall_307", "sendmmsg"), ("syscall_318", "getrandom"), ("syscall_332", "statx"), ("syscall_334", "rseq"),
        ("syscall_425", "io_uring_setup"), ("syscall_434", "pidfd_open"), ("syscall_435", "clone3"),
        ("syscall_436", "close_range"), ("syscall_439", "faccessat2"), ("syscall_441", "epoll_pwait2"),
        ("syscall_337", "recvmmsg"), ("syscall_359", "socket"), ("syscall_369", "sendto"), ("syscall_373", "shutdown"),
        ("syscall_414", "ppoll_time64"), ("syscall_0x1b3", "clone3"),
        ("syscall_9999", "syscall_9999"), ("syscall_x", "syscall_x"), ("read", "read"),
    ],
)  # fmt: skip
def test_numbers_of_the_kernel_s_table(printed: str, name: str) -> None:
    """x86-64, and those of i386 that mean nothing there: arch/x86/entry/syscalls."""
    assert name_of(printed) == name
