"""`systrace keepalive` on processes of our own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from systrace.kernel import pidfd

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(pidfd.supported()), reason="this kernel or container refuses pidfd_getfd"),
]


def keepalive(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "systrace", "keepalive", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_before_and_after_are_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        dry = keepalive(os.getpid(), "--fd", client.fileno(), "--dry-run")
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        done = keepalive(os.getpid(), "--fd", client.fileno())
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    assert (dry.returncode, done.returncode) == (0, 0)
    assert "established  keepalive off" in dry.stdout
    assert "keepalive off (after 7200 s" in done.stdout or "keepalive off (after" in done.stdout
    assert "=> after 60 s, every 15 s, 4 times" in done.stdout
    assert "ETIMEDOUT within 120 s" in done.stdout


def test_times_have_units() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        done = keepalive(os.getpid(), "--fd", client.fileno(), "--idle", "2m", "--interval", "20")
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 120
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 20
    assert "ETIMEDOUT within 200 s" in done.stdout


def test_a_wrapper_points_at_the_child_that_has_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = f"import socket; s = socket.create_connection(('127.0.0.1', {listener.getsockname()[1]})); s.recv(1)"
        command = ["sh", "-c", '"$0" -c "$1"; :', sys.executable, code]
        with subprocess.Popen(command) as wrapper, listener.accept()[0]:
            done = keepalive(wrapper.pid)
    assert done.returncode == 2
    assert f"process {wrapper.pid} holds no TCP connection; its children do: systrace keepalive" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((2**22 + 1,), "systrace: there is no process"),
        ((os.getpid(), "--fd", 9999), "descriptor 9999"),
        ((os.getpid(), "--count", 0), "1 to 127"),
    ],
)
def test_errors_are_one_line(arguments: tuple[object, ...], says: str) -> None:
    done = keepalive(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
