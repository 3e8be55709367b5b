"""SOCKS 5, by hand, and with curl(1) through a real proxy of our own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from systrace.decoders.protocols.socks import Socks
from systrace.messages.replies import ServerError
from systrace.model import Input, Message
from systrace.pipeline import analyze

Talk = Callable[..., list[Message]]
GREETING, NO_LOGIN = (True, b"\5\1\0", 0), (False, b"\5\0", 0)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (b"\1\xc0\0\2\7", "192.0.2.7:443"),
        (b"\3\x0bapi.example", "api.example:443"),
        (b"\4" + bytes(15) + b"\1", "::1:443"),
    ],
)
@pytest.mark.parametrize("status", [0, 1, 5, 99])
def test_what_was_asked_and_how_it_was_answered(talk: Talk, address: bytes, shown: str, status: int) -> None:
    asked = (True, b"\5\1\0" + address + b"\1\xbb", 0)
    said = talk(Socks, [GREETING, NO_LOGIN, asked, (False, b"\5" + bytes([status]) + b"\0\1" + bytes(6), 0)])
    assert said[2].summary == f"connect to {shown}"
    assert isinstance(said[3], ServerError) == (status != 0)


def test_a_login_is_not_shown(talk: Talk) -> None:
    said = talk(Socks, [(True, b"\5\1\2", 0), (False, b"\5\2", 0), (True, b"\1\3app\6secret", 0), (False, b"\1\0", 0)])
    assert [m.summary for m in said] == ["greeting (1 method)", "method: password", "login", "login accepted"]


@pytest.mark.real
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("strace")), reason="curl or strace is not installed")
@pytest.mark.parametrize(("status", "cause"), [(5, "server-error-reply"), (0, "http-error-status")])
def test_curl_through_a_proxy(status: int, cause: str, tmp_path: Path) -> None:
    """The proxy refuses, or what it connects to does: HTTP is read behind the negotiation."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            peer.recv(99)
            peer.sendall(b"\5\0")
            peer.recv(99)
            peer.sendall(b"\5" + bytes([status]) + b"\0\1" + bytes(6))
            if not status:
                peer.recv(999)
                peer.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    path = tmp_path / "trace"
    url = ["curl", "-sSf", "--proxy", f"socks5h://127.0.0.1:{port}", "http://api.example/rows"]
    done = subprocess.run(
        ["strace", "-f", "-ttt", "-T", "-y", "-s", "999", "-o", str(path), *url], check=False, capture_output=True
    )
    server.close()
    assert done.returncode
    verdict = analyze([Input("trace", path.read_bytes().splitlines(keepends=True))]).verdict
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("failed", cause, f"127.0.0.1:{port}")
