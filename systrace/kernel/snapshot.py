"""The passive look at a live process tree: `Snapshot.take(pid)`.

`Snapshot.lines()` writes it as lines for the head of a recording. Each is `# systrace: ` and one JSON object with the
single key `snapshot`; its value always has `pid` (the process asked about) and `time` (epoch seconds), and any of the
lists below. A reader joins the lists of all lines; unknown keys are to be ignored, absent values are null.

    {"snapshot": {"pid": 4242, "time": 1795223946.509, "version": 1,
      "processes": [{"pid": 4242, "ppid": 1, "argv": ["python3", "job.py"], "name": "python3", "state": "S"}],
      "threads": [{"pid": 4242, "tid": 4242, "name": "python3", "state": "S", "call": "recvfrom",
                   "args": [5, 140000, 8192, 0, 0, 0], "fd": 5, "fds": [[5, "r"]], "limit": null,
                   "since": 1795223534.5, "wchan": "wait_woken"}],
      "sockets": [{"pid": 4242, "fd": 5, "inode": 991, "family": "inet", "type": "stream", "protocol": "tcp",
                   "local": "10.0.0.5:41000", "peer": "203.0.113.10:443", "state": "established",
                   "keepalive": {"on": false, "idle_s": 7200, "interval_s": 75, "count": 9}, "nonblock": false,
                   "rcvtimeo": null, "sndtimeo": null, "user_timeout": null, "unread": 0, "unsent": 0,
                   "last_data_sent_ms": 412000, "last_data_received_ms": 412500, "timer": "", "timer_ms": null,
                   "retransmits": 0, "held_by": []}],
      "epoll": [{"pid": 4242, "fd": 4, "fds": [[5, "r"]]}],
      "limits": [{"what": "...", "why": "...", "mend": "..."}]}}

`since` is epoch seconds: when the thread was last on a CPU; `call` is null for a thread that is not in a call. `limit`,
`rcvtimeo`, `sndtimeo` and `user_timeout` are seconds. `local` and `peer` are written as `str(Endpoint)` writes them
(`unix:/path` for AF_UNIX). A socket that several processes hold appears once for each (pid, fd).
`ns_pids`, of processes in another PID namespace than ours, are their numbers in each namespace below ours.
`role` is "server" for accepted sockets; `last_word` is "ours", "theirs" or "both".
`held_by` names who holds the other end of a local socket that is waited for ("sshd[77]").
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from systrace.errors import CaptureError
from systrace.kernel import facts, gather, procfs
from systrace.kernel.state import End, FileLock, Limit, ProcessState, SocketState, Thread

PREFIX = b"# systrace: "
_LOCK_CALLS = ("flock", "fcntl")
_PER_LINE = 16  # items: keeps a line far below what any reader of logs would cut


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A process and its descendants at one instant, as far as the kernel let us see."""

    pid: int
    time_ns: int  # epoch
    took_ns: int  # how long the look lasted
    kernel: str  # release
    processes: tuple[ProcessState, ...]  # the root first, then children
    sockets: tuple[SocketState, ...]
    locks: tuple[FileLock, ...]  # those that processes of the tree wait for
    holders: dict[int, tuple[End, ...]]  # who holds the pipes, and the other ends of local sockets, that are waited on
    sysctls: dict[str, int]  # in the target's network namespace: see `facts.SYSCTLS`
    limits: tuple[Limit, ...]

    @classmethod
    def take(cls, pid: int) -> Snapshot:
        """Look at `pid` (or the process of thread `pid`) and its descendants; nothing in them is stopped or woken.

        Raises:
            CaptureError: there is no such process, or it ended meanwhile.
        """
        began = time.monotonic_ns()
        limits: list[Limit] = []
        group = procfs.status_of(pid).get("Tgid", "") if pid > 0 else ""
        if not group.isdigit():
            raise CaptureError(f"there is no process {pid}")
        pid = int(group)
        found = gather.processes(pid, limits)
        now = time.time_ns()
        if not found:
            raise CaptureError(f"process {pid} ended while it was looked at")
        sockets = gather.sockets(found, limits)
        found = gather.with_socket_limits(found, sockets)
        return cls(
            pid=pid,
            time_ns=now,
            took_ns=time.monotonic_ns() - began,
            kernel=os.uname().release,
            processes=found,
            sockets=sockets,
            locks=_locks(found),
            holders=gather.other_ends(found, sockets),
            sysctls=facts.sysctls(pid),
            limits=tuple(limits),
        )

    @property
    def root(self) -> ProcessState:
        """The process that was asked about."""
        return self.processes[0]

    @property
    def threads(self) -> tuple[Thread, ...]:
        """All threads of the tree."""
        return tuple(thread for process in self.processes for thread in process.threads)

    def still_running(self) -> bool:
        """Whether the number still belongs to the process that was looked at: ask right before attaching."""
        stat = procfs.stat_of(self.pid)
        return self.still_there() and stat is not None and stat.state not in "ZX"

    def still_there(self) -> bool:
        """The same of a process that may have ended, if its parent or its other threads still keep the number."""
        stat = procfs.stat_of(self.pid)
        return stat is not None and stat.start_ticks == self.root.start_ticks

    def lines(self) -> list[bytes]:
        """The `# systrace: {json}` lines described above, each without a newline."""
        head: dict[str, Any] = {"pid": self.pid, "time": self.time_ns / 1e9}
        lists: tuple[tuple[str, Iterable[dict[str, Any]]], ...] = (
            ("processes", (_process(process) for process in self.processes)),
            ("threads", (_thread(thread, self.time_ns) for thread in self.threads)),
            ("sockets", (_socket(state, self.holders) for state in self.sockets)),
            ("epoll", (_epoll(p.pid, fd, watched) for p in self.processes for fd, watched in p.epoll.items())),
            ("limits", ({"what": limit.what, "why": limit.why, "mend": limit.mend} for limit in self.limits)),
        )
        first = {**head, "version": 1, "kernel": self.kernel, "took_ms": self.took_ns // 10**6, "sysctls": self.sysctls}
        found = [_line(first)]
        for name, items in lists:
            found += [_line({**head, name: batch}) for batch in _batches(items)]
        return found


def _locks(found: tuple[ProcessState, ...]) -> tuple[FileLock, ...]:
    """Only asked for when somebody waits for one: the list of a busy host is long."""
    waiting = {t.pid for p in found for t in p.threads if t.call is not None and t.call.name.startswith(_LOCK_CALLS)}
    return tuple(lock for lock in procfs.locks() if lock.waiter in waiting) if waiting else ()


def _line(value: dict[str, Any]) -> bytes:
    return PREFIX + json.dumps({"snapshot": value}, separators=(",", ":")).encode("ascii")


def _batches(items: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for item in items:
        batch.append(item)
        if len(batch) == _PER_LINE:
            yield batch
            batch = []
    if batch:
        yield batch


def _process(process: ProcessState) -> dict[str, Any]:
    inner = {"ns_pids": list(process.ns_pids[1:])} if len(process.ns_pids) > 1 else {}
    return inner | {
        "pid": process.pid,
        "ppid": process.ppid,
        "argv": list(process.argv),
        "name": process.name,
        "state": process.state,
        "machine": process.machine,
    }


def _thread(thread: Thread, now_ns: int) -> dict[str, Any]:
    call = thread.call
    return {
        "pid": thread.pid,
        "tid": thread.tid,
        "name": thread.name,
        "state": thread.state,
        "call": call.name if call is not None else None,
        "args": list(call.args) if call is not None else None,
        "fd": call.fd if call is not None else None,
        "fds": [list(pair) for pair in call.fds] if call is not None else [],
        "limit": _seconds(call.limit_ns) if call is not None else None,
        "limit_source": call.limit_source or None if call is not None else None,
        "since": (now_ns - thread.blocked_ns) / 1e9 if thread.blocked_ns is not None else None,
        "wchan": thread.wchan,
    }


def _socket(state: SocketState, holders: dict[int, tuple[End, ...]]) -> dict[str, Any]:
    return {
        "pid": state.pid,
        "fd": state.fd,
        "inode": state.inode,
        "family": state.family,
        "type": state.type,
        "protocol": state.protocol,
        "local": str(state.local) if state.local is not None else None,
        "peer": str(state.peer) if state.peer is not None else None,
        "state": state.state,
        "keepalive": {
            "on": state.keepalive.on,
            "idle_s": state.keepalive.idle_s,
            "interval_s": state.keepalive.interval_s,
            "count": state.keepalive.count,
        },
        "nonblock": state.nonblock,
        "rcvtimeo": _seconds(state.rcvtimeo_ns),
        "sndtimeo": _seconds(state.sndtimeo_ns),
        "user_timeout": _seconds(state.user_timeout_ns),
        "role": "server" if state.serves else None,
        "last_word": state.last_word or None,
        "unread": state.unread,
        "unsent": state.unsent,
        "last_data_sent_ms": state.tcp.last_data_sent_ms if state.tcp is not None else None,
        "last_data_received_ms": state.tcp.last_data_received_ms if state.tcp is not None else None,
        "timer": state.timer,
        "timer_ms": state.timer_ms,
        "retransmits": state.retransmits,
        "held_by": [f"{end.command}[{end.pid}]" for end in holders.get(state.peer_inode or 0, ())],
    }


def _epoll(pid: int, fd: int, watched: tuple[tuple[int, str], ...]) -> dict[str, Any]:
    return {"pid": pid, "fd": fd, "fds": [list(pair) for pair in watched]}


def _seconds(value_ns: int | None) -> float | None:
    return value_ns / 1e9 if value_ns is not None else None
