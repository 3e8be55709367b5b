"""`--save-dir` and `--keep`: names that tell, and old recordings that go."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest

from systrace.capture.keeping import IDLE_S, Keep, job_name, new_name, prune
from systrace.errors import UsageError
from tests.commands.conftest import NOBODY
from tests.commands.jobs import JOB, job, parsed, run, unharmed

DAY = 86400.0
HOST = re.sub(r"[^\w.-]+", "_", os.uname().nodename)


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("14", Keep(count=14)),
        ("30d", Keep(age_s=30 * DAY)),
        ("2G", Keep(bytes=2 << 30)),
        ("14, 30d ,500M", Keep(14, 30 * DAY, 500 << 20)),
        ("36h", Keep(age_s=1.5 * DAY)),
        ("10 GiB", Keep(bytes=10 << 30)),
        ("365d", Keep(age_s=365 * DAY)),
    ],
)
def test_bounds(text: str, keep: Keep) -> None:
    assert Keep.parse(text) == keep


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "14;30d", "14,", "30x", "1.5", "²", "1d1h", "0d", "9" * 12])
def test_what_is_no_bound(text: str) -> None:
    with pytest.raises(UsageError):
        Keep.parse(text)


@pytest.mark.parametrize(
    ("command", "given", "name"),
    [
        (["/opt/jobs/nightly_export.sh", "-x"], None, "nightly_export.sh"),
        (["sh"], "night", "night"),
        (["sh"], "a/../b c\n\x1b", "a_.._b_c"),
        (["sh"], "../../etc/passwd", "etc_passwd"),
        (["sh"], "..", "job"),
        (["sh"], "", "job"),
        (["sh"], "ü" * 9, "job"),
        (["sh"], "x" * 300, "x" * 60),
    ],
)
def test_a_job_is_called_what_a_file_can_be_called(command: list[str], given: str | None, name: str) -> None:
    assert job_name(command, given) == name


def test_a_recording_says_which_job_host_start_and_process() -> None:
    assert re.fullmatch(rf"night-{re.escape(HOST)}-\d{{8}}T\d{{6}}-{os.getpid()}\.strace\.gz", new_name("night"))


def recording(
    directory: Path, job: str, age_s: float, size: int = 100, suffix: str = ".strace.gz", pid: int = 1
) -> Path:
    """One that was made so long ago."""
    then = time.time() - age_s
    stamp = time.strftime("%Y%m%dT%H%M%S", time.localtime(then))
    path = directory / f"{job}-{HOST}-{stamp}-{pid}{suffix}"
    path.write_bytes(b"x" * size)
    os.utime(path, (then, then))
    return path


def test_the_oldest_go_first(tmp_path: Path) -> None:
    made = [recording(tmp_path, "night", age * DAY) for age in range(1, 7)]
    assert prune(tmp_path, "night", Keep(count=4), made[0]) == []
    assert sorted(tmp_path.iterdir()) == sorted(made[:4])
    assert prune(tmp_path, "night", Keep(age_s=2.5 * DAY), made[0]) == []
    assert sorted(tmp_path.iterdir()) == sorted(made[:2])


def test_a_size_keeps_the_newest_that_fit(tmp_path: Path) -> None:
    made = [recording(tmp_path, "night", age * DAY, size=1000) for age in range(1, 7)]
    assert prune(tmp_path, "night", Keep(bytes=2500), made[0]) == []
    assert sorted(tmp_path.iterdir()) == sorted(made[:2])


def test_the_one_of_this_run_stays_whatever_is_asked_for(tmp_path: Path) -> None:
    made = [recording(tmp_path, "night", age * DAY, size=1000) for age in range(3)]
    assert prune(tmp_path, "night", Keep(1, 1.0, 10), made[0]) == []
    assert list(tmp_path.iterdir()) == [made[0]]


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    """Another job, another host, another name, a directory, a link, somebody else's, one in work."""
    old = 100 * DAY
    kept = [
        recording(tmp_path, "night2", old),
        recording(tmp_path, "my-night", old),
        recording(tmp_path, "night", old, suffix=".strace"),
        recording(tmp_path, "night", old, suffix=".strace.gz.bak"),
        recording(tmp_path, "night", 10, suffix=".strace.gz.1.part", pid=os.getpid()),
        recording(tmp_path, "night", old, suffix=f".strace.gz.{os.getpid()}.part", pid=os.getpid()),
        tmp_path / f"night-{HOST}x-20200101T000000-1.strace.gz",
        tmp_path / "night.strace.gz",
        tmp_path / "notes",
    ]
    for path in kept[-3:]:
        path.write_text("precious")
    directory = tmp_path / f"night-{HOST}-20200101T000000-2.strace.gz"
    directory.mkdir()
    link = tmp_path / f"night-{HOST}-20200101T000000-3.strace.gz"
    link.symlink_to("notes")
    kept += [directory, link]
    if os.geteuid() == 0:
        theirs = recording(tmp_path, "night", old, pid=4)
        os.chown(theirs, NOBODY, NOBODY)
        kept.append(theirs)
    gone = [recording(tmp_path, "night", old, pid=5), recording(tmp_path, "night", old + 1, pid=6)]
    assert prune(tmp_path, "night", Keep(age_s=DAY), None) == []
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert not any(path.exists() for path in gone)


def test_what_a_killed_systrace_has_left_counts_once_it_is_surely_dead(tmp_path: Path) -> None:
    dead = 4194303
    fresh = recording(tmp_path, "night", IDLE_S / 2, suffix=f".strace.gz.{dead}.part", pid=dead)
    old = recording(tmp_path, "night", IDLE_S * 2, suffix=f".strace.gz.{dead - 1}.part", pid=dead - 1)
    assert prune(tmp_path, "night", Keep(age_s=60.0), None) == []
    assert list(tmp_path.iterdir()) == [fresh]
    assert not old.exists()


def test_a_directory_that_is_gone_is_nobodys_trouble(tmp_path: Path) -> None:
    assert prune(tmp_path / "gone", "night", Keep(count=1), None) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="an immutable file needs root")
def test_what_cannot_be_removed_is_said(tmp_path: Path) -> None:
    path = recording(tmp_path, "night", 9 * DAY)
    if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no immutable files")
    try:
        assert prune(tmp_path, "night", Keep(age_s=DAY), None) == [f"{path}: Operation not permitted"]
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


# ----------------------------------------------------------------------------------------------------------- real jobs


@pytest.mark.real
def test_a_directory_is_made_and_filled(tmp_path: Path) -> None:
    place = tmp_path / "saved"
    done = job("--save-dir", place, "--job", "night")
    (path,) = place.iterdir()
    assert unharmed(done) == [f"the recording is {path}"]  # the job failed
    assert place.stat().st_mode & 0o777 == 0o700
    assert re.fullmatch(rf"night-{re.escape(HOST)}-\d{{8}}T\d{{6}}-\d+\.strace\.gz", path.name)
    assert b'"job": "night"' in gzip.decompress(path.read_bytes()).partition(b"\n")[0]
    assert '"exit_code":7' in parsed(path)


@pytest.mark.real
def test_old_recordings_of_this_job_go(tmp_path: Path) -> None:
    old = [recording(tmp_path, "night", age * DAY, pid=age) for age in range(1, 5)]
    other = recording(tmp_path, "day", 100 * DAY)
    unharmed(job("--save-dir", tmp_path, "--job", "night", "--keep", "3,3.5d"))
    left = set(tmp_path.iterdir())
    assert {old[0], old[1], other} < left
    assert len(left) == 4


@pytest.mark.real
def test_twenty_runs_share_a_directory(tmp_path: Path) -> None:
    """At once, with a bound: none loses its own, none of them breaks another's, whatever the others remove."""
    said: list[list[str]] = []

    def go() -> None:
        said.append(unharmed(job("--save-dir", tmp_path, "--keep", "5", "--job", "n")))

    threads = [threading.Thread(target=go) for _ in range(20)]
    for batch in range(0, 20, 5):
        for thread in threads[batch : batch + 5]:
            thread.start()
        for thread in threads[batch : batch + 5]:
            thread.join()
    assert len(said) == 20
    assert all(len(lines) == 1 and lines[0].startswith("the recording is ") for lines in said)
    left = list(tmp_path.iterdir())
    assert 5 <= len(left) <= 9  # those that end together each keep their own
    assert all('"exit_code":7' in parsed(path) for path in left)


@pytest.mark.real
@pytest.mark.parametrize("where", ["--save", "--save-dir"])
def test_save_if_bad(where: str, tmp_path: Path) -> None:
    target = tmp_path / "t.gz" if where == "--save" else tmp_path
    healthy = run(where, target, "--save-if-bad", "--quiet-if-healthy", "--", "sh", "-c", "exit 0")
    assert (healthy.returncode, healthy.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == []
    done = run(where, target, "--save-if-bad", *JOB, input=b"word\n")
    unharmed(done)
    (path,) = tmp_path.iterdir()
    assert '"exit_code":7' in parsed(path)


@pytest.mark.real
def test_save_if_bad_leaves_yesterdays_where_all_was_well(tmp_path: Path) -> None:
    (tmp_path / "t.gz").write_text("yesterday")
    run("--save", tmp_path / "t.gz", "--save-if-bad", "--", "true")
    assert (tmp_path / "t.gz").read_text() == "yesterday"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.real
@pytest.mark.parametrize("bad", ["many", "30x", "0"])
def test_a_bound_that_is_none_starts_nothing(bad: str, tmp_path: Path) -> None:
    done = job("--save-dir", tmp_path, "--keep", bad)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []
