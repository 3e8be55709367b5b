"""What is found, how it is known again, what is left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from systrace.errors import UsageError
from systrace.fleet.finding import PathPattern, Shard, content_of, find
from tests.fleet.logs import fleet, log


def test_files_of_folders_within_folders(tmp_path: Path) -> None:
    fleet(tmp_path / "logs", 2)
    (tmp_path / "logs" / "top.strace").write_text("x")
    flat, complaints = find([str(tmp_path / "logs")], recursive=False)
    deep, _ = find([str(tmp_path / "logs")], recursive=True)
    assert [each.name for each in flat] == [f"{tmp_path}/logs/top.strace"]
    assert len(deep) == 7
    assert not complaints


def test_links_hidden_files_parts_devices_and_the_results_are_left_alone(tmp_path: Path) -> None:
    top, secret = tmp_path / "logs", tmp_path / "secret"
    log(top / "a.strace")
    log(secret / "b.strace")
    (top / "link").symlink_to(secret)
    (top / "file").symlink_to(secret / "b.strace")
    (top / "circle").symlink_to(top)
    log(top / ".hidden")
    log(top / ".folder" / "c.strace")
    log(top / "d.strace.gz.17.part")
    log(top / "out" / "e.strace")
    os.mkfifo(top / "pipe")
    found, complaints = find([str(top)], True, str(top / "out"))
    assert [each.name for each in found] == [f"{top}/a.strace"]
    assert not complaints
    assert [each.name for each in find([str(top / "file")], True)[0]] == [f"{top}/file"]  # named by the user


def test_siblings_are_one(tmp_path: Path) -> None:
    for number in (12, 7):
        log(tmp_path / f"job.{number}")
    (found,), _ = find([str(tmp_path)], True)
    assert found.files == (f"{tmp_path}/job.7", f"{tmp_path}/job.12")


def test_content_tells_what_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a" * 300_000)
    before = content_of([str(path)])
    assert before == content_of([str(path)])
    digests = {before}
    for at, change in ((0, b"b"), (299_999, b"b"), (300_000, b"a")):
        data = bytearray(b"a" * 300_000)
        data[at : at + 1] = change
        path.write_bytes(data)
        digests.add(content_of([str(path)]))
    assert len(digests) == 4


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    found, complaints = find([str(tmp_path / "nowhere"), "a\0b", "/dev/null"], True)
    assert not found
    assert [each.rpartition(": ")[2] for each in complaints] == [
        "No such file or directory",
        "embedded null byte",
        "neither a file nor a folder",
    ]


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_vanishes_meanwhile_ends_nothing(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet(tmp_path, 3)
    lstat = os.lstat

    def vanished(path: str) -> os.stat_result:
        if path.endswith("/host1/export.strace" if what == "file" else "/host1"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", vanished)
    found, complaints = find([str(tmp_path)], True)
    assert (len(found), complaints) == (8 if what == "file" else 6, [])


def test_what_may_not_be_looked_at_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet(tmp_path, 1)

    def denied(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", denied)
    assert find([str(tmp_path)], True) == ([], [f"{tmp_path}/host0: Permission denied"])


def test_shards_are_all_and_none_twice(tmp_path: Path) -> None:
    found, _ = find([str(fleet(tmp_path, 8))], True)
    parts = [[each.key for each in found if Shard.parse(f"{number}/3").has(each)] for number in (1, 2, 3)]
    assert sorted(key for part in parts for key in part) == sorted(each.key for each in found)
    assert all(parts)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "-1/3", "1/3 "])
def test_other_shards_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write 1/3"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("pattern", "path", "told"),
    [
        (
            "{host}/{date}/{job}.strace*",
            "/logs/db01/2026-11-28/export.strace.gz",
            {"host": "db01", "date": "2026-11-28", "job": "export"},
        ),
        ("{host}/*.strace", "a/b/db01/x.strace", {"host": "db01"}),
        ("{host}/*.strace", "x.strace", {}),
        ("{job}.strace", "export.strace.gz", {}),
        ("{host}-{job}.st", "a/web.1-x-y.st", {"host": "web.1", "job": "x-y"}),
    ],
)
def test_paths_tell_host_and_job(pattern: str, path: str, told: dict[str, str]) -> None:
    assert PathPattern(pattern).of(path) == told


@pytest.mark.parametrize("pattern", ["", "plain", "{}", "{user}", "{host}/{host}", "*"])
def test_other_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"use \{host\}, \{job\}, \{date\}"):
        PathPattern(pattern)
