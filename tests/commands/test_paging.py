"""Lanes on a terminal are paged where they do not fit."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from systrace.commands.reading.paging import pager

LOG = Path(__file__).parents[2] / "samples" / "hung-read" / "trace.strace"


def on_terminal(lines: int, **environment: str) -> bytes:
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 90, 0, 0))
    words = [sys.executable, "-m", "systrace", "parse", str(LOG), "--format", "lanes"]
    inherited = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=terminal, env={**inherited, "TERM": "xterm", **environment}
    ) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # the last writer has gone
                break
            shown += data
            if not data:
                break
        os.close(master)
    assert process.returncode == 1
    return shown


def test_only_what_does_not_fit_is_paged() -> None:
    marked = "sed 's/^/PAGED /'"
    assert b"PAGED" in on_terminal(5, SYSTRACE_PAGER=marked)
    assert b"PAGED" not in on_terminal(60, SYSTRACE_PAGER=marked)
    assert b"HUNG" in on_terminal(5, SYSTRACE_PAGER="cat")
    assert b"HUNG" in on_terminal(5, SYSTRACE_PAGER="no-such-pager")
    assert b"HUNG" in on_terminal(5, SYSTRACE_PAGER="no-such-pager -x")
    assert b"HUNG" in on_terminal(5, SYSTRACE_PAGER="head -1")  # it has seen enough


def test_nobody_pages_for_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTRACE_PAGER", "sed p")
    assert pager() is None
