"""Sockets that were open before the trace began, from the snapshot at the head of systrace's own recordings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from systrace import calls
from systrace.model import Attempt, Fact, Keepalive, Process, Record, Socket, Span
from systrace.streams.descriptors import Description, standard_table
from systrace.streams.growing import grown
from systrace.streams.lookup import Lookup, parse_endpoint
from systrace.streams.tasks import Task, Tasks

_ATTACH_NS = 5_000_000_000  # strace prints the call that it interrupts within this time of the snapshot
_NEVER_S = 1e15
_STATES = {"listen": "listening", "syn-sent": "connecting"}  # the kernel's word: ours, where they differ
_KINDS = {
    name: kind
    for kind, names in (
        ("futex", calls.FUTEXES), ("child", calls.CHILDREN), ("sleep", calls.SLEEPS), ("lock", {"flock"}),
        ("signal", calls.SIGNALS),
    )
    for name in names
}  # fmt: skip


def adopt_snapshot(event: Fact, tasks: Tasks, lookup: Lookup) -> None:
    """Enter processes, threads, sockets and epoll sets as `kernel.snapshot` wrote them; odd items are passed over."""
    snapshot = event.values["snapshot"]
    for item in _items(snapshot, "processes"):
        _adopt_process(item, tasks)
    for item in _items(snapshot, "processes"):
        _adopt_number(item, tasks)
    for item in _items(snapshot, "threads"):
        task = _adopt_thread(item, tasks)
        if task is not None and item.get("state") not in ("T", "t"):  # stopped or held by a debugger: that is no wait
            task.blocked = {**item, "time": snapshot.get("time"), "event": event}
    for item in _items(snapshot, "sockets"):
        _adopt_socket(item, snapshot.get("time"), tasks, lookup)
    for task in tasks.by_tid.values():
        if task.blocked is not None:
            _adopt_wait(event, task)
    for item in _items(snapshot, "epoll"):
        _adopt_epoll(item, tasks)


def _adopt_process(item: dict[str, Any], tasks: Tasks) -> None:
    pid = item.get("pid")
    if isinstance(pid, int) and pid not in tasks.processes:
        argv = tuple(str(word) for word in item.get("argv") or [])
        process = Process(pid, _int(item.get("ppid")), argv, threads={pid})
        tasks.processes[pid] = process
        tasks.by_tid[pid] = Task(pid, process, standard_table(tasks.others))


def _adopt_number(item: dict[str, Any], tasks: Tasks) -> None:
    """A process of another PID namespace: its last number is the one that its parent knows."""
    pid, numbers = item.get("pid"), item.get("ns_pids")
    child = tasks.processes.get(pid) if isinstance(pid, int) else None
    if child is not None and child.parent and isinstance(numbers, list) and numbers and isinstance(numbers[-1], int):
        tasks.number(child.parent, numbers[-1], child)


def _adopt_thread(item: dict[str, Any], tasks: Tasks) -> Task | None:
    tid, pid = item.get("tid"), item.get("pid")
    if not isinstance(tid, int):
        return None
    leader = tasks.by_tid.get(pid) if isinstance(pid, int) else None
    if leader is not None and tid not in tasks.by_tid:
        leader.table.users += 1
        leader.process.threads.add(tid)
        tasks.by_tid[tid] = Task(tid, leader.process, leader.table)
    return tasks.by_tid.get(tid)


def _adopt_epoll(item: dict[str, Any], tasks: Tasks) -> None:
    task = tasks.by_tid.get(item.get("pid", -1))
    fd = item.get("fd")
    if task is None or not isinstance(fd, int):
        return
    epoll = Description("epoll")
    task.table.put(fd, epoll)
    for watched, direction in _pairs(item):
        if watched in task.table.fds:
            events = "EPOLLOUT" if direction == "w" else "EPOLLIN"
            epoll.watching().interest[watched] = (task.table.fds[watched], events, None)


def _adopt_wait(event: Fact, task: Task) -> None:
    """A thread was blocked when the snapshot was taken: its wait began then, whatever strace prints of it later."""
    item = task.blocked or {}
    start, limit = nanoseconds(item.get("since")), nanoseconds(item.get("limit"))
    for fd, want in _pairs(item):
        description = task.table.fds.get(fd)
        if description is None or description.socket is None:
            continue
        socket = description.socket
        if socket.waiting is not None and socket.role != "listener":
            continue
        direction = "w" if want == "w" else "r"
        source = "timerfd" if item.get("limit_source") == "timerfd" else str(item.get("call") or "")
        span = Span(
            task.tid, task.process.pid, "socket", start, None, limit, source, False, [event], (socket.uid,), direction
        )
        if socket.waiting is not None:  # several workers wait for the clients of one listener
            socket.waits = grown(socket.waits, span)
            continue
        socket.waiting = span
        if socket.state == "connecting" and not socket.attempts:
            attempt = Attempt(socket.peer, start, [event], blocking=not socket.nonblock)
            socket.attempts = grown(socket.attempts, attempt)
        task.last_wait = [*task.last_wait, span]


def blocked_before(task: Task, record: Record) -> tuple[str, str, int, int | None] | None:
    """(kind, syscall, since in ns, limit in ns) of a wait that is no socket's and that this record, the first wait of its
    thread, goes on with; kind is empty where the record itself says it better.
    """
    item, task.blocked = task.blocked, None
    if item is None:
        return None
    call, since, seen = item.get("call"), nanoseconds(item.get("since")), nanoseconds(item.get("time"))
    if not isinstance(call, str) or since is None or seen is None or record.time_ns is None:
        return None
    if record.syscall not in (call, "restart_syscall") or not 0 <= record.time_ns - seen < _ATTACH_NS:
        return None
    kind = _KINDS.get(call, "") if record.syscall != call else ""
    return kind, call, min(since, record.time_ns), nanoseconds(item.get("limit"))


def waits_unseen(tasks: Tasks) -> list[tuple[Task, Span]]:
    """The waits of threads that are no socket's, as the snapshot saw them: for a trace too short to show any call."""
    found = []
    for task in tasks.by_tid.values():
        item = task.blocked or {}
        call = str(item.get("call") or "")
        kind = "stdin" if call == "read" and item.get("fd") == 0 else _KINDS.get(call, "")
        start = nanoseconds(item.get("since") or item.get("time"))
        if kind and not task.last_wait:
            limit = nanoseconds(item.get("limit"))
            seen_by = [item["event"]]
            found.append((task, Span(task.tid, task.process.pid, kind, start, None, limit, call, False, seen_by)))
    return found


def _adopt_socket(item: dict[str, Any], snapshot_time: object, tasks: Tasks, lookup: Lookup) -> None:
    task = tasks.by_tid.get(item.get("pid", -1))
    fd, inode = item.get("fd"), _int(item.get("inode"))
    if task is None or not isinstance(fd, int):
        return
    family = str(item.get("family") or "unknown")
    socket = lookup.new_socket(family, str(item.get("type") or "unknown"), str(item.get("protocol") or ""), None)
    socket.inherited = True
    socket.local = parse_endpoint(item.get("local"), family)
    socket.peer = parse_endpoint(item.get("peer"), family)
    state = str(item.get("state") or "")
    socket.state = _STATES.get(state, state)
    socket.role = "pair" if _is_plumbing(item, tasks) else _role(item, socket)
    socket.last_word = str(item.get("last_word") or "")
    if socket.type == "stream":
        socket.last_progress_ns = _last_progress_ns(item, nanoseconds(snapshot_time))
    holders = item.get("held_by")
    if socket.peer is None and isinstance(holders, list):
        socket.name = ", ".join(str(holder) for holder in holders[:3]) or None
    socket.nonblock = bool(item.get("nonblock"))
    keepalive = item.get("keepalive")
    if isinstance(keepalive, dict):
        numbers = {name: _int(keepalive.get(name)) for name in ("idle_s", "interval_s", "count")}
        socket.keepalive = Keepalive(keepalive.get("on"), **numbers)
    socket.rcvtimeo_ns = nanoseconds(item.get("rcvtimeo"))
    socket.sndtimeo_ns = nanoseconds(item.get("sndtimeo"))
    socket.user_timeout_ns = nanoseconds(item.get("user_timeout"))
    lookup.adopt(task, fd, Description("socket", socket), inode)


def _is_plumbing(item: dict[str, Any], tasks: Tasks) -> bool:
    """A UNIX socket whose other end the process, or one that was looked at with it, holds: its own wake-up call."""
    holders = item.get("held_by")
    if item.get("family") != "unix" or item.get("peer") or not isinstance(holders, list) or not holders:
        return False
    if not any(_waits_for_more(task) for task in tasks.by_tid.values() if task.process.pid == item.get("pid")):
        return False  # whoever waits for its own end alone hangs
    pids = [_HELD_BY.search(str(holder)) for holder in holders]
    return all(pid is not None and int(pid[1]) in tasks.processes for pid in pids)


def _waits_for_more(task: Task) -> bool:
    """For several descriptors at once, as event loops do."""
    watched = (task.blocked or {}).get("fds")
    return isinstance(watched, list) and len(watched) > 1


_HELD_BY = re.compile(r"\[(\d{1,10})\]\Z")


def _role(item: dict[str, Any], socket: Socket) -> str:
    if item.get("role") == "server":
        return "server"
    if item.get("state") == "listen":
        return "listener"
    return "client" if socket.peer is not None else "unknown"


def _last_progress_ns(item: dict[str, Any], now: int | None) -> int | None:
    """When bytes moved last, in either direction."""
    ages = [_int(item.get(f"last_data_{way}_ms")) for way in ("sent", "received")]
    known = [age for age in ages if age is not None]
    return now - min(known) * 1_000_000 if now is not None and known else None


def snapshot_of(event: Fact, socket: Socket) -> str:
    """What a line of a snapshot says about a socket, for people; empty when it says nothing."""
    snapshot = event.values.get("snapshot")
    if not isinstance(snapshot, dict):
        return ""
    held = {(holder.pid, holder.fd) for holder in socket.holders}
    item = next((item for item in _items(snapshot, "sockets") if (item.get("pid"), item.get("fd")) in held), None)
    return f"snapshot: fd {item['fd']} {', '.join(_words(item))}" if item is not None else ""


def _words(item: dict[str, Any]) -> list[str]:
    """What a snapshot says about one socket."""
    ends = f"{item.get('local') or '-'} -> {item.get('peer') or '-'}"
    words = [f"{item.get('protocol') or item.get('family')} {item.get('state') or ''}".strip() + f" {ends}"]
    words += [f"{name} {item[name]}" for name in ("unread", "unsent") if isinstance(item.get(name), int)]
    for way in ("sent", "received"):
        if (age := _int(item.get(f"last_data_{way}_ms"))) is not None:
            words.append(f"last data {way} {age} ms before")
    words.append(f"timer {item['timer']}" if item.get("timer") else "no timer")
    keepalive = item.get("keepalive")
    if isinstance(keepalive, dict) and keepalive.get("on") is not None:
        words.append(f"keepalive {'on' if keepalive['on'] else 'off'}")
    return words


def _items(snapshot: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = snapshot.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _pairs(item: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """(descriptor, direction) of what is waited for."""
    for entry in item.get("fds") or []:
        if isinstance(entry, list) and len(entry) == 2:
            yield entry[0], entry[1]


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def nanoseconds(value: object) -> int | None:
    """Seconds of a `#` line; None for what is no time of a real clock (0, NaN, 1e400)."""
    return int(value * 1e9) if isinstance(value, int | float) and 0 < abs(value) < _NEVER_S else None
