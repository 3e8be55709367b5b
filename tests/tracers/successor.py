"""A new process with the number of one that has ended (clone3(2), set_tid).

It waits in an epoll_wait that any stop would interrupt, then says what that returned.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from systrace.tracers.waiting import Running

CLONE3 = 435
FIELDS = "flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup".split()
WAIT_MS = 1500
STRANGER = f"""
import ctypes, select
libc = ctypes.CDLL(None)
epoll = select.epoll()
print("ready", flush=True)
print(libc.epoll_wait(epoll.fileno(), ctypes.create_string_buffer(64), 1, {WAIT_MS}), flush=True)
"""


class Arguments(ctypes.Structure):
    """struct clone_args."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in FIELDS)


def clone_as(pid: int) -> int:
    """fork(2) with a number of our choice; 0 in the child, which has to execve(2) at once."""
    number = ctypes.c_int32(pid)
    arguments = Arguments(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(number), set_tid_size=1)
    libc = ctypes.CDLL(None, use_errno=True)
    made: int = libc.syscall(CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if made < 0:
        raise OSError(ctypes.get_errno(), "clone3")
    return made


def whoever(pid: int) -> Running:
    """Who has the number now, be it nobody."""
    try:
        return Running.of(pid)
    except ProcessLookupError:
        return Running(pid, 0)


def kill_and_reap(victim: subprocess.Popen[bytes]) -> None:
    """Its number is free afterwards."""
    select.select([], [], [], 0.02)  # starts are told apart by ticks of 10 ms
    victim.kill()
    victim.wait()


@contextlib.contextmanager
def stranger(number: int) -> Iterator[int]:
    """Another process with this number, waiting already; a descriptor with what it says in the end."""
    reader, writer = os.pipe()
    if clone_as(number) == 0:
        os.dup2(writer, 1)
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", STRANGER])
    os.close(writer)
    try:
        assert os.read(reader, 6) == b"ready\n"
        while Path(f"/proc/{number}/syscall").read_text().split()[0] == "running":
            select.select([], [], [], 0.005)
        yield reader
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
        os.close(reader)
