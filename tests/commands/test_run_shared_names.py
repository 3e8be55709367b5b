"""One name for two: two outputs of one run, two runs with one name, two users in one directory, a run after a crash."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from systrace.tracers.waiting import tracer_of
from tests.commands.conftest import NOBODY
from tests.commands.jobs import INSTEAD, JOB, OPTIONS, SYSTRACE, job, parsed, run, things, unharmed

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a second user")


@pytest.mark.parametrize(
    ("one", "other"), [("--save", "--report"), ("--save", "--live"), ("--report", "--live")], ids=" ".join
)
@pytest.mark.parametrize("way", ["same", "spelled otherwise", "by a link", "by a hard link", "to be made"])
def test_the_same_file_twice(one: str, other: str, way: str, tmp_path: Path) -> None:
    """Whatever it is called: the first keeps it, the second goes without."""
    (tmp_path / "d").mkdir()
    first = second = tmp_path / "d" / "file"
    if way != "to be made":
        first.write_text("before\n")
    if way == "spelled otherwise":
        second = tmp_path / "d" / ".." / "d" / "file"
    elif way == "by a link":
        second = tmp_path / "link"
        second.symlink_to("d/file")
    elif way == "by a hard link":
        second = tmp_path / "copy"
        second.hardlink_to(first)
    before = things(tmp_path)
    done = job("--strict", one, first, other, str(second))
    assert (done.returncode, done.stdout) == (2, b"")
    assert things(tmp_path) == before
    said = unharmed(job(one, first, other, str(second)))
    assert said == [f"{other} {second} is the same file as {one}: {INSTEAD[other]}"]
    text = first.read_bytes()
    assert text.startswith(b"# systrace: ") if one == "--save" else b"FAILED" in text
    assert text.count(b"FAILED") == (one == "--report")


@root
def test_a_directory_where_others_may_write(shared: Path) -> None:
    """fs.protected_regular, fs.protected_fifos and a file that another made first keep no job from running."""
    for name in ("file.gz", "pipe"):
        path = shared / name
        os.mkfifo(path) if name == "pipe" else path.write_text("theirs")
        path.chmod(0o666)
        os.chown(path, NOBODY, NOBODY)
    before = things(shared)
    for option in OPTIONS:
        (said,) = unharmed(job(option, shared / "file.gz"))
        assert said.startswith(f"cannot write {shared}/file.gz: the file belongs to user nobody")
        for line in unharmed(job(option, shared / "pipe")):
            assert str(shared / "pipe") in line
    assert things(shared) == before


@root
def test_a_recording_in_work_is_nobody_elses_to_read(shared: Path) -> None:
    """Not for a moment: the job itself looks, with the widest umask."""
    look = f"umask; stat -c %a:%u {shared}/t.gz.*.part"
    done = run("--save", shared / "t.gz", "--", "sh", "-c", look, umask=0)
    assert done.stdout.decode().split() == ["0000", "600:0"]
    assert stat.S_IMODE((shared / "t.gz").stat().st_mode) == 0o600


def overlapping(first: list[str], second: list[str], tmp_path: Path) -> list[bytes]:
    """Two runs whose jobs wait for each other: what each has said."""
    for name in ("one", "two"):
        os.mkfifo(tmp_path / name)
    # Each opens both pipes: none goes on before the other has come.
    scripts = (
        f"echo one > {tmp_path}/one; read x < {tmp_path}/two; echo first > /dev/null; exit 3",
        f"read x < {tmp_path}/one; echo two > {tmp_path}/two; echo second > /dev/null; exit 4",
    )
    said: list[bytes] = [b"", b""]

    def go(index: int, options: list[str]) -> None:
        done = run(*options, "--", "sh", "-c", scripts[index])
        said[index] = done.stderr
        assert done.returncode == 3 + index

    threads = [threading.Thread(target=go, args=each) for each in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


@pytest.mark.parametrize("name", ["t.strace", "t.strace.gz"])
@pytest.mark.parametrize("yesterday", [True, False])
def test_two_runs_with_one_name(name: str, yesterday: bool, tmp_path: Path) -> None:
    """Both recordings survive, whole; the second to end gets another name, and says so."""
    place = tmp_path / "place"
    place.mkdir()
    saved = place / name
    if yesterday:
        saved.write_text("yesterday")
    said = overlapping(["--save", str(saved)], ["--save", str(saved)], tmp_path)
    assert sorted(b"was written by another run meanwhile" in each for each in said) == [False, True]
    paths = sorted(place.iterdir())
    assert len(paths) == 2
    assert saved in paths
    reports = [json.loads(parsed(path)) for path in paths]
    assert sorted(report["processes"][0]["exit_code"] for report in reports) == [3, 4]
    assert all(report["health"]["unparsed"] == 0 for report in reports)
    (other,) = {str(path) for path in paths} - {str(saved)}
    assert sum(f"this recording is {other}".encode() in each for each in said) == 1


def test_yesterdays_recording_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    saved = tmp_path / "t.gz"
    saved.write_text("yesterday")
    done = run("--save", saved, "--", "cat", saved)
    assert done.stdout == b"yesterday"
    assert saved.read_bytes().startswith(b"\x1f\x8b")


def test_what_a_crash_has_left_is_never_overwritten(tmp_path: Path) -> None:
    """Process numbers come again: here the job's shell learns ours, and the next systrace is told to have it."""
    script = f'for n in "" -1 -2; do echo precious > {tmp_path}/t.gz.$$$n.part; done; exec "$@"'
    words = ["sh", "-c", script, "sh", *SYSTRACE, "run", "--save", str(tmp_path / "t.gz"), *JOB]
    done = subprocess.run(words, input=b"word\n", capture_output=True, check=False, timeout=60)
    unharmed(done)
    left = [path for path in tmp_path.iterdir() if path.name != "t.gz"]
    assert [path.read_text() for path in left] == ["precious\n"] * 3
    assert parsed(tmp_path / "t.gz")
