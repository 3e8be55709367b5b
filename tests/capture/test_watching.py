"""Readings of really blocked processes; nothing of those that owe and are owed nothing."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from systrace.capture import watching
from systrace.capture.watching import Watcher
from systrace.kernel import procfs, sock_diag, waiting
from systrace.look.lines import PREFIX, reading_of
from systrace.look.nouns import Backlog, Reading
from systrace.look.telling import tells
from tests.kernel.conftest import Hang, Until, hang, lab, until
from tests.look.readings import TCP

__all__ = ["hang", "lab", "until"]  # fixtures
pytestmark = pytest.mark.real
SECOND = 10**9
QUIET = ("sleep", "busy", "fed", "futex", "accept", "pipe")


class Watch:
    """A watcher, what it wrote, and what it cost."""

    def __init__(self, *pids: int) -> None:
        self.readings: list[Reading] = []
        self.looks = 0
        self.costs: list[tuple[float, float]] = []  # after each look: seconds since the start, of a processor
        self.began = time.monotonic()
        self.watcher = Watcher(pids, self._take, [self._looked])
        self.watcher.start()

    def _take(self, line: bytes) -> None:
        reading = reading_of(json.loads(line.removeprefix(PREFIX))["reading"])
        assert reading is not None
        self.readings.append(reading)

    def _looked(self, _watcher: Watcher) -> None:
        self.looks += 1
        self.costs.append((time.monotonic() - self.began, time.thread_time()))

    def of(self, pid: int) -> list[Reading]:
        return [each for each in self.readings if each.pid == pid]


Watching = Callable[..., Watch]


@pytest.fixture
def watch() -> Iterator[Watching]:
    """`watch(pid, ...)`: finished afterwards."""
    made: list[Watch] = []

    def start(*pids: int) -> Watch:
        made.append(Watch(*pids))
        return made[-1]

    yield start
    for each in made:
        each.watcher.finish()


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """A server that accepts and never answers, nor closes."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:

        def accept() -> None:
            try:
                while True:
                    kept.append(listener.accept()[0])
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[:2]
        listener.shutdown(socket.SHUT_RDWR)
    for each in kept:
        each.close()


def ask(hang: Hang, address: tuple[str, int]) -> Any:
    victim = hang("ask", *address, "1")
    victim.settle("recvfrom")
    return victim


def test_a_silent_server(hang: Hang, watch: Watching, silent: tuple[str, int], until: Until) -> None:
    """A reading after a second, others after pauses that double; the close, and that the peer's host acknowledged it."""
    victim = ask(hang, silent)
    seen = watch(victim.pid)
    until(lambda: len(seen.readings) >= 3)
    for each in seen.readings:
        assert (each.pid, each.tid, each.call, each.closed) == (victim.pid, victim.pid, "recvfrom", False)
        assert (each.socket.fd, each.socket.state, each.socket.unsent) == (int(victim.words[0]), "established", 0)
        assert str(each.socket.peer) == f"127.0.0.1:{silent[1]}"
        assert abs(each.time_ns - time.time_ns()) < 60 * SECOND
        assert each.socket.tcp is not None
    waited = [each.waited_ns for each in seen.readings]
    assert waited[0] >= watching.FIRST_NS
    assert waited[1] - waited[0] >= 2 * watching.FIRST_NS
    assert waited[2] - waited[1] >= 4 * watching.FIRST_NS
    victim.process.kill()
    until(lambda: seen.readings[-1].closed)
    last = seen.readings[-1]
    assert (last.socket.state, last.socket.inode) == ("fin-wait-2", seen.readings[0].socket.inode)
    assert not last.socket.retransmits


def test_the_last_word_comes_when_the_job_is_over(
    hang: Hang, watch: Watching, silent: tuple[str, int], until: Until
) -> None:
    victim = ask(hang, silent)
    seen = watch(victim.pid)
    until(lambda: bool(seen.readings))
    victim.process.kill()
    victim.process.wait()
    seen.watcher.finish()
    assert seen.readings[-1].closed


def test_an_answer_ends_the_wait_without_a_word(hang: Hang, watch: Watching, until: Until) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        victim = hang("ask", *listener.getsockname(), "1")
        with listener.accept()[0] as server:
            victim.settle("recvfrom")
            seen = watch(victim.pid)
            until(lambda: bool(seen.readings))
            server.sendall(b"answer")
            assert victim.line() == "answer answer\n"
            victim.process.wait()
            seen.watcher.finish()
    assert not any(each.closed for each in seen.readings)


def test_descendants_and_several_roots(hang: Hang, watch: Watching, silent: tuple[str, int], until: Until) -> None:
    parent = hang("ask", *silent, "1", prefix=("sh", "-c", '"$@"; true', "sh"))
    child = next(pid for pid in procfs.tree(parent.pid) if pid != parent.pid)
    other = ask(hang, silent)
    seen = watch(parent.pid, other.pid)
    until(lambda: bool(seen.of(child)) and bool(seen.of(other.pid)))


def test_who_rests_works_or_is_served_is_not_mentioned(
    hang: Hang, watch: Watching, silent: tuple[str, int], until: Until
) -> None:
    """Sleeping, computing, fed with data, a server without clients, one with an idle client."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = hang("serve", port)
    quiet = [hang(kind) for kind in QUIET]
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"silent")  # its thread waits for more of it
        until(lambda: len(procfs.task_ids(server.pid)) == 2)
        asking = ask(hang, silent)
        seen = watch(asking.pid, server.pid, *(each.pid for each in quiet))
        until(lambda: len(seen.of(asking.pid)) >= 2)
        until(lambda: seen.looks >= 5)
        names = {each.pid: kind for each, kind in zip(quiet, QUIET, strict=True)} | {server.pid: "serve"}
        assert {names[each.pid]: tells(each) for each in seen.readings if each.pid != asking.pid} == {}


def test_a_wait_in_slices_is_one_wait(hang: Hang, watch: Watching, until: Until) -> None:
    victim = hang("poll_slices")
    seen = watch(victim.pid)
    until(lambda: any(each.waited_ns > 2 * SECOND for each in seen.readings))


def test_a_connect_to_a_full_queue_of_this_machine(hang: Hang, watch: Watching, until: Until) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as first:
        first.connect(listener.getsockname())
        victim = hang("connect", *listener.getsockname())
        victim.settle("connect")
        seen = watch(victim.pid)
        until(lambda: bool(seen.readings))
    reading = seen.readings[0]
    assert (reading.call, reading.socket.state, reading.listener) == ("connect", "syn-sent", Backlog(1, 0))


def test_what_is_not_taken_by_the_peer(hang: Hang, watch: Watching, until: Until) -> None:
    victim = hang("send")
    victim.settle("sendto")
    seen = watch(victim.pid)
    until(lambda: any(each.socket.timer == "persist" for each in seen.readings))
    assert seen.readings[-1].call == "sendto"
    assert seen.readings[-1].socket.unsent


def test_the_end_of_many_waits_is_told_of_a_few(
    hang: Hang, watch: Watching, silent: tuple[str, int], until: Until
) -> None:
    """A job that is killed with a thousand connections: a burst of a thousand lines."""
    victim = hang("epoll_many", *silent, 100)
    victim.settle("epoll_wait")
    seen = watch(victim.pid)
    until(lambda: bool(seen.readings))
    victim.process.kill()
    victim.process.wait()
    seen.watcher.finish()
    closed = [each for each in seen.readings if each.closed]
    assert closed
    assert len(closed) <= watching._SOCKETS


def test_a_short_job_costs_nothing(hang: Hang, silent: tuple[str, int]) -> None:
    victim = ask(hang, silent)
    seen = Watch(victim.pid)
    seen.watcher.finish()
    assert (seen.looks, seen.readings) == (0, [])
    Watcher([victim.pid], seen.readings.append).finish()  # type: ignore[arg-type]  # never started


def test_a_process_that_is_gone(watch: Watching, until: Until) -> None:
    seen = watch(2**22 + 1)
    until(lambda: seen.looks >= 2)
    assert seen.readings == []


class Steps:
    """A watcher whose looks are taken one by one, at the times that a test says; its wait began at 0."""

    def __init__(self, pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[bytes] = []
        self.watcher = Watcher([pid], self.lines.append)
        self.tables = waiting.Tables()
        self.now = time.monotonic_ns()
        self.start = self.now
        monkeypatch.setattr("systrace.capture.watching.time.monotonic_ns", lambda: self.now)

    def told_at(self, *seconds: float) -> list[float]:
        """When there was a reading."""
        found = []
        for each in seconds:
            self.now, before = self.start + round(each * SECOND), len(self.lines)
            self.watcher._look(self.tables)
            found += [each] * (len(self.lines) - before)
        return found


EVERY_HALF = [each / 2 for each in range(41)]


def test_pauses_double(hang: Hang, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = hang("recv")
    victim.settle("recvfrom")
    steps = Steps(victim.pid, monkeypatch)
    assert steps.told_at(*EVERY_HALF) == [1.0, 3.0, 7.0, 14.5]
    steps.tables.close()


def test_a_limit_of_the_programs_own_gets_a_reading_just_before(hang: Hang, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the pauses would have left the last seconds out: the same and one more."""
    victim = hang("epoll_limit", 13)
    victim.settle("epoll_wait")
    steps = Steps(victim.pid, monkeypatch)
    assert steps.told_at(*[each for each in EVERY_HALF if each < 13]) == [1.0, 3.0, 7.0, 12.0]
    steps.tables.close()


ASKED = dataclasses.replace(TCP, last_data_sent_ms=5000, last_data_received_ms=6000)
ANSWERED = dataclasses.replace(TCP, last_data_sent_ms=6000, last_data_received_ms=5000)


@pytest.mark.parametrize(
    ("alone", "figures", "counts"),
    [
        (False, {"tcp": ASKED}, True),
        (False, {"tcp": ANSWERED}, False),  # a pool of connections at rest
        (True, {"tcp": ANSWERED}, True),  # it waits for that one
        (False, {}, True),  # of the text tables: nothing is known of it
        (True, {"tcp": ASKED, "accepted": True}, False),  # a server's rest
        (False, {"tcp": ASKED, "accepted": True, "unsent": 9}, True),
        (False, {"tcp": ANSWERED, "accepted": True, "timer": "persist"}, True),
        (False, {"tcp": ANSWERED, "accepted": True, "timer": "on"}, True),
        (False, {"tcp": ANSWERED, "timer": "keepalive"}, False),
        (False, {"tcp": ANSWERED, "state": "syn-sent"}, True),
    ],
)
def test_what_counts_as_owed(alone: bool, figures: dict[str, Any], counts: bool) -> None:
    row = sock_diag.Row(7, "inet", "tcp", "established", None, None)
    for name, each in figures.items():
        setattr(row, name, each)
    awaited = waiting.Awaited(9, 9, "recvfrom", 3, 7, alone)
    assert watching._counts(watching.Watched(awaited, row, 1, 0)) == counts


def test_what_changes_is_told_at_once(hang: Hang, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each thing that came begins the wait anew."""
    victim = hang("recv")
    victim.settle("recvfrom")
    steps = Steps(victim.pid, monkeypatch)
    assert steps.told_at(0.0, 0.5, 1.0, 1.5, 2.0) == [1.0]
    (watched,) = steps.watcher._waits.values()
    watched.word = ("established", "on", True, False, True)  # as if it had been so
    assert steps.told_at(2.5, 2.6) == [2.5]
    assert watched.row.tcp is not None
    watched.row = dataclasses.replace(watched.row, tcp=dataclasses.replace(watched.row.tcp, bytes_received=77))
    assert steps.told_at(6.0, 6.5, 7.0, 8.0) == [7.0]
    steps.tables.close()


def test_a_refused_process_is_remembered(
    hang: Hang, watch: Watching, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, _sets: object) -> list[waiting.Awaited]:
        raise PermissionError(pid)

    monkeypatch.setattr(waiting, "awaited", refuse)
    victim = hang("recv")
    seen = watch(victim.pid)
    until(lambda: seen.watcher.refused == {victim.pid})
    assert seen.readings == []


def test_a_thousand_quiet_connections(hang: Hang, watch: Watching, silent: tuple[str, int], until: Until) -> None:
    """In one epoll set: under a hundredth of a processor, and few lines a look.

    Imports are not in the figure: some 0.1 s, once, of what the report needs in any case.
    """
    victim = hang("epoll_many", *silent, 1000)
    victim.settle("epoll_wait")
    seen = watch(victim.pid)
    until(lambda: len(seen.costs) >= 2 and seen.costs[-1][0] >= 10, pause=0.2, limit=200)
    (_, worked), (elapsed, _) = seen.costs[-2:]  # looks and the rests after them
    assert worked / elapsed < 0.01, f"{worked:.3f} s in {elapsed:.1f} s"
    assert len(seen.readings) <= watching._SOCKETS * (seen.looks + 1)
    by_inode: dict[int, int] = {}
    for each in seen.readings:
        by_inode[each.socket.inode] = by_inode.get(each.socket.inode, 0) + 1
    assert max(by_inode.values()) <= 4  # doubling pauses: 0.9, 2.7, 6.3 s, ...


def test_a_day_of_waiting_is_some_forty_lines(hang: Hang, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses double up to an hour."""
    victim = hang("recv")
    victim.settle("recvfrom")
    steps = Steps(victim.pid, monkeypatch)
    told = steps.told_at(*range(0, 86_400, 300))
    assert 24 <= len(told) < 40
    assert told[-1] - told[-2] == 3600
    steps.tables.close()
