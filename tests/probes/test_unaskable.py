"""What this host cannot do, or a name forbids, is said, and ends no other probe."""

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from systrace.observations import KINDS
from systrace.probes import PROBES, Probe, run
from systrace.probes.concluding import UNKNOWN, conclude
from systrace.probes.kinds.mtu import _hello
from systrace.probes.target import Target


@pytest.fixture
def broken() -> Iterator[None]:
    """A probe with a fault of its own, before all others."""

    def ask(*_: object) -> None:
        raise RuntimeError("odd\x1b")

    PROBES.add("broken", Probe("broken", "nothing", -1, 1.0, lambda target, allowed: True, ask))
    yield
    PROBES.remove("broken")


@pytest.fixture
def without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ipv6.disable=1 leaves the kernel."""

    class Socket(socket.socket):
        def __init__(self, family: int = -1, *rest: Any, **named: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *rest, **named)

    monkeypatch.setattr(socket, "socket", Socket)


@pytest.mark.usefixtures("broken")
def test_a_probe_that_fails_ends_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        failed, *others = run([Target("127.0.0.1", listener.getsockname()[1])])
    assert failed.kind in KINDS
    assert "could not be asked: odd" in failed.value["text"]
    assert "\x1b" not in failed.value["text"]
    assert conclude([failed]).status == UNKNOWN
    assert others


@pytest.mark.parametrize("name", ["a..b", ".x", "x" * 70 + ".example"])
def test_a_name_that_idna_refuses_leaves_the_hello(name: str) -> None:
    """Of the size that the question is about."""
    assert len(_hello(Target("127.0.0.1", 443, server_name=name))) > 3000


@pytest.mark.usefixtures("without_ipv6")
def test_a_host_without_ipv6_asks_the_other_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = run([Target("h.invalid", listener.getsockname()[1], used=("::1", "127.0.0.1"), nameservers=("::1",))])
    assert [each.value["outcome"] for each in found if each.kind == "peer-listens"] == ["unreachable", "open"]
    assert [each.value["cause"] for each in found if each.kind == "name"] == ["unreachable"]
