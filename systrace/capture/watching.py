"""The kernel's word on the waits of a traced job, asked while they last: nothing of the job is stopped, read or signalled.

A thread of systrace looks twice a second, and less often where a look is dear: it sleeps `_REST` times as long as it
worked. Of each socket that is waited for, a reading goes into the recording once the wait has lasted a second, again
after pauses that double, whenever the kernel's word changes, and when the wait is over.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from systrace.capture.process_tree import descendants
from systrace.capture.reporting import complain, words
from systrace.dataclass import dataclass
from systrace.tracers.waiting import Running

if TYPE_CHECKING:
    from systrace.kernel.listeners import Listeners
    from systrace.kernel.sock_diag import Row
    from systrace.kernel.waiting import Awaited, Sets, Tables
    from systrace.model import Endpoint

FIRST_NS = 900_000_000  # a wait that lasts as long is worth a word
_PAUSE_S = 0.5
_REST = 330  # times the cost of a look: at most 0.3 % of a processor
_LONGEST_S = 60.0
_EAGER_S = 6.0  # the first looks have imports and searches to do, and many a program gives up after five seconds:
_EAGER_REST_S = 1.5  # they rest no longer than that, or `_EAGER_REST` times their cost
_EAGER_REST = 150
_LAST_WORD_S = 1.5  # how long the kernel is asked what became of a closed connection
_REPEAT_S = (
    1.2  # and longer, where its end was sent again once: RTO doubles, and is long where the way or the host is slow
)
_SOON_S = 0.05
_LATE_NS = 1_100_000_000  # before a call's own limit: there is a look in that time
_REPEATED = 2  # times that the end was sent again: not a lost packet, a lost connection
_SHOWN = 3
_WATCHED = 64  # of one process
_PASSED_NS = 10_000_000_000  # then the whole table is asked again
_SOCKETS = 8  # that one look tells about, the most telling first
_LONGEST_PAUSE_NS = 3_600_000_000_000
Write = Callable[[bytes], None]
Observer = Callable[["Watcher"], None]


@dataclass(slots=True)
class Watched:
    """A wait for a socket, as long as it lasts."""

    awaited: Awaited
    row: Row
    namespace: int
    since_ns: int  # monotonic: noticed, or something came
    pause_ns: int = FIRST_NS
    due_ns: int = 0
    word: tuple[object, ...] = ()  # what the last reading said, as far as a change is worth another
    told: bool = False
    listeners: Listeners | None = None
    late: bool = False  # the reading shortly before the program's own limit is made


class Watcher:
    """Follows the waits of processes and their descendants, in a thread of its own."""

    def __init__(self, pids: Iterable[int], write: Write, observers: Iterable[Observer] = ()) -> None:
        """`write` takes a line of the recording; `observers` are called after each look, in the watching thread."""
        self._known: dict[int, Running] = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                self._known[pid] = Running.of(pid)  # now: later the number may be a stranger's
        self._write = write
        self._observers = tuple(observers)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._waits: dict[tuple[int, int, int], Watched] = {}  # by thread, descriptor, inode
        self._passed: dict[tuple[int, int, int], int] = {}  # no TCP, or of many the least telling: when that was seen
        self._tables: Tables | None = None
        self._sets: Sets = {}
        self.refused: set[int] = set()  # processes whose calls the kernel does not tell
        self.tables_refused = False

    @property
    def processes(self) -> list[Running]:
        """Those of the job, as of the last look."""
        return list(self._known.values())

    @property
    def moved(self) -> dict[int, tuple[int | None, int | None]]:
        """Bytes received and acknowledged, by inode, of the connections that are waited for."""
        rows = {each.row.inode: each.row.tcp for each in self._waits.values()}
        return {inode: (tcp.bytes_received, tcp.bytes_acked) for inode, tcp in rows.items() if tcp is not None}

    @property
    def longest(self) -> Watched | None:
        """The longest wait that something is owed in."""
        owed = [each for each in self._waits.values() if _counts(each)]
        return min(owed, key=lambda each: each.since_ns, default=None)

    @property
    def connections(self) -> int:
        """How many TCP connections the job has open; asked of the kernel now."""
        if self._tables is None:
            return 0
        from systrace.kernel.waiting import sockets_of

        found: set[int] = set()
        for process in self.processes:
            inodes = sockets_of(process.pid)
            found |= {
                row.inode for row in self._tables.find(process.pid, inodes).values() if row.state == "established"
            }
        return len(found)

    @property
    def unseen(self) -> dict[str, list[str]]:
        """What the kernel did not tell us, for the last line of a recording; empty as a rule."""
        found = []
        if self.refused:
            pids = ", ".join(str(pid) for pid in sorted(self.refused)[:_SHOWN])
            more = f" and {len(self.refused) - _SHOWN} more" if len(self.refused) > _SHOWN else ""
            found.append(f"what processes {pids}{more} wait for (set-user-id, or another user's)")
        if self.tables_refused:
            found.append("what is acknowledged in a network namespace that only root may enter")
        return {"unwatched": found} if found else {}

    @property
    def over(self) -> threading.Event:
        """Set when the job has ended."""
        return self._over

    def start(self) -> None:
        """Begin. The thread has the signal mask of the caller."""
        self._thread = threading.Thread(target=self._serve, name="watcher", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """The job is over: the last words about what it waited for, for 1.5 s at most, or 2.7 where a path looks dead."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_LAST_WORD_S + _REPEAT_S + 1.0)
            self._thread = None

    def _serve(self) -> None:
        if self._over.wait(_PAUSE_S):
            return  # a short job pays nothing
        try:
            self._follow()
        except Exception as error:  # noqa: BLE001 (nobody is to suffer from a mistake of ours)
            complain(f"the kernel is asked no more about the job's waits: {words(error)}")

    def _follow(self) -> None:
        from systrace.kernel.waiting import Tables

        tables = self._tables = Tables()
        eager_until, first = time.monotonic() + _EAGER_S, True
        try:
            while True:
                began = time.thread_time()
                self._look(tables)
                cost = time.thread_time() - began
                paid, first = 0.0 if first else cost * _EAGER_REST, False
                for observer in self._observers:
                    observer(self)
                longest = max(_EAGER_REST_S, paid) if time.monotonic() < eager_until else _LONGEST_S
                if self._over.wait(min(max(_PAUSE_S, cost * _REST), longest)):
                    break
            self._last_words(tables, list(self._waits.values()))
        finally:
            self.tables_refused = tables.refused
            tables.close()

    # ------------------------------------------------------------------------------------------------------ one look

    def _look(self, tables: Tables) -> None:
        now = time.monotonic_ns()
        found = self._awaited()
        current = {(each.tid, each.fd, each.inode): each for each in found}
        ended = [watched for key, watched in self._waits.items() if key not in current]
        self._waits = {key: watched for key, watched in self._waits.items() if key in current}
        self._passed = {key: at for key, at in self._passed.items() if key in current and now - at < _PASSED_NS}
        fresh = {key: each for key, each in current.items() if key not in self._waits and key not in self._passed}
        self._enter(tables, fresh, now)
        telling = [each for each in self._waits.values() if self._refresh(tables, each, now)]
        for watched in sorted(telling, key=_urgency, reverse=True)[:_SOCKETS]:
            self._tell(watched, now)
        self._last_words(tables, ended)

    def family(self) -> list[Running]:
        """The job's processes as they are now, with those that it has let go (daemons) as long as they live."""
        self._known = {pid: each for pid, each in self._known.items() if _lives(each)}
        found: dict[int, Running] = {}
        for known in self._known:  # parents come first, so most are found with their family
            if known not in found:
                found |= {each.pid: each for each in descendants(known)}
        self._known |= found
        return self.processes

    def _awaited(self) -> list[Awaited]:
        from systrace.kernel.waiting import awaited

        found = []
        for process in self.family():
            try:
                found += awaited(process.pid, self._sets)
            except PermissionError:
                self.refused.add(process.pid)
        waiting = {each.tid for each in found}
        self._sets = {key: known for key, known in self._sets.items() if key[0] in waiting}
        return found

    def _enter(self, tables: Tables, fresh: dict[tuple[int, int, int], Awaited], now: int) -> None:
        by_pid: dict[int, set[int]] = {}
        for each in fresh.values():
            by_pid.setdefault(each.pid, set()).add(each.inode)
        rows = {pid: tables.find(pid, inodes, _WATCHED) for pid, inodes in by_pid.items()}
        for key, each in fresh.items():
            row = rows[each.pid].get(each.inode)
            if row is not None and row.state != "listen":
                self._waits[key] = Watched(each, row, tables.namespace(each.pid), now, due_ns=now + FIRST_NS)
                if row.state == "syn-sent" and row.peer is not None and len(self._waits) <= _SOCKETS:
                    self._waits[key].listeners = _listeners(row.peer, each.pid)
            else:
                self._passed[key] = now

    def _refresh(self, tables: Tables, watched: Watched, now: int) -> bool:
        """Ask again; whether there is something to tell."""
        row = _now(tables, watched)
        if row is None:
            return False
        if _moved(watched.row, row):
            watched.since_ns = now - _silent_ns(row)
            watched.pause_ns, watched.due_ns, watched.late = FIRST_NS, watched.since_ns + FIRST_NS, False
        watched.row = row
        if now - watched.since_ns < FIRST_NS or not _counts(watched):
            return False
        limit = watched.awaited.limit_ns
        if limit is not None and not watched.late and now + _LATE_NS >= watched.since_ns + limit:
            watched.late = True
            return True
        return now >= watched.due_ns or (watched.told and _word(row) != watched.word)

    def _tell(self, watched: Watched, now: int, *, closed: bool = False) -> None:
        from systrace.kernel.waiting import state_of
        from systrace.look.lines import line_of
        from systrace.look.nouns import Reading

        awaited = watched.awaited
        state = state_of(awaited.pid, awaited.fd, watched.row)
        waited = now - watched.since_ns
        queue = None
        if state.state == "syn-sent" and state.peer is not None:
            watched.listeners = watched.listeners or _listeners(state.peer, awaited.pid)
            queue = watched.listeners.full()
        reading = Reading(time.time_ns(), awaited.pid, awaited.tid, awaited.call, waited, state, closed, queue)
        self._write(line_of(reading))
        watched.told, watched.word = True, _word(watched.row)
        watched.pause_ns = min(watched.pause_ns * 2, _LONGEST_PAUSE_NS)
        watched.due_ns = now + watched.pause_ns

    # --------------------------------------------------------------------------------------------------- what is over

    def _last_words(self, tables: Tables, ended: list[Watched]) -> None:
        """Of connections whose wait is over: do they still stand, and was their end, once sent, acknowledged?"""
        began = time.monotonic()
        waiting = [each for each in ended if time.monotonic_ns() - each.since_ns >= FIRST_NS and _counts(each)]
        waiting = sorted(waiting, key=_urgency, reverse=True)[:_SOCKETS]
        while waiting:
            waiting = [each for each in waiting if not self._last_word(tables, each, time.monotonic() - began)]
            if waiting:
                time.sleep(_SOON_S)

    def _last_word(self, tables: Tables, watched: Watched, asked_s: float) -> bool:
        """Whether the last is said, or there will be none. `asked_s`: for how long it has been asked for."""
        row = tables.again(watched.namespace, watched.row)
        if row is None:
            return True
        if row.inode:  # still held by a program
            moved, watched.row = _moved(watched.row, row), row
            if watched.told and not moved:
                self._tell(watched, time.monotonic_ns())
            return True
        if (
            row.tcp is not None
            and watched.row.tcp is not None
            and row.tcp.bytes_received != watched.row.tcp.bytes_received
        ):
            return True  # the wait was answered
        lost = (row.retransmits or 0) >= _REPEATED
        final = asked_s > _LAST_WORD_S + (_REPEAT_S if row.retransmits else 0.0)
        if row.state in ("fin-wait-1", "closing", "last-ack") and not lost and not final:
            return False  # it has just been sent
        row.inode = watched.row.inode
        watched.row = row
        if lost or row.state in ("fin-wait-2", "time-wait"):
            self._tell(watched, time.monotonic_ns(), closed=True)
        return True


def _listeners(peer: Endpoint, pid: int) -> Listeners:
    """From the first look at a connect on: what a listener dropped before is no proof."""
    from systrace.kernel.listeners import Listeners

    return Listeners(peer, pid)


def _lives(process: Running) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return Running.of(process.pid) == process
    return False


def _now(tables: Tables, watched: Watched) -> Row | None:
    if watched.row.key:
        return tables.again(watched.namespace, watched.row)
    awaited = watched.awaited
    return tables.find(awaited.pid, {awaited.inode}).get(awaited.inode)


def _moved(before: Row, now: Row) -> bool:
    """Something came from the peer, or was taken by it, since."""
    if before.tcp is None or now.tcp is None:
        return before.state != now.state or before.unread != now.unread or (before.unsent or 0) > (now.unsent or 0)
    figures = [(each.bytes_received, each.bytes_acked, each.state) for each in (before.tcp, now.tcp)]
    return figures[0] != figures[1]


def _silent_ns(row: Row) -> int:
    """Since the last data, in either direction; 0 where that is not known."""
    if row.tcp is None or row.state != "established":
        return 0
    return min(row.tcp.last_data_sent_ms, row.tcp.last_data_received_ms) * 1_000_000


def _counts(watched: Watched) -> bool:
    """Something is owed: a connection is to be made, data or an acknowledgement to come; a server's rest is none."""
    row = watched.row
    if row.state == "syn-sent" or row.timer in ("on", "persist") or row.unsent:
        return True
    if row.accepted:
        return False
    return watched.awaited.alone or row.tcp is None or row.tcp.last_data_sent_ms <= row.tcp.last_data_received_ms


def _word(row: Row) -> tuple[object, ...]:
    tcp = row.tcp
    return row.state, row.timer, bool(row.retransmits), bool(tcp is not None and tcp.probes), bool(row.unsent)


def _urgency(watched: Watched) -> tuple[bool, bool, int]:
    row = watched.row
    received = row.tcp.last_data_received_ms if row.tcp is not None else 0
    return bool(row.retransmits), bool(row.unsent), received
