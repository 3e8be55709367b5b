"""`run --keepalive`: what is set on whose descriptor."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from systrace.capture.keepalive import Keepalives
from systrace.errors import UsageError
from systrace.kernel import pidfd
from systrace.model import Connected, Endpoint, Record
from tests.tracers.successor import clone_as, kill_and_reap

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(pidfd.supported()), reason="this kernel or container refuses pidfd_getfd"),
]
HOLDS = "import socket, sys, time\ns = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\ntime.sleep(60)\n"
PEER = Endpoint("inet", "127.0.0.1", 80)


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    """A connection of this very process."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        yield client


def connected(tid: int, fd: int, called_ns: int, peer: Endpoint, errno: str | None) -> Connected:
    record = Record(0, 1, tid, called_ns, 1000, "connect", b"", -1 if errno else 0, errno, "returned", b"")
    return Connected(record, fd, peer)


def set_for(tid: int, fd: int, called_ns: int, family: str = "inet", errno: str | None = None) -> str | None:
    """Let it see one connect(2), and act; what it complains of."""
    keepalives = Keepalives("61,16,5")
    keepalives.see(connected(tid, fd, called_ns, Endpoint(family, "127.0.0.1", 80), errno))
    keepalives.start()
    return keepalives.complaint()


def keeps_alive(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))


def test_who_called_gets_it(ours: socket.socket) -> None:
    assert set_for(os.getpid(), ours.fileno(), time.time_ns()) is None
    assert keeps_alive(ours)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 61


@pytest.mark.parametrize(("family", "errno"), [("unix", None), ("inet", "ECONNREFUSED")])
def test_what_is_no_connection_to_come_is_left_alone(ours: socket.socket, family: str, errno: str | None) -> None:
    assert set_for(os.getpid(), ours.fileno(), time.time_ns(), family, errno) is None
    assert not keeps_alive(ours)


def test_a_call_from_before_its_time_was_anothers(ours: socket.socket) -> None:
    """The process with that number has been there for a while, but not as long as that."""
    said = set_for(os.getpid(), ours.fileno(), time.time_ns() - 10 * 86400 * 10**9)
    assert said == f"keepalive could not be switched on: descriptor {ours.fileno()} of {os.getpid()}: No such process"
    assert not keeps_alive(ours)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose the number of a new process")
def test_a_stranger_who_got_the_number_is_left_alone() -> None:
    """Both hold a connection under the same number; only one of them had called connect(2) by then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-I", "-S", "-c", HOLDS, str(server.getsockname()[1])]
        with subprocess.Popen(command) as job:
            first, _ = server.accept()
            called_ns = time.time_ns()
            assert set_for(job.pid, 3, called_ns) is None
            kill_and_reap(job)
        if clone_as(job.pid) == 0:
            os.execv(sys.executable, command)
        second, _ = server.accept()
        try:
            said = set_for(job.pid, 3, called_ns)
            with pidfd.Target(job.pid) as target, target.duplicate(3) as mine:
                assert pidfd.keepalive_of(mine).on is False
        finally:
            os.kill(job.pid, 9)
            os.waitpid(job.pid, 0)
            first.close()
            second.close()
    assert said == f"keepalive could not be switched on: descriptor 3 of {job.pid}: No such process"


def test_only_some_failures_are_shown(ours: socket.socket) -> None:
    keepalives = Keepalives("61,16,5")
    for fd in range(900, 905):
        keepalives.see(connected(os.getpid(), fd, time.time_ns(), PEER, None))
    keepalives.start()
    said = keepalives.complaint() or ""
    assert said.count("Bad file descriptor") == 3
    assert said.endswith("; and 2 more")


@pytest.mark.parametrize("words", ["²,1,1", "1,1", "0,1,1", "1,1,128", "x"])
def test_what_is_no_keepalive(words: str) -> None:
    with pytest.raises(UsageError, match="write IDLE,INTERVAL,COUNT"):
        Keepalives(words)
