"""What parse and events share: progress, and the end of input on Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from systrace.commands.reading import progress as shown
from systrace.commands.reading.interrupt import end_of_input_on_interrupt
from systrace.errors import InputError
from systrace.sources import logs
from systrace.sources.logs import recordings

SLOW = """
import sys, time
from systrace.commands.reading import progress
progress._AFTER_S = progress._EVERY_S = 0.05
with progress.progress([sys.argv[1]]), open(sys.argv[1], "rb", buffering=0) as file:
    file.read(500_000)
    sys.stdin.readline()
"""


def test_positions_are_those_of_our_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 1000)
    sizes = shown._sizes([str(path), str(tmp_path / "none"), "-", "/dev/null"])
    assert list(sizes.values()) == [1000]
    assert shown._positions(sizes) == {}
    with path.open("rb", buffering=0) as file:
        file.read(300)
        assert list(shown._positions(sizes).values()) == [300]


def test_nothing_is_shown_where_standard_error_is_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x")
    before = threading.active_count()
    with shown.progress([str(path)]):
        assert threading.active_count() == before


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 1_000_000)
    controller, worker = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=worker,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    ) as job:
        os.close(worker)
        text = b""
        while b"50%" not in text:
            text += os.read(controller, 65536)
        assert job.stdin is not None
        job.stdin.close()
    os.close(controller)
    assert job.returncode == 0
    assert b"reading" in text


def test_the_second_interrupt_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replaced = []
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    opened = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setattr(os, "dup2", lambda _source, target, inheritable=True: replaced.append(target))
    with end_of_input_on_interrupt(["-", str(fifo), str(tmp_path / "nowhere")]):
        signal.raise_signal(signal.SIGINT)
        assert sorted(replaced) == [0, opened]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    os.close(opened)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_first_interrupt_stops_the_reading_of_files() -> None:
    with end_of_input_on_interrupt([__file__]), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_rest_of_what_is_no_log_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    monkeypatch.setattr(logs, "_PATIENCE", 1700)
    path.write_bytes(b"one line of many\n" * 1000)
    (recording,), _ = recordings([str(path)])
    lines = iter(recording.inputs[0].lines)
    assert sum(len(next(lines)) for _ in range(401)) == 401 * 17
    with pytest.raises(InputError, match=r'file: this is no strace log; it begins with "one line of many"'):
        next(lines)


@pytest.mark.parametrize(
    ("content", "is_log"),
    [
        (b"close(3) = 0\n", True),
        (b"[pid  1234] 12:00:01.123456 recvfrom(4, \n", True),
        (b"1234 1700000000.123456 futex(0x7f, FUTEX_WAIT, 2, NULL\n", True),
        (b'9 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16\n', True),
        (b"strace: Process 12 attached\n", True),
        (b"% time     seconds  usecs/call     calls    errors syscall\n", True),
        (b'# systrace: {"command": ["x"]}\n', True),
        (b"1234 +++ exited with 0 +++\n", True),
        (b"", True),
        (b"\n \n", True),
        (b"x = read(0, buf, 3);\n", False),
        (b"write(1, 2)\n", False),
        (b"# Notes\n\nread(2) is a system call\n", False),
        (b"a" * 100_000, False),
    ],
)
def test_what_is_a_log(tmp_path: Path, content: bytes, is_log: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    (recording,), troubled = recordings([str(path)])
    for _ in recording.inputs[0].lines:
        pass
    assert not troubled
    assert (recording.complaint() is None) == is_log
