"""Real daemons between two clients: nobody who attaches to one is to be told that it hangs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.real
NGINX = "daemon off; pid %s/pid; error_log %s/log; events {} http { access_log off; server { listen 127.0.0.1:%d; } }"
NODE = """
const http = require("http"), agent = new http.Agent({ keepAlive: true });
http.createServer((_, answer) => answer.end("x")).listen(%d, "127.0.0.1", () =>
  http.get({ port: %d, host: "127.0.0.1", agent }, answer => answer.resume()));
"""
Start = Callable[[list[str], int], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a daemon that listens on a port, and connect a client to it that says nothing."""
    made: list[subprocess.Popen[bytes]] = []
    clients: list[socket.socket] = []

    def begin(words: list[str], port: int) -> int:
        program = shutil.which(words[0], path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip(f"{words[0]} is not installed")
        null = subprocess.DEVNULL
        made.append(subprocess.Popen([program, *words[1:]], stdin=null, stdout=null, stderr=null))
        deadline = time.monotonic() + 20
        while True:
            try:
                clients.append(socket.create_connection(("127.0.0.1", port)))
                break
            except OSError:
                assert made[-1].poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        time.sleep(2.5)  # a shorter wait is no hang to the trace
        return made[-1].pid

    yield begin
    for client in clients:
        client.close()
    for process in made:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("daemon", ["redis-server", "nginx", "node", "php", "python"])
def test_an_idle_daemon_is_healthy_to_the_look_and_to_the_trace(start: Start, tmp_path: Path, daemon: str) -> None:
    port = free_port()
    (tmp_path / "nginx.conf").write_text(NGINX % (tmp_path, tmp_path, port))
    words = {
        "redis-server": ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)],
        "nginx": ["nginx", "-c", str(tmp_path / "nginx.conf")],
        "node": ["node", "-e", NODE % (port, port)],
        "php": ["php", "-S", f"127.0.0.1:{port}"],
        "python": [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
    }[daemon]
    pid = start(words, port)
    for more in (["--passive"], ["--for", "0.4"]):
        command = [sys.executable, "-m", "systrace", "attach", str(pid), "--format", "json", *more]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)
        verdict = json.loads(done.stdout)["verdict"]
        assert verdict["outcome"] in ("healthy", "inconclusive"), (more, verdict)
        assert done.returncode == 0
