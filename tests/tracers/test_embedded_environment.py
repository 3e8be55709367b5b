"""How many variables a program is started with, wherever their pointers lie in memory."""

from __future__ import annotations

import ctypes
import mmap
import os

import pytest

from systrace.tracers.embedded_worker.coverage import Coverage
from systrace.tracers.embedded_worker.decode.processes import _environment
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.names import I386, native
from systrace.tracers.embedded_worker.tracee import Tracee

PAGE = mmap.PAGESIZE


@pytest.mark.parametrize("abi", [native()[0], I386], ids=["64", "32"])
@pytest.mark.parametrize("count", [0, 1, 2, 511, 512, 1100])
@pytest.mark.parametrize("at_the_end", [True, False], ids=["before a hole", "in the middle"])
def test_counted_across_pages_and_up_to_a_hole(count: int, abi: object, at_the_end: bool) -> None:
    word = abi.word  # type: ignore[attr-defined]
    pages = mmap.mmap(-1, 4 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    size = (count + 1) * word
    place = 3 * PAGE - size if at_the_end else PAGE // 2 + 8
    pages[place : place + size] = b"\x01" * (size - word) + bytes(word)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + 3 * PAGE), PAGE, 0) == 0
    tracee = Tracee(os.getpid(), abi, FileTable(), Coverage([], 0))  # type: ignore[arg-type]
    assert _environment(tracee, start + place).endswith(f" /* {count} var{'' if count == 1 else 's'} */")


def test_what_does_not_end_is_a_pointer() -> None:
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    start = libc.mmap(None, ctypes.c_size_t(2 * PAGE), 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, ctypes.c_long(0))
    ctypes.memset(start, 1, PAGE)
    assert libc.munmap(ctypes.c_void_p(start + PAGE), ctypes.c_size_t(PAGE)) == 0
    tracee = Tracee(os.getpid(), native()[0], FileTable(), Coverage([], 0))
    assert _environment(tracee, start) == f"{start:#x}"
    assert _environment(tracee, 0) == "NULL"
