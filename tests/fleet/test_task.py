"""What one task makes of what it is given, whatever that is."""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from systrace.fleet import task as module
from systrace.fleet.finding import find
from systrace.fleet.pool import results_of
from systrace.fleet.tables import TABLES
from systrace.fleet.task import OTHER, READ, UNREAD, Result, Task
from systrace.model import Input
from tests.fleet.logs import START, log


def read(path: Path, **options: object) -> list[Result]:
    return results_of(Task(find([str(path)], False)[0][0], **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b"", UNREAD, "the log is empty"),
        (b"\x07garbage\xff" * 9000, UNREAD, "this is no strace log"),
        (b"Dear diary,\n" * 9, UNREAD, "it begins with"),
        (b"PK\x03\x04" + bytes(90), UNREAD, "a zip archive: unpack it first"),
        (b'{"a": 1}\n' * 900, OTHER, "JSON"),
        (b'{"a": 1}', OTHER, "JSON"),
        (b"<!doctype html><html>", OTHER, "an HTML page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), OTHER, "a picture (PNG)"),
        (gzip.compress(b"1 close(3) = 0\n" * 999, mtime=0)[:-20], READ, None),
        (b"\x1f\x8bgarbage", UNREAD, "no system call is in this log"),
    ],
)
def test_kinds(content: bytes, kind: str, reason: str | None, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    (result,) = read(path)
    assert result.kind == kind
    assert reason is None or reason in result.row["reason"]
    assert bool(result.tables) == (kind != OTHER)


def test_host_job_and_time_are_the_recordings_own(tmp_path: Path) -> None:
    (result,) = read(log(tmp_path / "web1" / "x.strace", host="db1"), pattern="{host}/{job}.strace")
    assert (result.row["host"], result.row["job"], result.row["start_s"]) == ("db1", "x", START)


def test_else_the_paths(tmp_path: Path) -> None:
    path = tmp_path / "web1" / "2026-11-28" / "x.strace"
    path.parent.mkdir(parents=True)
    path.write_text("9 01:02:03 close(3) = 0\n")
    (result,) = read(path, pattern="{host}/{date}/{job}.strace")
    assert (result.row["host"], result.row["job"], result.row["start_s"]) == ("web1", "x", 1795824000)
    (result,) = read(path)
    assert (result.row["host"], result.row["job"], result.row["start_s"]) == (None, None, None)


def test_all_recordings_of_an_archive(tmp_path: Path) -> None:
    log(tmp_path / "in" / "a.strace", fails=True)
    log(tmp_path / "in" / "b.7")
    log(tmp_path / "in" / "b.9")
    (tmp_path / "in" / "c.json").write_text("{}")
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as tar:
        tar.add(tmp_path / "in", "in")
        tar.add(tmp_path / "in" / "a.strace", "in/a.strace")
    results = read(tmp_path / "x.tgz")
    names = {result.name.partition(":")[2]: result.kind for result in results}
    assert names == {"in/a.strace": READ, "in/a.strace#2": READ, "in/b.7": READ, "in/c.json": OTHER, "": OTHER}
    assert len({result.key for result in results}) == 5
    task = Task(find([str(tmp_path / "x.tgz")], False)[0][0])
    again = results_of(task, {result.name for result in results[:2]})
    assert [result.name for result in again] == [result.name for result in results[2:]]


def test_names_in_an_archive_are_told_apart(tmp_path: Path) -> None:
    """Long ones, one name twice, one that looks like the second of another, hard links."""
    path = log(tmp_path / "x")
    names = ["a", "a", "a#2", *(f"{'d/' * 2500}{number}" for number in range(3))]
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = path.stat().st_size
            with path.open("rb") as data:
                tar.addfile(info, data)
        for name, target in (("b", "a"), ("c", "elsewhere")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.LNKTYPE, target
            tar.addfile(info)
    results = read(tmp_path / "x.tar")
    assert len({result.name for result in results}) == len({result.key for result in results}) == len(names) + 3
    assert max(len(result.name) for result in results) < 4200
    told = {result.name.rpartition(":")[2]: (result.kind, result.row.get("reason")) for result in results[-3:-1]}
    assert told["b"] == (OTHER, "a hard link in an archive")
    assert told["c"][0] == UNREAD
    assert "a hard link to elsewhere, which was not read: unpack it first" in str(told["c"][1])


def test_a_damaged_archive_gives_what_came_before(tmp_path: Path) -> None:
    for name in ("a", "b"):
        log(tmp_path / "in" / name, more="9 1700000000.0 close(3) = 0\n" * 2000)
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "in" / "a", "a")
        tar.add(tmp_path / "in" / "b", "b")
    whole = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[:90_000])
    results = read(tmp_path / "x.tar")
    assert results[0].name.rpartition("/")[2] == "x.tar:a"
    assert results[0].kind == READ
    assert results[-1].kind == UNREAD


def test_a_fault_of_systrace_costs_one_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(inputs: list[Input], **_more: object) -> None:
        assert [line for each in inputs for line in each.lines]
        raise RecursionError("too deep")

    monkeypatch.setattr(module, "analyze", fails)
    (result,) = read(log(tmp_path / "x"))
    assert result.kind == UNREAD
    assert "systrace failed on it: RecursionError: too deep" in result.row["reason"]


def test_rows_hold_no_number_that_their_columns_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(*_some: object) -> Iterator[Mapping[str, object]]:
        yield {"fd": 1 << 64, "connect_s": float("nan"), "opened_s": 1.5, "pid": 7}

    sockets = replace(TABLES["sockets"], rows=rows)
    monkeypatch.setattr(module, "TABLES", {"recordings": TABLES["recordings"], "sockets": sockets})
    (result,) = read(log(tmp_path / "x"))
    row = json.loads(result.tables["sockets"])
    assert (row["fd"], row["connect_s"], row["opened_s"], row["pid"]) == (None, None, 1.5, 7)


def test_without_its_decompressor_a_log_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"\x28\xb5\x2f\xfd")
    for name in ("backports", "compression"):
        monkeypatch.setitem(sys.modules, name, None)
    (result,) = read(tmp_path / "x")
    assert (result.kind, result.transient) == (UNREAD, True)
    assert "pip install 'systrace[codecs]'" in result.row["reason"]


@pytest.mark.parametrize("content", [b"", b"\x07garbage\xff", b"PK\x03\x04", b"\x1f\x8bgarbage"])
def test_what_is_so_because_of_the_bytes_is_so_for_ever(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    (result,) = read(tmp_path / "x")
    assert (result.kind, result.transient) == (UNREAD, False)


def test_a_file_that_went_meanwhile(tmp_path: Path) -> None:
    task = Task(find([str(log(tmp_path / "x"))], False)[0][0])
    (tmp_path / "x").unlink()
    (result,) = results_of(task)
    assert result.transient
    assert (result.kind, result.row["reason"]) == (UNREAD, f"{tmp_path}/x: No such file or directory")
