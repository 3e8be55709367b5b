"""Call numbers and arguments, for machines that are not this one too."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator

import pytest

from systrace.kernel.calls import decode, mutex_owner
from systrace.kernel.memory import Memory
from systrace.model import Endpoint


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


def test_semaphores_and_queues_are_named(memory: Memory) -> None:
    operations = ctypes.create_string_buffer(struct.pack("=HhhHhh", 2, 1, 0, 3, -1, 0), 12)
    limit = ctypes.create_string_buffer(struct.pack("=qq", 30, 0), 16)
    call = decode(220, (55, at(operations), 2, at(limit), 0, 0), "x86_64", "", memory)
    assert (call.name, call.detail, call.limit_ns) == ("semtimedop", "semaphore 3 of set 55", 30 * 10**9)
    for_ever = decode(65, (55, at(operations), 2, at(limit), 0, 0), "x86_64", "", memory)  # semop(2) has no fourth
    assert (for_ever.name, for_ever.limit_ns) == ("semop", None)
    assert decode(70, (42, 0, 0, 0, 0, 0), "x86_64", "", memory).detail == "queue 42"
