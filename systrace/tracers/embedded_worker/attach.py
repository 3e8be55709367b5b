"""Takes running processes, all threads of each, without stopping them for longer than a look."""

from __future__ import annotations

import errno
import ipaddress
import os
import struct
from collections.abc import Iterator, Sequence

from ptrace import PtraceError

from systrace.tracers.embedded_worker import requests
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.loop import Loop
from systrace.tracers.embedded_worker.names import Abi
from systrace.tracers.waiting import Running

_ROUNDS = 100  # a program that makes threads faster than that is not caught whole


class Replaced(Exception):
    """The number `pid` belongs to another process than the one that was meant."""

    def __init__(self, pid: int) -> None:
        self.pid = pid


def attach(loop: Loop, processes: Sequence[Running], abi: Abi, options: int) -> None:
    """Seize every thread of the processes; descendants (all but the first) may be gone or forbidden.

    Raises:
        ptrace.PtraceError: the first process cannot be attached to; `.errno` says why.
        Replaced: end now, before anything was stopped: the kernel then lets go of what was seized as if nothing had been.
    """
    for process in processes:
        pid = process.pid
        if process.replaced():
            raise Replaced(pid)
        try:
            files = _seize_all(loop, pid, options)
        except PtraceError:
            if process is processes[0]:
                raise
            continue
        if process.replaced():  # between the look and the seizure; from now on the number is its own to the end
            raise Replaced(pid)
        FileTable.names.update(socket_names(pid))
        for tid in _threads(pid):
            if (tracee := loop.tracees.get(tid)) is not None:
                tracee.files = files
                tracee.interrupted = interrupted_call(tid, abi)
    for tid in list(loop.tracees):
        requests.interrupt(tid)


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208
    except OSError:
        return []


def _seize_all(loop: Loop, pid: int, options: int) -> FileTable:
    files = FileTable()
    requests.seize(pid, options)
    loop.add(pid, files)
    for _ in range(_ROUNDS):
        fresh = [tid for tid in _threads(pid) if tid not in loop.tracees]
        if not fresh:
            break
        for tid in fresh:
            try:
                requests.seize(tid, options)
            except PtraceError as error:
                if error.errno != errno.EPERM:
                    continue  # it ended meanwhile
                if tid not in loop.tracees:
                    loop.add(tid, files)  # made by a thread that we have: the kernel attached it already
                    continue
            loop.add(tid, files)
    return files


def interrupted_call(tid: int, abi: Abi) -> str:
    """The call in which the thread is blocked, from /proc; "" while it runs."""
    try:
        with open(f"/proc/{tid}/syscall", encoding="ascii") as file:  # noqa: PTH123
            number = file.read().split(" ", 1)[0]
    except OSError:
        return ""
    return abi.name_of(int(number)) if number.isdecimal() else ""


def socket_names(pid: int) -> dict[str, str]:
    """`socket:[inode]` -> `TCP:[local->remote]` in the process's network namespace: of sockets older than the trace."""
    names: dict[str, str] = {}
    for protocol, file in (("TCP", "tcp"), ("TCPv6", "tcp6"), ("UDP", "udp"), ("UDPv6", "udp6")):
        for local, remote, inode in _rows(f"/proc/{pid}/net/{file}"):
            ends = f"{local}->{remote}" if not remote.endswith(":0") else local
            names[f"socket:[{inode}]"] = f"{protocol}:[{ends}]"
    return names


def _rows(path: str) -> Iterator[tuple[str, str, str]]:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            lines = file.readlines()[1:]
    except OSError:
        return
    for line in lines:
        columns = line.split()
        if len(columns) > 9 and columns[9] != "0":
            yield _endpoint(columns[1]), _endpoint(columns[2]), columns[9]


def _endpoint(text: str) -> str:
    """`0100007F:1F90` (each 32-bit word in the machine's order) as `127.0.0.1:8080`."""
    host, port = text.split(":")
    words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    address = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    shown = f"[{address}]" if address.version == 6 else str(address)
    return f"{shown}:{int(port, 16)}"
