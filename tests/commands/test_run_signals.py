"""Signals and terminals of a job under `systrace run`: it has what it would have without us, each of them once."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from systrace.tracers.waiting import status_field, tracer_of
from tests.commands.jobs import RUN, python

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_for_systrace_reaches_the_job(
    started: Callable[..., subprocess.Popen[bytes]], fifo: Path, number: signal.Signals
) -> None:
    code = f"""
import signal, sys
import time
seen = []
signal.signal({int(number)}, lambda *_: seen.append(1))
open({str(fifo)!r}, "w").close()
while not seen: time.sleep(0.02)
print("got it", flush=True)
sys.exit(6)
"""
    process = started(*python(code))
    assert fifo.read_bytes() == b""
    process.send_signal(number)
    out, _err = process.communicate(timeout=60)
    assert (process.returncode, out) == (6, b"got it\n")


def test_a_signal_for_the_group_arrives_once(started: Callable[..., subprocess.Popen[bytes]], fifo: Path) -> None:
    code = f"""
import signal, sys, time
count = 0
def handler(*_):
    global count
    count += 1
signal.signal(signal.SIGTERM, handler)
open({str(fifo)!r}, "w").close()
while not count: time.sleep(0.02)
end = time.monotonic() + 1
while time.monotonic() < end: time.sleep(0.05)
print(count, flush=True)
"""
    process = started(*python(code))
    assert fifo.read_bytes() == b""
    os.killpg(process.pid, signal.SIGTERM)
    out, _err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"1\n")


def _terminal(words: list[str]) -> tuple[int, int]:
    """(process id, terminal) of systrace as the leader of a session on a terminal of its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(RUN[0], [*RUN, *words])
    return pid, terminal


def _read_until(terminal: int, word: bytes) -> bytes:
    text = b""
    while word not in text:
        text += os.read(terminal, 4096)
    return text


@pytest.mark.parametrize(("key", "status"), [(b"\x03", 130), (b"\x1c", 131)])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_the_terminals_keys(key: bytes, status: int) -> None:
    pid, terminal = _terminal(
        python("import signal; signal.signal(3, 0); print('re' + 'ady', flush=True); signal.pause()")
    )
    _read_until(terminal, b"ready")
    os.write(terminal, key)
    _pid, ended = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended) in (status, 1 if key == b"\x03" else status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_ctrl_c_comes_once_and_a_new_window_size_is_told() -> None:
    code = """
import signal, sys, os, time
seen = []
for number in (signal.SIGINT, signal.SIGWINCH): signal.signal(number, lambda n, _: seen.append(n))
print("re" + "ady", os.isatty(0), os.tcgetpgrp(0) == os.getpgrp(), flush=True)
while signal.SIGWINCH not in seen: time.sleep(0.02)
print("size", os.get_terminal_size(0).columns, flush=True)
while signal.SIGINT not in seen: time.sleep(0.02)
time.sleep(0.5)
sys.exit(seen.count(signal.SIGINT))
"""
    pid, terminal = _terminal(python(code))
    assert b"ready True True" in _read_until(terminal, b"\n")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 99, 0, 0))
    assert b"size 99" in _read_until(terminal, b"size 99")
    os.write(terminal, b"\x03")
    _pid, ended = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_lost_terminal_hangs_up_the_job(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"""
import signal, os
import time
seen = []
signal.signal(signal.SIGHUP, lambda *_: seen.append(1))
print("re" + "ady", flush=True)
while not seen: time.sleep(0.02)
open({str(log)!r}, "w").write("hup")
"""
    pid, terminal = _terminal(["--report", str(tmp_path / "report"), *python(code)])
    _read_until(terminal, b"ready")
    os.close(terminal)
    os.waitpid(pid, 0)
    assert log.read_text() == "hup"


def test_stop_and_continue(started: Callable[..., subprocess.Popen[bytes]], fifo: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    process = started("--", "sh", "-c", f"echo $$ > {fifo}; read x < {go}; exit 4")
    pid = int(fifo.read_text())
    os.killpg(process.pid, signal.SIGSTOP)
    while not (status_field(pid, "State") or "").startswith(("T", "t")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGCONT)
    go.write_text("now\n")
    process.communicate(timeout=60)
    assert process.returncode == 4
