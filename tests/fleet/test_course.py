"""The whole course: what is new is read, once; whatever ends a run, the next one has the same rows."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from systrace.errors import SystraceError
from systrace.fleet.course import Done, Plan, read, status
from systrace.fleet.finding import Shard
from systrace.fleet.store import SUFFIX, live_parts
from systrace.fleet.tables import TABLES
from tests.fleet.logs import fleet, log


def rows(out: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in TABLES:
        lines: list[bytes] = []
        for part in live_parts(out):
            lines += gzip.decompress((out / name / f"part-{part}{SUFFIX}").read_bytes()).splitlines()
        found[name] = sorted(line.decode() for line in lines)
    return found


def run(top: Path, out: Path, jobs: int = 1, shard: Shard = Shard(), **more: object) -> Done:  # noqa: B008 (frozen)
    return read(Plan([str(top)], str(out), True, jobs, shard, **more))  # type: ignore[arg-type]


def test_a_second_run_reads_what_is_new(tmp_path: Path) -> None:
    top, out = fleet(tmp_path / "logs"), tmp_path / "out"
    first = run(top, out)
    assert (first.new, len(first.entries), status(first)) == (12, 12, 1)
    log(top / "host9" / "new.strace")
    second = run(top, out)
    assert (second.new, len(second.entries)) == (1, 13)
    log(top / "host9" / "new.strace", fails=True)
    assert run(top, out).new == 1


def test_jobs_shards_and_executors_give_the_same_rows(tmp_path: Path) -> None:
    top = fleet(tmp_path / "logs", 10)
    run(top, tmp_path / "1")
    expected = rows(tmp_path / "1")
    assert len(expected["recordings"]) == 30
    run(top, tmp_path / "2", 2)
    for number in (1, 2, 3):
        run(top, tmp_path / "3", shard=Shard(number, 3))
    with ThreadPoolExecutor(2) as executor:
        read(Plan([str(top)], str(tmp_path / "4"), True), executor)
    for each in "234":
        assert rows(tmp_path / each) == expected


def test_hard_links_are_recordings_a_moved_log_is_known(tmp_path: Path) -> None:
    top, out = tmp_path / "logs", tmp_path / "out"
    path = log(top / "a.strace")
    for number in range(3):
        (top / f"link{number}").hardlink_to(path)
    assert run(top, out).new == 4
    path.rename(top / "a.strace.moved")
    again = run(top, out)
    assert (again.new, len(again.entries)) == (0, 4)


def test_other_options_read_again_and_replace(tmp_path: Path) -> None:
    top, out = fleet(tmp_path / "logs", 2), tmp_path / "out"
    run(top, out)
    again = run(top, out, path_pattern="{host}/{job}.strace")
    assert again.new == 6
    assert len(rows(out)["recordings"]) == 6


def test_stopped_it_keeps_what_is_read(tmp_path: Path) -> None:
    top, out = fleet(tmp_path / "logs", 20), tmp_path / "out"
    seen: list[int] = []
    plan = Plan([str(top)], str(out), True, 2)
    done = read(plan, stopped=lambda: len(seen) > 4, told=lambda count, _all: seen.append(count))
    assert 4 < done.new < 60
    assert done.left == 60 - done.new
    assert status(done) == 2
    assert read(plan).new == 60 - done.new
    assert len(rows(out)["recordings"]) == 60


@pytest.mark.real
def test_a_kill_costs_nothing_that_was_read(tmp_path: Path) -> None:
    """kill -9 as soon as some are read; the next run has the rows of a clean one."""
    top, out = fleet(tmp_path / "logs", 100), tmp_path / "out"
    argv = [sys.executable, "-m", "systrace", "parse", str(top), "--recursive", "--into", str(out), "--jobs", "2"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if any(each.stat().st_size > 20_000 for each in out.glob("state/*.journal")):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    second = run(top, out)
    assert 0 < second.new < 300
    run(top, tmp_path / "clean", 2)
    assert rows(out) == rows(tmp_path / "clean")


def test_an_archive_that_was_half_read_is_read_on(tmp_path: Path) -> None:
    top, out = fleet(tmp_path / "in", 10), tmp_path / "out"
    subprocess.run(["tar", "czf", tmp_path / "x.tgz", "-C", top, "."], check=True)
    plan = Plan([str(tmp_path / "x.tgz")], str(out), jobs=1)
    seen: list[int] = []
    first = read(plan, stopped=lambda: len(seen) > 5, told=lambda count, _all: seen.append(count))
    assert 0 < first.new < 30
    assert first.left == 1
    second = read(plan)
    assert (first.new + second.new, second.left, len(second.entries)) == (30, 0, 30)
    assert read(plan).new == 0


def test_without_a_place_nothing_is_kept(tmp_path: Path) -> None:
    done = read(Plan([str(fleet(tmp_path / "logs"))], recursive=True))
    assert (done.new, done.into) == (12, None)


def test_no_path_at_all(tmp_path: Path) -> None:
    with pytest.raises(SystraceError, match="No such file"):
        read(Plan([str(tmp_path / "nowhere")], str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    top, out = tmp_path / "logs", tmp_path / "out"
    log(top / os.fsdecode(b"a\xff\x1b[2J\n.strace"), fails=True)
    assert run(top, out).new == 1
    assert run(top, out).new == 0
    (row,) = rows(out)["recordings"]
    assert json.loads(row)["path"].endswith("/a\\udcff\x1b[2J\n.strace")
