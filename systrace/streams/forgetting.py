"""What ended long ago is forgotten and counted: a loop forks, or tries to connect, by the hundred thousand.

What a verdict may still need stays. Of processes: who used a socket that is kept, who waited, was killed or met an error,
and parents. Of sockets that failed in one and the same way: the first and the last ones.
"""

from __future__ import annotations

from collections import Counter, deque

from systrace.model import Process, Socket
from systrace.streams.books import Books
from systrace.streams.tasks import Task

_FIRST, _LAST = 32, 64  # sockets kept of those that failed alike
_DNS = 53
_UNUSED = 20_000  # opened sockets whose first call is kept, used or not
_MOST = 4000  # ended tasks remembered; beyond, the oldest quarter is looked through


def ended(books: Books, task: Task) -> None:
    """A task is no more."""
    books.ended.append(task)
    if len(books.ended) > _MOST:
        _forget(books)


def _forget(books: Books) -> None:
    oldest = books.ended[: _MOST // 4]
    del books.ended[: len(oldest)]
    tasks = books.tasks
    users = {holder.pid for socket in books.lookup.sockets.values() for holder in socket.holders}
    users |= {span.pid for span in books.spans}
    children = Counter(process.parent for process in tasks.processes.values())
    for task in oldest:  # children before parents, as a rule: that is the order in which they end
        process = task.process
        if tasks.by_tid.get(task.tid) is task:
            del tasks.by_tid[task.tid]
        if tasks.processes.get(process.pid) is not process:
            continue
        if process.pid in users or children[process.pid] or not _is_plain(process):
            books.owners[task.tid] = process.pid
            continue
        del tasks.processes[process.pid]
        children[process.parent] -= 1
        books.timers.pop(process.pid, None)
        books.forgotten_processes += 1
        parent = tasks.processes.get(process.parent) if process.parent is not None else None
        if parent is not None:
            parent.child_statuses.pop(process.pid, None)


def failed(books: Books, socket: Socket) -> None:
    """A socket was closed that did not end well."""
    if socket.uid == books.watch:
        return
    process = books.tasks.processes.get(socket.pid) if socket.pid is not None else None
    attempt = socket.attempts[-1] if socket.attempts else None
    how = tuple((fault.kind, fault.errno, fault.direction) for fault in socket.faults[:4])
    tried = (attempt.outcome, attempt.errno) if attempt is not None else None
    kind = (process.path if process is not None else "", socket.type, socket.peer, tried, how, bool(socket.waits))
    first = books.failures.setdefault(kind, [])
    if len(first) < _FIRST:
        first.append(socket)
        return
    last = books.latest_failures.setdefault(kind, deque())
    last.append(socket.uid)
    if len(last) > _LAST:
        first[0].alike += forget(books, last.popleft())


def never_used(books: Books, uid: str) -> None:
    """A socket was opened: of very many that are opened and not used, the oldest lose the call that opened them."""
    books.unused.append(uid)
    if len(books.unused) > _UNUSED:
        socket = books.lookup.sockets.get(books.unused.popleft())
        if socket is not None and len(socket.timeline) == 1 and socket.uid != books.watch:
            socket.timeline = []
            socket.dropped_events += 1


def forget(books: Books, uid: str) -> bool:
    """Keep a socket no longer; False when it was not there."""
    gone = books.lookup.sockets.pop(uid, None)
    if gone is None:
        return False
    books.forgotten += 1
    if gone.is_network and (gone.peer is None or gone.peer.port != _DNS):
        known = books.forgotten_connections
        if gone.role == "server":
            known.accepted += 1
        elif gone.sent.calls or gone.received.calls or any(a.outcome == "connected" for a in gone.attempts):
            known.made += 1
        known.sent += gone.sent.original_len
        known.received += gone.received.original_len
    if books.listener is not None:
        books.listener.forgotten(gone)
    return True


def _is_plain(process: Process) -> bool:
    """It exited by itself, and nothing happened that a rule would ask for."""
    busy = (
        process.ring
        or process.threads
        or process.spans
        or process.faults
        or process.signals
        or process.signal is not None
    )
    failed_of_a_file = process.exit_code and process.unopened
    return not busy and not failed_of_a_file and process.parent is not None and process.exit_code is not None
