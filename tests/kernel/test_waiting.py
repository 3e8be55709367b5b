"""What blocked threads wait for, and the kernel's tables of it, of real processes and sockets."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from systrace.kernel import procfs, sock_diag
from systrace.kernel.waiting import Awaited, Tables, awaited, state_of
from systrace.model import Endpoint

pytestmark = pytest.mark.real
ROOT = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="namespaces and users need root")
Hang = Callable[..., Any]
Until = Callable[..., None]
APART = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def inode(fd: int, pid: int | None = None) -> int:
    return Path(f"/proc/{pid or os.getpid()}/fd/{fd}").stat().st_ino


@pytest.mark.parametrize(
    ("kind", "call"), [("recv", "recvfrom"), ("poll", "poll"), ("epoll", "epoll_wait"), ("send", "sendto")]
)
def test_a_thread_that_waits_for_one_socket(hang: Hang, kind: str, call: str) -> None:
    victim = hang(kind)
    victim.settle(call)
    fd = int(victim.words[-1] if kind != "recv" else victim.words[0])
    (found,) = awaited(victim.pid)
    assert found.call in (call, "ppoll", "epoll_pwait")
    assert (found.pid, found.tid, found.fd, found.inode) == (victim.pid, victim.pid, fd, inode(fd, victim.pid))
    assert (found.alone, found.limit_ns) == (True, None)


def test_select_on_two(hang: Hang) -> None:
    victim = hang("selects")
    victim.settle("select")
    found = awaited(victim.pid)
    assert {(each.fd, each.inode) for each in found} == {(int(w), inode(int(w), victim.pid)) for w in victim.words}
    for each in found:
        assert each.call in ("select", "pselect6")
        assert each.alone  # as curl waits: with a wake-up call
        assert each.limit_ns is not None
        assert 200 * 10**9 < each.limit_ns <= 300 * 10**9


def test_an_epoll_set_with_several(hang: Hang) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        victim = hang("epoll_many", *listener.getsockname(), 5)
        victim.settle("epoll_wait")
        fds = {int(word) for word in victim.words[1:]}
        found = awaited(victim.pid)
        assert {each.fd for each in found} == fds
        assert len(fds) == 5
        assert {each.inode for each in found} == {inode(fd, victim.pid) for fd in fds}
        assert not any(each.alone for each in found)


def test_a_call_that_goes_on_after_a_stop(hang: Hang, until: Until) -> None:
    victim = hang("poll_raw")
    victim.settle("poll")
    os.kill(victim.pid, signal.SIGSTOP)
    until(lambda: getattr(procfs.stat_of(victim.pid, victim.pid), "state", "") == "T")
    os.kill(victim.pid, signal.SIGCONT)
    victim.settle("restart_syscall")
    (found,) = awaited(victim.pid)
    assert (found.call, found.fd) == ("poll", int(victim.words[0]))


def test_each_thread_of_several(hang: Hang) -> None:
    """A hundred threads, one of which waits for a socket."""
    victim = hang("many", 8)
    victim.settle("recvfrom")
    (found,) = awaited(victim.pid)
    assert found.call == "recvfrom"


@pytest.mark.parametrize("kind", ["sleep", "busy", "futex", "pipe"])
def test_who_waits_for_no_socket(hang: Hang, kind: str) -> None:
    victim = hang(kind)
    assert awaited(victim.pid) == []


def test_a_process_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert awaited(process.pid) == []


@ROOT
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_another_users_process_is_refused(hang: Hang) -> None:
    victim = hang("recv")
    victim.settle("recvfrom")
    program = (
        "import os, sys\nfrom systrace.kernel.waiting import awaited\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n    print(awaited(int(sys.argv[1])))\nexcept PermissionError:\n    print('refused')\n"
    )
    words = [sys.executable, "-c", program, str(victim.pid)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "refused\n", done.stderr
    assert len(awaited(victim.pid)) == 1


# ------------------------------------------------------------------------------------------------------------- tables


@pytest.fixture
def tables() -> Iterator[Tables]:
    made = Tables()
    yield made
    made.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    """Client, accepted, listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
        with client, accepted:
            yield client, accepted, listener


Ends = tuple[socket.socket, socket.socket, socket.socket]


def found(tables: Tables, sock: socket.socket) -> sock_diag.Row:
    number = os.fstat(sock.fileno()).st_ino
    rows = tables.find(os.getpid(), {number})
    assert list(rows) == [number]
    return rows[number]


def again(tables: Tables, row: sock_diag.Row) -> sock_diag.Row | None:
    return tables.again(tables.namespace(os.getpid()), row)


def test_a_live_connection(tables: Tables, ends: Ends) -> None:
    client, accepted, listener = ends
    row = found(tables, client)
    assert (row.state, row.accepted, row.unread) == ("established", False, 0)
    assert str(row.peer) == f"127.0.0.1:{listener.getsockname()[1]}"
    served = again(tables, found(tables, accepted))
    assert served is not None
    assert served.accepted, "which side it is does not change"
    assert found(tables, listener).state == "listen"
    accepted.sendall(b"12345")
    now = again(tables, row)
    assert now is not None
    assert (now.inode, now.state, now.unread, now.key, now.local) == (row.inode, "established", 5, row.key, row.local)
    assert now.tcp is not None
    assert now.tcp.bytes_received == 5
    assert not tables.refused


def test_a_closed_connection_is_still_known(tables: Tables, ends: Ends, until: Until) -> None:
    client, accepted, _ = ends
    row = found(tables, client)
    client.close()

    def state() -> tuple[str, int]:
        now = again(tables, row)
        return (now.state, now.inode) if now is not None else ("", 0)

    until(lambda: state() == ("fin-wait-2", 0))
    accepted.close()
    until(lambda: state()[0] in ("time-wait", ""))


def connected_from_below_the_ephemeral_ports(listener: socket.socket) -> socket.socket:
    """Nobody else is given such a port (ip_local_port_range) between two connections from it."""
    for port in random.sample(range(15_000, 30_000), 50):
        with contextlib.suppress(OSError):
            return socket.create_connection(listener.getsockname(), source_address=("127.0.0.1", port))
    raise AssertionError("fifty ports in use")


def test_a_forgotten_connection(tables: Tables, ends: Ends) -> None:
    """Reset; not even another with the same addresses and ports is taken for it."""
    listener = ends[2]
    client = connected_from_below_the_ephemeral_ports(listener)
    row = found(tables, client)
    here = client.getsockname()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    assert again(tables, row) is None
    with socket.create_connection(listener.getsockname(), source_address=here) as other:
        assert found(tables, other).local == row.local
        assert again(tables, row) is None


def test_rows_without_a_key_and_namespaces_never_asked_about_give_nothing(tables: Tables, ends: Ends) -> None:
    row = found(tables, ends[0])
    assert tables.again(1, row) is None
    row.key = b""
    assert again(tables, row) is None
    assert tables.find(os.getpid(), {1}) == {}
    assert tables.namespace(2**22 + 1) == 0


@ROOT
def test_in_another_network_namespace(hang: Hang, tables: Tables) -> None:
    victim = hang("recv", prefix=APART)
    victim.settle("recvfrom")
    (wait,) = awaited(victim.pid)
    row = tables.find(victim.pid, {wait.inode})[wait.inode]
    assert (row.state, row.tcp is not None, tables.refused) == ("established", True, False)
    namespace = tables.namespace(victim.pid)
    assert namespace != tables.namespace(os.getpid())
    now = tables.again(namespace, row)
    assert now is not None
    assert now.inode == wait.inode
    victim.process.kill()
    victim.process.wait()
    assert tables.find(os.getpid(), {wait.inode}) == {}
    gone = tables.again(namespace, row)  # its namespace lives as long as we ask in it
    assert gone is None or gone.inode == 0


def test_where_the_namespace_cannot_be_entered_the_text_tables_serve(
    tables: Tables, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(pid: int) -> socket.socket:
        asked.append(pid)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(sock_diag, "namespace_socket", refuse)
    client, accepted, _ = ends
    row = found(tables, client)
    assert (row.state, row.tcp, row.key, row.accepted) == ("established", None, b"", False)
    assert found(tables, accepted).accepted
    assert tables.refused
    assert asked == [os.getpid()]  # once a namespace
    assert again(tables, row) is None


@ROOT
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_an_unprivileged_look_into_another_namespace(hang: Hang) -> None:
    """As a user whose own process was put into a namespace by somebody else."""
    victim = hang("recv", prefix=(*APART, *NOBODY))
    victim.settle("recvfrom")
    program = (
        "import os, sys\nfrom systrace.kernel.waiting import Tables, awaited\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "pid = int(sys.argv[1])\n(each,) = awaited(pid)\ntables = Tables()\nrow = tables.find(pid, {each.inode})[each.inode]\n"
        "print(each.call, row.state, row.tcp, tables.refused)\n"
    )
    words = [sys.executable, "-c", program, str(victim.pid)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "recvfrom established None True\n", done.stderr


def test_the_state_of_a_row(tables: Tables, ends: Ends) -> None:
    client, accepted, _ = ends
    client.sendall(b"123")
    row = found(tables, accepted)
    state = state_of(77, 5, row)
    assert (state.pid, state.fd, state.inode, state.protocol, state.type) == (77, 5, row.inode, "tcp", "stream")
    assert (state.local, state.peer, state.unread) == (row.local, row.peer, 3)
    assert (state.accepted, state.tcp, state.family) == (True, row.tcp, "inet")
    assert state.local == Endpoint("inet", *accepted.getsockname())
    assert Awaited(1, 2, "x", 3, 4, True).limit_ns is None
