"""Of a log that has changed or was moved, and of what is in an archive, the rows of before go."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from systrace.fleet.course import Plan, read
from systrace.fleet.finding import Shard
from tests.fleet.logs import fleet, log
from tests.fleet.results import paths, rows, run


def test_hard_links_are_recordings_a_moved_log_is_one(tmp_path: Path) -> None:
    """Under its new name, which may tell another host."""
    top, out = tmp_path / "logs", tmp_path / "out"
    path = log(top / "a" / "x.strace", fails=True)
    for number in range(3):
        (top / "a" / f"link{number}").hardlink_to(path)
    assert run(top, out, path_pattern="{host}/*").new == 4
    (top / "b").mkdir()
    path.rename(top / "b" / "y.strace")
    again = run(top, out, path_pattern="{host}/*")
    assert (again.new, len(again.entries)) == (1, 4)
    assert paths(out, top) == ["a/link0", "a/link1", "a/link2", "b/y.strace"]
    hosts = sorted(json.loads(row)["host"] for row in rows(out)["recordings"])
    assert hosts == ["a", "a", "a", "b"]
    assert len(rows(out)["findings"]) == 4


def test_a_copy_elsewhere_is_not_moved(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("a", "b"):
        run(log(tmp_path / name / "x.strace").parent, out)
    assert paths(out, tmp_path) == ["a/x.strace", "b/x.strace"]


def test_of_a_log_that_changed_the_old_rows_go(tmp_path: Path) -> None:
    top, out = tmp_path / "logs", tmp_path / "out"
    log(top / "a.strace", fails=True)
    log(top / "b.strace", fails=True)
    run(top, out)
    log(top / "a.strace", fails=True, more="9 1700000000.000000 close(3) = 0\n")
    assert run(top, out).new == 1
    assert paths(out, top) == ["a.strace", "b.strace"]
    assert len(rows(out)["findings"]) == 2
    log(top / "a.strace", fails=True)  # as it was before
    assert run(top, out).new == 1
    assert (paths(out, top), run(top, out).new) == (["a.strace", "b.strace"], 0)


def test_a_rotated_log_is_there_once(tmp_path: Path) -> None:
    top, out = tmp_path / "logs", tmp_path / "out"
    log(top / "a.strace", day=1)
    run(top, out)
    (top / "a.strace").rename(top / "a.strace.1")
    log(top / "a.strace", day=2)
    run(top, out)
    assert paths(out, top) == ["a.strace", "a.strace.1"]


def test_siblings_that_come_and_go_are_one_recording(tmp_path: Path) -> None:
    top, out = tmp_path / "logs", tmp_path / "out"
    log(top / "j.12")
    log(top / "j.15")
    run(top, out)
    log(top / "j.7")
    run(top, out)
    assert paths(out, top) == ["j.7"]
    (top / "j.7").unlink()
    run(top, out)
    assert paths(out, top) == ["j.12"]


def test_of_an_archive_that_changed_the_old_rows_go(tmp_path: Path) -> None:
    top, out, tar = fleet(tmp_path / "in", 2), tmp_path / "out", tmp_path / "x.tgz"
    subprocess.run(["tar", "czf", tar, "-C", top, "."], check=True)
    read(Plan([str(tar)], str(out)))
    (top / "host0" / "export.strace").unlink()
    log(top / "host1" / "more.strace")
    subprocess.run(["tar", "czf", tar, "-C", top, "."], check=True)
    done = read(Plan([str(tar)], str(out)))
    assert len(paths(out, top)) == len(done.entries) == 6
    tar.rename(tmp_path / "y.tgz")
    read(Plan([str(tmp_path / "y.tgz")], str(out)))
    assert all(each.startswith(f"{tmp_path}/y.tgz:") for each in paths(out, top))
    assert len(paths(out, top)) == 6


def test_a_change_between_shards_is_one_recording(tmp_path: Path) -> None:
    """Its new content may be another shard's."""
    top, out = tmp_path / "logs", tmp_path / "out"
    for day in range(6):
        log(top / "a.strace", day=day)
        for number in (1, 2):
            run(top, out, shard=Shard(number, 2))
        assert paths(out, top) == ["a.strace"]
