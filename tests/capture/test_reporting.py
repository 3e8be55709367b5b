"""Where the report goes, and that what is said on the way never stops anything."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from systrace.capture.reporting import ReportTo, complain, words
from systrace.errors import UsageError
from systrace.outputs import place


def test_a_report_that_replaces_a_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"old" * 1000)
    ReportTo(place(path)).write(b"new")
    assert path.read_bytes() == b"new"


def test_a_report_is_written_whole_and_private(tmp_path: Path) -> None:
    to = ReportTo(place(tmp_path / "report"))
    to.write(b"x" * 100_000)
    assert (tmp_path / "report").read_bytes() == b"x" * 100_000
    assert (tmp_path / "report").stat().st_mode & 0o777 == 0o600
    assert (to.is_file, to.path) == (True, str(tmp_path / "report"))
    with pytest.raises(UsageError, match=r"cannot write .*: No such directory"):
        place(tmp_path / "no" / "report")


def test_nobody_need_read_it() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ReportTo(None, writer).write(b"to nobody")
    assert ReportTo(None, writer).path == ""
    os.close(writer)


def test_a_slow_reader_gets_all_of_it() -> None:
    """A pipe takes what fits: the rest follows."""
    reader, writer = os.pipe()
    got: list[bytes] = []

    def read() -> None:
        while part := os.read(reader, 1 << 16):
            got.append(part)

    thread = threading.Thread(target=read)
    thread.start()
    ReportTo(None, writer).write(b"x" * (1 << 20))
    ReportTo(place(f"/dev/fd/{writer}")).write(b"y" * (1 << 20))
    os.close(writer)
    thread.join()
    os.close(reader)
    assert b"".join(got) == b"x" * (1 << 20) + b"y" * (1 << 20)


def test_what_one_write_does_not_take_is_written_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """write(2) may take a part: a signal, a disk that is nearly full."""
    reader, writer = os.pipe()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:7])))
    ReportTo(None, writer).write(b"a report of more than seven bytes")
    monkeypatch.undo()
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        assert said.read() == b"a report of more than seven bytes"


def test_what_cannot_be_written_goes_to_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The place was fine when the job began."""
    directory = tmp_path / "d"
    directory.mkdir()
    to = ReportTo(place(directory / "report"))
    directory.rmdir()
    to.write(b"the report\n")
    said = capfd.readouterr().err.splitlines()
    assert said[0].startswith(f"systrace: cannot write {directory}/report: No such file or directory")
    assert said[0].endswith(": the report goes to standard error")
    assert said[1:] == ["the report"]


def test_a_full_device_is_said_and_the_report_shown(capfd: pytest.CaptureFixture[str]) -> None:
    ReportTo(place("/dev/full")).write(b"the report\n")
    said = capfd.readouterr().err
    assert said == "systrace: cannot write /dev/full: No space left on device: the report goes to standard error\n" + (
        "the report\n"
    )


def test_the_width_is_that_of_the_terminal_it_is_shown_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    import fcntl
    import struct
    import termios

    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 91, 0, 0))
    assert ReportTo(None, terminal).layout().width == 91
    assert ReportTo(place(f"/dev/fd/{terminal}")).layout().width == 91
    assert ReportTo(place(tmp_path / "file"), terminal).layout().width != 91
    for each in (master, terminal):
        os.close(each)


def test_a_complaint_is_one_printable_line(capfd: pytest.CaptureFixture[str]) -> None:
    complain("odd \x1b[2J name\nin two lines")
    said = capfd.readouterr().err
    assert said.startswith("systrace: odd ")
    assert said.count("\n") == 1
    assert "\x1b" not in said


def test_a_complaint_needs_neither_descriptors_nor_standard_error() -> None:
    """The first thing that it does may be an import, and standard error may be closed."""
    script = (
        "import resource, sys\n"
        "from systrace.capture.reporting import complain\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "complain('no descriptor left')\n"
        "import os\n"
        "os.close(2)\n"
        "complain('nobody hears')\n"
        "os.write(1, b'alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert (done.stdout, done.stderr.count(b"\n")) == (b"alive", 1)
    assert b"no descriptor left" in done.stderr


def test_an_unexpected_error_says_what_it_is() -> None:
    assert words(UsageError("x is no size")) == "x is no size"
    assert words(ValueError("odd")) == "ValueError: odd"
    assert words(MemoryError()) == "MemoryError: MemoryError"
