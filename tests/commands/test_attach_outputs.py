"""What `attach` writes to: the same care as `run`'s, and nothing is touched where it can't be written."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.tracers.waiting import status_field, tracer_of
from tests.commands.jobs import SYSTRACE, TRACERS, parsed, things

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that sleeps, and must go on sleeping."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        while not (status_field(process.pid, "State") or "").startswith("S"):
            time.sleep(0.01)
        yield process
        assert process.poll() is None
        process.kill()


def attach(process: subprocess.Popen[bytes], *options: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    words = [*SYSTRACE, "attach", str(process.pid), "--for", "0.2", *map(str, options)]
    settings: dict[str, object] = {"capture_output": True, "text": True, "check": False, "timeout": 60, **more}
    done = subprocess.run(words, **settings)  # type: ignore[call-overload]
    assert "Traceback" not in done.stderr
    return done  # type: ignore[no-any-return]


@root
@pytest.mark.parametrize("option", ["--save", "--report"])
def test_a_device_of_ones_own_stays_one(option: str, sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    null = tmp_path / "null"
    os.mknod(null, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    null.chmod(0o646)
    before = things(tmp_path)
    done = attach(sleeper, option, null)
    assert done.returncode in (0, 1)
    assert things(tmp_path) == before
    assert (f"the recording cannot be saved as {null}: it is a device" in done.stderr) is (option == "--save")


@pytest.mark.parametrize("passive", [True, False])
def test_a_pipe_without_a_reader_is_said_before_anything_is_touched(
    passive: bool, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = attach(sleeper, "--report", tmp_path / "pipe", *(["--passive"] if passive else []))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"systrace: cannot write {tmp_path}/pipe: nobody reads this pipe\n"


def test_a_pipe_with_a_reader(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        assert attach(sleeper, "--report", tmp_path / "pipe").returncode in (0, 1)
        assert "sleep" in reader.communicate(timeout=60)[0]


def test_a_terminal(sleeper: subprocess.Popen[bytes]) -> None:
    master, terminal = pty.openpty()
    before = Path(os.ttyname(terminal)).stat()
    assert attach(sleeper, "--report", os.ttyname(terminal), "--passive").returncode in (0, 1)
    assert b"sleep" in os.read(master, 65536)
    after = Path(os.ttyname(terminal)).stat()
    assert (before.st_mode, before.st_uid, before.st_ino) == (after.st_mode, after.st_uid, after.st_ino)
    os.close(master)
    os.close(terminal)


@pytest.mark.parametrize("way", ["same", "link", "hard link", "to be made"])
def test_the_same_file_twice(way: str, sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    first = second = tmp_path / "file"
    if way != "to be made":
        first.write_text("before")
    if way in ("link", "hard link"):
        second = tmp_path / "other"
        second.symlink_to("file") if way == "link" else second.hardlink_to(first)
    before = things(tmp_path)
    done = attach(sleeper, "--save", first, "--report", second)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"systrace: --report {second} is the same file as --save\n"
    assert things(tmp_path) == before


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("name", ["t", "t.gz"])
def test_yesterdays_files_are_replaced_when_the_new_ones_are_whole(
    tracer: str, name: str, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    for each in (name, "report"):
        (tmp_path / each).write_text("yesterday")
        (tmp_path / each).chmod(0o644)
        (tmp_path / f"{each}.copy").hardlink_to(tmp_path / each)
    done = attach(sleeper, "--tracer", tracer, "--save", tmp_path / name, "--report", tmp_path / "report")
    assert done.returncode in (0, 1)
    assert (tmp_path / "report").read_text() == parsed(tmp_path / name, "table")
    for each in (name, "report"):
        assert stat.S_IMODE((tmp_path / each).stat().st_mode) == 0o600
        assert (tmp_path / f"{each}.copy").read_text() == "yesterday"
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("tracer", TRACERS)
def test_nothing_is_left_behind(tracer: str, sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    done = attach(sleeper, "--tracer", tracer, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode in (0, 1)
    assert list(tmp_path.iterdir()) == []
