"""The duplicate: what it shows, and what it must leave alone."""

from __future__ import annotations

import os
import socket

import pytest

from systrace.errors import CaptureError, UsageError
from systrace.kernel import pidfd
from systrace.kernel.keepalive import apply
from systrace.model import Keepalive

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(pidfd.supported()), reason="this kernel or container refuses pidfd_getfd"),
]


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def test_options_of_the_original_are_read_and_set_through_the_duplicate() -> None:
    client, server = pair()
    with client, server, pidfd.Target(os.getpid()) as target, target.duplicate(client.fileno()) as copy:
        assert copy != client.fileno()
        assert pidfd.keepalive_of(copy).on is False
        pidfd.set_keepalive(copy, 60, 15, 4)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert pidfd.keepalive_of(copy) == Keepalive(True, 60, 15, 4)
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, (2).to_bytes(8, "little") + (500_000).to_bytes(8, "little")
        )
        assert pidfd.timeout_ns(copy, socket.SO_RCVTIMEO) == 2_500_000_000
        assert pidfd.timeout_ns(copy, socket.SO_SNDTIMEO) is None


@pytest.mark.parametrize("default", [None, 5.0])
def test_blocking_mode_survives_whatever_our_default_timeout_is(default: float | None) -> None:
    client, server = pair()
    socket.setdefaulttimeout(default)
    try:
        with client, server:
            assert apply(os.getpid(), (client.fileno(),), dry_run=True)[0].before.on is False
            with pidfd.Target(os.getpid()) as target, target.duplicate(client.fileno()) as copy:
                assert not pidfd.nonblocking(copy)
            assert os.get_blocking(client.fileno())
    finally:
        socket.setdefaulttimeout(None)


def test_unread_bytes_stay_unread() -> None:
    client, server = pair()
    with client, server, pidfd.Target(os.getpid()) as target:
        server.sendall(b"hello")
        with target.duplicate(client.fileno()) as copy:
            assert (pidfd.unread(copy), pidfd.peek(copy), pidfd.peek(copy)) == (5, b"hello", b"hello")
        assert client.recv(10) == b"hello"


def test_a_peek_offset_is_not_moved() -> None:
    left, right = socket.socketpair()
    with left, right, pidfd.Target(os.getpid()) as target:
        left.setsockopt(socket.SOL_SOCKET, 42, 0)  # SO_PEEK_OFF
        right.sendall(b"hello")
        with target.duplicate(left.fileno()) as copy:
            assert pidfd.peek(copy) == b""
        assert left.recv(2, socket.MSG_PEEK) == b"he"


def test_what_is_no_connection_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for fd in (listener.fileno(), udp.fileno(), 0, 9999):
            with pytest.raises(UsageError, match=f"descriptor {fd} of process .* is no TCP connection"):
                apply(os.getpid(), (fd,))


@pytest.mark.parametrize("values", [(0, 15, 4), (60, 0, 4), (60, 15, 0), (40000, 15, 4), (60, 15, 128)])
def test_impossible_values_are_refused_before_anything_is_touched(values: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="1 to 32767 s"):
        apply(os.getpid(), idle_s=values[0], interval_s=values[1], count=values[2])


def test_no_such_process() -> None:
    with pytest.raises(CaptureError, match="there is no process"):
        apply(2**22 + 1)
    with pytest.raises(OSError, match="No such process"):
        pidfd.Target(2**22 + 1)
