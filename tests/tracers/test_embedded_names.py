"""A covered socket's name is read once: until its number stands for something else, and no longer. What an argument picks."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from systrace.calls import FOLLOWED
from systrace.tracers import Request
from systrace.tracers.embedded import Embedded
from systrace.tracers.embedded_worker.files import FileTable
from tests.tracers.embedded_job import REAL, python

pytestmark = REAL


def trace(text: str, path: Path) -> str:
    """Run a Python job to its end; gives its recording."""
    with Embedded().run(python(text), Request(path, FOLLOWED)) as capture:
        assert capture.wait(60) == 0
        assert capture.fault() is None
    return "\n".join([line for line in path.read_text().splitlines() if "execve(" not in line])  # the job's own words


def test_a_name_is_kept_until_its_number_is_being_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileTable, "narrowed", True)
    monkeypatch.setattr(FileTable, "remembers", False)
    files = FileTable()
    files.keep(900, "<socket:[1]>")
    files.keep(901, "</etc/passwd>")  # a number that was a socket's: its close(2) is not looked at
    assert (files.text(os.getpid(), 900), files.keeps(901)) == ("<socket:[1]>", False)
    assert files.copy().text(os.getpid(), 900) == ""
    files.closing(900)
    assert files.text(os.getpid(), 900) == ""


TURNS = """
import os, socket, threading
def talk():
    left, right = socket.socketpair()
    print(os.readlink(f"/proc/self/fd/{left.fileno()}"), flush=True)
    os.write(left.fileno(), b"x"); os.read(right.fileno(), 1)
    return left, right
first = talk()
number = first[0].fileno()
HOW
os.read(number, 1)
"""
FILE = 'file = os.open("/etc/passwd", os.O_RDONLY)\n'


@pytest.mark.parametrize(
    "how",
    [
        "first[0].close(); assert os.open('/etc/passwd', os.O_RDONLY) == number",
        FILE + "os.dup2(file, number)",
        "os.closerange(number, number + 1); assert os.open('/etc/passwd', os.O_RDONLY) == number",
        "t = threading.Thread(target=first[0].close); t.start(); t.join(); assert os.open('/etc/passwd', 0) == number",
    ],
    ids=["close", "dup2", "close_range", "thread"],
)
def test_a_number_of_a_socket_becomes_a_files(how: str, tmp_path: Path) -> None:
    text = trace(TURNS.replace("HOW", how), tmp_path / "trace")
    (read,) = re.findall(r"read\(\d+(<[^>]*>), ", text)  # the last is one of a file, and no socket's
    assert read.startswith("<socket:")


def test_each_socket_under_the_same_number_has_its_own_name(tmp_path: Path) -> None:
    text = trace(
        """
        import os, socket
        for _ in range(20):
            left, right = socket.socketpair()
            told = os.readlink(f"/proc/self/fd/{left.fileno()}")
            os.write(right.fileno(), told.encode()); os.read(left.fileno(), 100)
            left.close(); right.close()
        """,
        tmp_path / "trace",
    )
    read = re.findall(r'read\(\d+<(socket:\[\d+\])>, "([^"]*)"', text)
    assert len(read) == 20
    assert all(name == told for name, told in read)


def test_an_argument_picks_what_rules_read(tmp_path: Path) -> None:
    """Waits of futexes, options that limit a wait, errors; and the job gets its results whether or not it is stopped."""
    text = trace(
        """
        import fcntl, socket, struct, termios, threading, time
        left, right = socket.socketpair()
        right.sendall(b"abc")
        assert struct.unpack("i", fcntl.ioctl(left, termios.FIONREAD, bytes(4))) == (3,)
        assert left.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        assert left.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        tcp = socket.socket()
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 3, 0))
        tcp.settimeout(1)
        lock = threading.Event()
        thread = threading.Thread(target=lock.wait); thread.start()
        time.sleep(0.3); lock.set(); thread.join()
        """,
        tmp_path / "trace",
    )
    for shown in ("SO_ERROR", "SO_KEEPALIVE", "SO_RCVTIMEO", "FIONBIO", "FUTEX_WAIT"):
        assert shown in text, shown
    for left_out in ("TCP_NODELAY", "SO_TYPE", "FIONREAD", "FUTEX_WAKE"):
        assert left_out not in text, left_out
