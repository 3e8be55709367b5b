"""Full queues of listeners that never accept, in this network namespace and in others."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from systrace.kernel import listeners
from systrace.kernel.listeners import Listeners
from systrace.look.nouns import Backlog
from systrace.model import Endpoint
from tests.kernel.conftest import run

pytestmark = pytest.mark.real
Hang = Callable[..., Any]
Until = Callable[..., None]
PORT = 7900


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is to be closed."""
    with ExitStack() as made:
        yield made


def fill(stack: ExitStack, address: tuple[str, int], count: int) -> None:
    """Connections that nobody accepts."""
    for _ in range(count):
        stack.enter_context(socket.create_connection(address))


def peer(listener: socket.socket, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint("inet", host, listener.getsockname()[1])


def test_our_own_listener(stack: ExitStack, until: Until) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2))
    asked = Listeners(peer(listener), os.getpid())
    fill(stack, listener.getsockname(), 2)
    assert asked.full() is None
    fill(stack, listener.getsockname(), 1)
    until(lambda: asked.full() == Backlog(3, 2))
    stack.enter_context(listener.accept()[0])
    assert asked.full() is None


def test_one_that_listens_on_all_addresses(stack: ExitStack, until: Until) -> None:
    listener = stack.enter_context(socket.create_server(("0.0.0.0", 0), backlog=1))
    fill(stack, ("127.0.0.1", listener.getsockname()[1]), 2)
    until(lambda: Listeners(peer(listener), os.getpid()).full() == Backlog(2, 1))


def test_the_one_on_that_very_address_takes_precedence(stack: ExitStack, until: Until) -> None:
    wide = stack.enter_context(socket.create_server(("0.0.0.0", 0), backlog=9, reuse_port=True))
    address = ("127.0.0.2", wide.getsockname()[1])
    narrow = stack.enter_context(socket.create_server(address, backlog=1, reuse_port=True))
    fill(stack, narrow.getsockname(), 2)
    until(lambda: Listeners(peer(narrow, "127.0.0.2"), os.getpid()).full() == Backlog(2, 1))
    assert Listeners(peer(narrow, "127.0.0.1"), os.getpid()).full() is None


def test_of_several_on_one_port_none_is_named(stack: ExitStack) -> None:
    one = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0, reuse_port=True))
    address = one.getsockname()
    other = stack.enter_context(socket.create_server(address, backlog=0, reuse_port=True))
    fill(stack, address, 1)
    assert other.getsockname() == address
    assert Listeners(peer(one), os.getpid()).full() is None


def test_nobody_listens(stack: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = peer(listener)
    assert Listeners(closed, os.getpid()).full() is None
    assert Listeners(Endpoint("unix", path="/run/x"), os.getpid()).full() is None
    assert Listeners(closed, 2**22 + 1).full() is None


# ----------------------------------------------------------------------------------------------------- namespaces

ROOT = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and ip")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine lists its processes slowly."""
    monkeypatch.setattr(listeners, "_SEARCH_S", 20.0)


@ROOT
@pytest.mark.usefixtures("patient")
def test_a_listener_in_another_namespace(hang: Hang, lab: Any, until: Until) -> None:
    deaf = hang("deaf", lab.server, PORT, 1, 2, prefix=lab.inside("server"))
    assert deaf.words == ["2"]
    idle = hang("sleep", prefix=lab.inside("client"))
    asked = Listeners(Endpoint("inet", lab.server, PORT), idle.pid)
    other = Listeners(Endpoint("inet", f"{lab.outer}.77", PORT), idle.pid)
    assert asked.full() is None, "full it is, but it has not yet dropped a connection since"
    client = hang("connect", lab.server, PORT, prefix=lab.inside("client"))
    client.settle("connect")
    until(lambda: asked.full() == Backlog(2, 1, elsewhere=True))
    assert other.full() is None


@ROOT
@pytest.mark.usefixtures("patient")
def test_another_namespace_with_the_same_address_is_not_named(hang: Hang, lab: Any, until: Until) -> None:
    """Its listener is full as well, but nothing of ours came to it: its counter does not rise."""
    twin = ("unshare", "--net", "sh", "-c",
            f'ip link set lo up && ip address add {lab.server}/32 dev lo && exec "$@"', "sh")  # fmt: skip
    full = hang("deaf", lab.server, PORT, 1, 2, prefix=twin)
    assert full.words == ["2"]
    hang("deaf", lab.server, PORT, 5, 0, prefix=lab.inside("server"))
    idle = hang("sleep", prefix=lab.inside("client"))
    asked = Listeners(Endpoint("inet", lab.server, PORT), idle.pid)
    assert asked.full() is None
    clients = [hang("connect", lab.server, PORT, prefix=lab.inside("client")) for _ in range(8)]
    until(lambda: asked.full() is not None)
    assert asked.full() == Backlog(6, 5, elsewhere=True), "the server's own, not the twin's"
    assert len(clients) == 8


@ROOT
@pytest.mark.usefixtures("patient")
def test_an_address_of_ipv6_in_another_namespace(hang: Hang, lab: Any, until: Until) -> None:
    if not pathlib.Path("/proc/net/if_inet6").exists():
        pytest.skip("the machine forbids it: no IPv6")
    address = "fd00:78::2"
    for role, device, own in (("server", "eth0", f"{address}/64"), ("router", "to-server", "fd00:78::1/64")):
        run("ip", "-n", lab.names[role], "address", "add", own, "dev", device, "nodad")
    hang("sleep", prefix=lab.inside("server"))
    idle = hang("sleep", prefix=lab.inside("client"))
    assert Listeners(Endpoint("inet6", address, PORT), idle.pid).full() is None
    assert listeners._has(hang("sleep", prefix=lab.inside("server")).pid, address)
    assert not listeners._has(idle.pid, address)
    assert listeners._has(hang("sleep", prefix=lab.inside("server")).pid, lab.server)
    assert not listeners._has(idle.pid, lab.server)
    assert not listeners._has(idle.pid, f"{lab.inner}.0")
    assert listeners._has(idle.pid, f"{lab.inner}.2")
