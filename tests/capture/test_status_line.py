"""A line on the terminal while a job runs, and only where the job itself is silent."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from systrace.tracers.waiting import tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]
WAITS = "import socket; a, b = socket.socketpair(); s = socket.create_server(('127.0.0.1', 0)); \
c = socket.create_connection(s.getsockname()); c.send(b'x'); c.settimeout({}); c.recv(1)"


def on_a_terminal(
    options: list[str], job: list[str], until: re.Pattern[bytes] | None, env: dict[str, str] | None = None
) -> bytes:
    """What `systrace run` writes to a terminal of its own, up to `until` or the end of the job."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(env or {"TERM": "xterm"})
        os.execv(sys.executable, [sys.executable, "-m", "systrace", "run", *options, "--", *job])
    text, end = b"", time.monotonic() + 60
    try:
        while time.monotonic() < end and (until is None or not until.search(text)):
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    text += os.read(terminal, 65536)
                except OSError:
                    break
        assert time.monotonic() < end, text
        return text
    finally:
        os.close(terminal)
        subprocess.run(["pkill", "-KILL", "-P", str(pid)], check=False)
        os.waitpid(pid, 0)


def silent(code: str) -> list[str]:
    return ["sh", "-c", f'exec "{sys.executable}" -I -S -c "{code}" >/dev/null 2>&1']


def test_a_wait_is_told_while_it_lasts(tmp_path: Path) -> None:
    shown = re.compile(rb"\r\x1b\[K(systrace: \d[^\r]*connections? open, waiting [^\r]* for 127\.0\.0\.1:\d+)")
    text = on_a_terminal(["--report", str(tmp_path / "r")], silent(WAITS.format(40)), shown)
    assert shown.search(text), text


def test_nothing_of_it_stays(tmp_path: Path) -> None:
    text = on_a_terminal(["--report", str(tmp_path / "r")], silent(WAITS.format(6)), None)
    assert b"open" in text
    assert text.rpartition(b"\r\x1b[K")[2].strip() == b""


@pytest.mark.parametrize("why", ["the job's own terminal", "dumb", "quiet"])
def test_it_is_not_shown(why: str, tmp_path: Path) -> None:
    code = WAITS.format(5)
    job = [sys.executable, "-I", "-S", "-c", code] if why.startswith("the job") else silent(code)
    options = ["--report", str(tmp_path / "r"), *(["--quiet-if-healthy"] if why == "quiet" else [])]
    text = on_a_terminal(options, job, None, {"TERM": "dumb" if why == "dumb" else "xterm"})
    assert b"connection" not in text.replace(b"create_connection", b""), text
    assert (tmp_path / "r").exists()
