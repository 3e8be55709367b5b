"""Puts the kernel's answers about a process tree together: processes first, then their sockets.

Everything is read in the order that loses least: calls and waits (which change) before descriptors and tables.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import replace
from typing import Any

from systrace import calls
from systrace.kernel import clock, pidfd, procfs, sock_diag
from systrace.kernel.addresses import FAMILIES, PROTOCOLS, TYPES
from systrace.kernel.calls import decode, mutex_owner
from systrace.kernel.interest import followed
from systrace.kernel.memory import Memory
from systrace.kernel.permission import refusal
from systrace.look.nouns import Call, Descriptor, End, Limit, ProcessState, SocketState, Thread
from systrace.words import clean

_SAMPLE_S = 0.03  # how long a running thread is watched at least
_SEARCH_S = 0.06  # how long the other ends of pipes are looked for
_BUSY = 0.5  # of a CPU
_PEEKED = 32  # sockets
_MAX_PROCESSES = 256


def processes(pid: int, limits: list[Limit]) -> tuple[ProcessState, ...]:
    """The tree under `pid`; what has gone meanwhile is left out, so the result may be empty."""
    stat = procfs.stat_of(pid)
    family = procfs.tree(pid) if stat is None or not stat.kernel_thread else [pid]  # kthreadd has hundreds, all alike
    pids = [p for p in family if p != os.getpid() or p == pid]  # `attach $$`: we are in that tree ourselves
    if len(pids) > _MAX_PROCESSES:
        limits.append(Limit(f"{len(pids) - _MAX_PROCESSES} of {len(pids)} processes", "the tree is too large"))
    found = [state for p in pids[:_MAX_PROCESSES] if (state := _process(p, limits)) is not None]
    if not found or found[0].pid != pid:
        return ()
    return tuple(_second_look(process) for process in _with_times(found))


def _second_look(process: ProcessState) -> ProcessState:
    """A thread that was awake between two waits (a loop of short polls) has gone back to the next one by now."""
    awake = {t.tid for t in process.threads if t.state == "R" and (t.cpu_share or 0.0) < _BUSY}
    fresh = _process(process.pid, []) if awake else None
    if fresh is None or fresh.start_ticks != process.start_ticks:
        return process
    asleep = {t.tid: t for t in fresh.threads if t.tid in awake and t.call is not None}
    return replace(process, threads=tuple(asleep.get(thread.tid, thread) for thread in process.threads))


def _process(pid: int, limits: list[Limit]) -> ProcessState | None:
    stat, status = procfs.stat_of(pid), procfs.status_of(pid)
    if stat is None or not status:
        return None
    tids = procfs.task_ids(pid)
    witness = tids[-1] if stat.state in "ZX" and tids else pid  # /proc/TID is there too, if not listed
    machine = procfs.machine_of(witness)
    numbers = procfs.numbers_in_namespaces(pid)
    threads = _threads(pid, witness, machine, _inner_tids(pid, tids, numbers), tids)
    descriptors: tuple[Descriptor, ...] = ()
    if stat.kernel_thread:
        threads = tuple(replace(thread, call=None) for thread in threads)
    else:
        if any(not thread.readable and thread.state not in "ZX" for thread in threads):
            limits.append(Limit(f"the calls and descriptors of process {pid}", refusal(pid) or "refused"))
        descriptors = _with_fifos(witness, procfs.descriptors_of(witness) or (), threads)
    watched = _watched(witness, descriptors)
    argv = procfs.argv_of(witness)
    tracer, tracer_name = _tracer(status)
    if not _same(pid, stat.start_ticks):
        return None
    return ProcessState(
        pid=pid,
        ppid=stat.ppid,
        name=stat.name,
        argv=argv,
        state=stat.state,
        uid=int(status.get("Uid", "0").split()[0]),
        start_ticks=stat.start_ticks,
        machine=machine,
        threads=tuple(replace(t, call=followed(witness, t.call, descriptors, watched)) for t in threads),
        descriptors=descriptors,
        epoll=watched,
        tracer=tracer,
        tracer_name=tracer_name,
        kernel_thread=stat.kernel_thread,
        frozen=not stat.kernel_thread and procfs.frozen(pid),
        alarms=procfs.alarms_of(witness, status),
        ns_pids=numbers,
        program=procfs.program_of(witness),
        witness=witness,
    )


def _threads(pid: int, witness: int, machine: str, inner: dict[int, int], tids: list[int]) -> tuple[Thread, ...]:
    """Those of the process that are still there; `inner` gives their numbers by what they call themselves."""
    with Memory(witness, 32 if machine in ("i386", "arm") else 64) as memory:
        return tuple(t for tid in tids if (t := _thread(pid, tid, machine, memory, inner)) is not None)


def _watched(witness: int, descriptors: tuple[Descriptor, ...]) -> dict[int, tuple[tuple[int, str], ...]]:
    """The interest set of each epoll descriptor."""
    inodes = {d.fd: d.inode for d in descriptors if d.inode is not None}
    return {d.fd: procfs.epoll_interest(witness, d.fd, inodes) for d in descriptors if d.kind == "epoll"}


def _tracer(status: dict[str, str]) -> tuple[int, str]:
    """Number and name of a debugger or tracer; 0 and no name without one."""
    tracer = int(status.get("TracerPid", "0") or 0)
    stat = procfs.stat_of(tracer) if tracer else None
    return tracer, stat.name if stat is not None else ""


def _same(pid: int, start_ticks: int) -> bool:
    """Whether the number has not come to belong to another process meanwhile."""
    stat = procfs.stat_of(pid)
    return stat is not None and stat.start_ticks == start_ticks


def _inner_tids(pid: int, tids: list[int], numbers: tuple[int, ...]) -> dict[int, int]:
    """Thread ids as the process itself knows them (in arguments and in memory) -> as we do."""
    if len(numbers) < 2:
        return {tid: tid for tid in tids}
    return {found[-1]: tid for tid in tids if (found := procfs.numbers_in_namespaces(pid, tid))}


def _with_fifos(pid: int, descriptors: tuple[Descriptor, ...], threads: tuple[Thread, ...]) -> tuple[Descriptor, ...]:
    """Named pipes among the files that threads wait for: only the kernel function tells them from files."""
    waited = {t.call.fd for t in threads if t.call is not None and t.wchan.startswith(("pipe_", "anon_pipe"))}
    return tuple(
        replace(d, kind="pipe", inode=procfs.inode_of(pid, d.fd)) if d.kind == "file" and d.fd in waited else d
        for d in descriptors
    )


def _thread(pid: int, tid: int, machine: str, memory: Memory, inner: dict[int, int]) -> Thread | None:
    wchan = procfs.wchan_of(pid, tid)
    current = procfs.syscall_of(pid, tid)
    stat = procfs.stat_of(pid, tid)
    if stat is None:
        return None
    call = None
    if not isinstance(current, str):
        call = decode(*current, machine, wchan, memory)
        owner = inner.get(mutex_owner(call, memory))
        other = inner.get(call.args[2]) if call.name in calls.FUTEXES else None
        if owner is not None:
            call = replace(call, detail=f"mutex owned by thread {owner}")
        elif other is not None and other != tid:
            call = replace(call, detail=f"end of thread {other}")  # pthread_join waits on the tid word
    return Thread(
        pid=pid,
        tid=tid,
        name=stat.name,
        state=stat.state,
        wchan=wchan,
        call=call,
        blocked_ns=None,
        handled=procfs.handled_by(pid, tid) if call is not None and call.name in calls.INTERRUPTIBLE else 0,
        readable=current not in ("refused", "gone"),  # gone: the thread is there, but this kernel has no such file
    )


def _with_times(found: list[ProcessState]) -> tuple[ProcessState, ...]:
    """Fill in how long sleeping threads have not run, and how much of a CPU running ones use."""
    running = {t.tid: clock.cpu_time_ns(t.pid, t.tid) for p in found for t in p.threads if t.state == "R"}
    began = time.monotonic()
    last, cpus = {}, {}
    for process in found:
        for thread in process.threads:
            stat = procfs.stat_of(thread.pid, thread.tid)
            ran = clock.last_ran_ns(thread.pid, thread.tid)
            if stat is not None and ran is not None and thread.state != "R":
                last[thread.tid], cpus[thread.tid] = ran, stat.processor
    now = clock.now_on(cpus.values())
    if running:
        time.sleep(max(0.0, _SAMPLE_S - (time.monotonic() - began)))
    return tuple(
        replace(
            process,
            threads=tuple(
                _timed(
                    thread,
                    _blocked(last.get(thread.tid), now.get(cpus.get(thread.tid, -1))),
                    _share(thread, running.get(thread.tid), began),
                )
                for thread in process.threads
            ),
        )
        for process in found
    )


def _timed(thread: Thread, blocked: int | None, share: float | None) -> Thread:
    call = thread.call
    if call is not None and call.left_ns is not None:
        call = replace(call, limit_ns=call.left_ns + (blocked or 0))
    return replace(thread, call=call, blocked_ns=blocked, cpu_share=share)


def _blocked(last: int | None, now: int | None) -> int | None:
    return max(now - last, 0) if last is not None and now is not None else None


def _share(thread: Thread, before: int | None, began: float) -> float | None:
    after = clock.cpu_time_ns(thread.pid, thread.tid) if before is not None else None
    if before is None or after is None:
        return None
    return round(min((after - before) / ((time.monotonic() - began) * 1e9), 1.0), 2)


def sockets(found: tuple[ProcessState, ...], limits: list[Limit]) -> tuple[SocketState, ...]:
    """Every socket descriptor of the tree."""
    result = []
    for process in found:
        mine = [d for d in process.descriptors if d.kind == "socket" and d.inode is not None]
        if mine:
            rows = _rows(process.witness, {d.inode for d in mine if d.inode is not None}, limits)
            result += _process_sockets(process, mine, rows, limits)
    return tuple(result)


def _rows(pid: int, inodes: set[int], limits: list[Limit]) -> dict[int, sock_diag.Row]:
    try:
        with sock_diag.namespace_socket(pid) as netlink:
            rows = sock_diag.inet_rows(netlink, inodes) + sock_diag.unix_rows(netlink, inodes)
    except OSError as error:
        limits.append(
            Limit(
                f"TCP_INFO by netlink in the network namespace of process {pid}",
                f"{error.strerror}: the tables of /proc/{pid}/net were read instead",
                "run as root (entering a network namespace needs CAP_SYS_ADMIN)",
            )
        )
        rows = sock_diag.text_rows(pid, inodes)
    return {row.inode: row for row in rows}


def _process_sockets(
    process: ProcessState, mine: list[Descriptor], rows: dict[int, sock_diag.Row], limits: list[Limit]
) -> list[SocketState]:
    """Each with its options, read through a duplicate; without them from where duplicating is refused."""
    states: list[SocketState] = []
    peeks = _PEEKED
    if process.witness != process.pid:
        limits.append(Limit(f"socket options of process {process.pid}", "its first thread has ended"))
        return [_state(process.pid, d, rows.get(d.inode or 0, _UNKNOWN), {}, b"") for d in mine]
    try:
        with pidfd.Target(process.pid) as target:
            if not _same(process.pid, process.start_ticks):
                return states
            for descriptor in mine:
                row = rows.get(descriptor.inode or 0, _UNKNOWN)
                try:
                    with target.duplicate(descriptor.fd) as fd:
                        if os.fstat(fd).st_ino != descriptor.inode:
                            continue  # the number is another socket's now
                        head = pidfd.peek(fd) if row.unread and row.state != "listen" and peeks > 0 else b""
                        states.append(_state(process.pid, descriptor, row, _options(fd, row), head))
                        peeks -= bool(head)
                except OSError as error:
                    if error.errno != errno.EBADF:  # closed meanwhile
                        raise
    except OSError as error:
        why = f"pidfd_getfd: {error.strerror}"
        limits.append(Limit(f"socket options of process {process.pid} (keepalive, timeouts)", why))
        states += [_state(process.pid, d, rows.get(d.inode or 0, _UNKNOWN), {}, b"") for d in mine[len(states) :]]
    return states


_UNKNOWN = sock_diag.Row(0, "other", "", "", None, None, type="other")


def _state(pid: int, descriptor: Descriptor, row: sock_diag.Row, options: dict[str, Any], head: bytes) -> SocketState:
    values = {
        "family": row.family,
        "type": row.type,
        "protocol": row.protocol,
        "local": row.local,
        "peer": row.peer,
        "state": row.state,
        "unread": row.unread,
        "tcp": row.tcp,
        **options,
    }
    return SocketState(
        pid=pid,
        fd=descriptor.fd,
        inode=descriptor.inode or 0,
        timer_ms=row.timer_ms,
        retransmits=row.retransmits,
        unread_head=clean(head, 96),
        peer_inode=row.peer_inode,
        accepted=row.accepted,
        **{"timer": row.timer, "unsent": row.unsent, **values},
    )


def _options(fd: int, row: sock_diag.Row) -> dict[str, Any]:
    """What only the socket itself tells; its identity too when no table had it (of another namespace, or unbound)."""
    found: dict[str, Any] = {
        "nonblock": pidfd.nonblocking(fd),
        "rcvtimeo_ns": pidfd.timeout_ns(fd, socket.SO_RCVTIMEO),
        "sndtimeo_ns": pidfd.timeout_ns(fd, socket.SO_SNDTIMEO),
        "options_known": True,
    }
    protocol = row.protocol
    if row is _UNKNOWN:
        kind = pidfd.domain_type_protocol(fd)
        if kind is None:
            return {}
        protocol = PROTOCOLS.get(kind[2], "")
        found["family"], found["type"], found["protocol"] = (
            FAMILIES.get(kind[0], "other"),
            TYPES.get(kind[1], "other"),
            protocol,
        )
        found["local"], found["peer"] = pidfd.addresses_of(fd)
    if protocol == "tcp":
        found["user_timeout_ns"] = pidfd.user_timeout_ns(fd)
        found["syn_retries"] = pidfd.option(fd, socket.IPPROTO_TCP, socket.TCP_SYNCNT)
        found["keepalive"] = pidfd.keepalive_of(fd)
        if row.tcp is None:
            found["tcp"] = info = pidfd.tcp_info_of(fd)
            found["state"] = row.state or (info.state if info is not None else "")
            if row is _UNKNOWN and info is not None:  # of another network namespace: the socket itself must say it
                found["unread"], found["unsent"] = pidfd.unread(fd), pidfd.unsent(fd)
                found["timer"] = "on" if info.unacked and info.retransmits else "persist" if info.probes else ""
    elif row.state != "listen":
        found["unread"] = pidfd.unread(fd)
    return found


def with_socket_limits(found: tuple[ProcessState, ...], states: tuple[SocketState, ...]) -> tuple[ProcessState, ...]:
    """Give the calls blocked on a socket the timeout that its options set."""
    by_fd = {(state.pid, state.fd): state for state in states}
    return tuple(
        replace(p, threads=tuple(replace(t, call=_limited(t.call, by_fd.get((p.pid, _fd(t))))) for t in p.threads))
        for p in found
    )


def _fd(thread: Thread) -> int:
    return thread.call.fd if thread.call is not None and thread.call.fd is not None else -1


def _limited(call: Call | None, state: SocketState | None) -> Call | None:
    if call is None or state is None:
        return call
    if call.name in calls.INCOMING and state.rcvtimeo_ns is not None:
        return replace(call, limit_ns=state.rcvtimeo_ns, limit_source="SO_RCVTIMEO")
    if (call.name in calls.WRITES or call.name == "connect") and state.sndtimeo_ns is not None:
        return replace(call, limit_ns=state.sndtimeo_ns, limit_source="SO_SNDTIMEO")
    return call


def other_ends(found: tuple[ProcessState, ...], states: tuple[SocketState, ...]) -> dict[int, tuple[End, ...]]:
    """Who holds the other ends of the pipes and local sockets that threads wait on: inode -> processes."""
    wanted, fifos = _waited_on(found, states)
    ends: dict[int, list[End]] = {inode: [] for inode in wanted}
    for process in found:
        stopped = any(thread.state in "Tt" for thread in process.threads)
        for d in process.descriptors:
            inode = fifos.get(d.target, d.inode)
            if inode in ends and (d.kind in ("pipe", "socket") or d.target in fifos):
                ends[inode].append(End(process.pid, process.command, d.readable, d.writable, stopped))
    skip = {process.pid for process in found} | {os.getpid()}
    for found_inode, holders in procfs.holders_of(wanted, fifos, skip, time.monotonic() + _SEARCH_S).items():
        ends[found_inode] += [End(pid, *_who(pid, readable, writable)) for pid, readable, writable in holders]
    return {inode: tuple(dict.fromkeys(holders)) for inode, holders in ends.items()}


def _waited_on(found: tuple[ProcessState, ...], states: tuple[SocketState, ...]) -> tuple[set[int], dict[str, int]]:
    """The inodes of pipes and of local sockets' other ends that threads wait on; the named pipes among them by path."""
    by_fd = {(state.pid, state.fd): state for state in states}
    wanted: set[int] = set()
    fifos: dict[str, int] = {}
    for process in found:
        for fd in {fd for t in process.threads if t.call is not None for fd, _ in t.call.fds}:
            state, descriptor = by_fd.get((process.pid, fd)), process.descriptor(fd)
            if state is not None and state.peer_inode:
                wanted.add(state.peer_inode)
            elif descriptor is not None and descriptor.kind == "pipe" and descriptor.inode:
                wanted.add(descriptor.inode)
                if descriptor.target.startswith("/"):
                    fifos[descriptor.target] = descriptor.inode
    return wanted, fifos


def _who(pid: int, readable: bool, writable: bool) -> tuple[str, bool, bool, bool]:
    argv = procfs.argv_of(pid)
    stat = procfs.stat_of(pid)
    command = argv[0].rsplit("/", 1)[-1] if argv else stat.name if stat is not None else "?"
    return command, readable, writable, stat is not None and stat.state in "Tt"
