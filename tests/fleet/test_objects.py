"""S3: recordings in buckets and results in buckets, on moto's server, a few objects a page."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.errors import InputError, UsageError
from systrace.fleet import objects
from systrace.fleet.bucket import Bucket
from systrace.fleet.course import Done, Plan, read
from systrace.fleet.finding import Shard
from systrace.fleet.parts import entries, live_parts
from systrace.fleet.tables import TABLES
from systrace.fleet.task import UNREAD
from tests.fleet.logs import fleet, log

boto3 = pytest.importorskip("boto3")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """In a process of its own: the readers are forked, which threads would not survive."""
    code = (
        "from moto.server import ThreadedMotoServer as S; import sys; s = S('127.0.0.1', 0, verbose=False); s.start();"
        "print(s.get_host_and_port()[1], flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    process.stdin.close()
    process.wait()
    process.stdout.close()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty one; three objects a page."""
    for name, value in (
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "PAGE", 3)
    objects._client.cache_clear()
    client = boto3.client("s3")
    client.create_bucket(Bucket="traces")
    yield "s3://traces"
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="traces"):
        for each in page.get("Contents", ()):
            client.delete_object(Bucket="traces", Key=each["Key"])
    client.delete_bucket(Bucket="traces")
    client.close()
    objects._client.cache_clear()


def upload(top: Path, url: str) -> None:
    for path in sorted(top.rglob("*")):
        if path.is_file():
            objects.put(f"{url}/{path.relative_to(top).as_posix()}", io.BytesIO(path.read_bytes()))


def rows(folder: Path) -> dict[str, list[dict[str, object]]]:
    """Without what names the place."""
    found: dict[str, list[dict[str, object]]] = {}
    for name in TABLES:
        lines = [
            json.loads(line)
            for part in live_parts(folder)
            for line in gzip.decompress((folder / name / f"part-{part}.ndjson.gz").read_bytes()).splitlines()
        ]
        for line in lines:
            for place in ("recording", "path", "file", "evidence_file"):
                line.pop(place, None)
        found[name] = sorted(lines, key=repr)
    return found


def copied(url: str, folder: Path) -> Path:
    folder.mkdir()
    assert Bucket(url, folder).fetch(everything=True)
    return folder


def test_the_same_rows_as_from_files(bucket: str, tmp_path: Path) -> None:
    top = fleet(tmp_path / "logs")
    upload(top, f"{bucket}/traces")
    read(Plan([str(top)], str(tmp_path / "out"), True))
    there = read(Plan([f"{bucket}/traces"], f"{bucket}/results", True, 2))
    assert (there.new, len(there.entries), there.complaints) == (12, 12, [])
    assert rows(copied(f"{bucket}/results", tmp_path / "copy")) == rows(tmp_path / "out")


def test_a_second_run_reads_what_is_new_and_results_lie_among_the_logs(bucket: str, tmp_path: Path) -> None:
    upload(fleet(tmp_path / "logs", 2), bucket)
    plan = Plan([bucket], f"{bucket}/results", True)
    assert read(plan).new == 6
    assert read(plan).new == 0
    upload(log(tmp_path / "more" / "x.strace").parent, bucket)
    again = read(plan)
    assert (again.new, len(again.entries)) == (1, 7)
    assert len(rows(copied(f"{bucket}/results", tmp_path / "copy"))["recordings"]) == 7


def test_shards_write_into_one_place(bucket: str, tmp_path: Path) -> None:
    upload(fleet(tmp_path / "logs", 4), f"{bucket}/in")
    done: list[Done] = [
        read(Plan([f"{bucket}/in"], f"{bucket}/out", True, shard=Shard(number, 2))) for number in (1, 2)
    ]
    assert sum(each.new for each in done) == 12
    with pytest.raises(UsageError, match="a run without --shard replaces it"):
        read(Plan([f"{bucket}/in"], f"{bucket}/out", True, shard=Shard(1, 2), path_pattern="{host}/{job}.strace"))
    assert len(rows(copied(f"{bucket}/out", tmp_path / "copy"))["recordings"]) == 12


def test_another_edition_replaces_parts_that_are_there(bucket: str, tmp_path: Path) -> None:
    upload(fleet(tmp_path / "logs", 2), f"{bucket}/in")
    read(Plan([f"{bucket}/in"], f"{bucket}/out", True))
    log(tmp_path / "logs" / "host9" / "x.strace")
    upload(tmp_path / "logs", f"{bucket}/in")
    again = read(Plan([f"{bucket}/in"], f"{bucket}/out", True, path_pattern="{host}/{job}.strace"))
    assert again.new == 7
    copy = copied(f"{bucket}/out", tmp_path / "copy")
    assert (len(rows(copy)["recordings"]), len(live_parts(copy))) == (7, 1)


@pytest.mark.parametrize("pattern", [None, "{host}/{job}.strace"])
def test_two_runs_at_once_count_nothing_twice(pattern: str | None, bucket: str, tmp_path: Path) -> None:
    """Nothing locks a bucket: both read the same, both replace the same part, the first removes it."""
    upload(fleet(tmp_path / "logs", 2), f"{bucket}/in")
    if pattern is not None:
        read(Plan([f"{bucket}/in"], f"{bucket}/out", True))
    plan = Plan([f"{bucket}/in"], f"{bucket}/out", True, path_pattern=pattern)
    inner: list[Done] = []

    def meanwhile(done: int, _of: int) -> None:
        if done == 3 and not inner:
            inner.append(read(plan))

    assert read(plan, told=meanwhile).new == inner[0].new == 6
    ask = pytest.importorskip("systrace.fleet.sql").ask
    pytest.importorskip("duckdb")
    copy = copied(f"{bucket}/out", tmp_path / "copy")
    for table in ("recordings", "sockets"):
        assert ask(f"SELECT count(*) FROM {table}", [copy]).rows == [(6,)]
    assert read(plan).new == 0


def test_of_an_object_that_changed_or_was_moved_the_old_rows_go(bucket: str, tmp_path: Path) -> None:
    for name in "ab":
        log(tmp_path / "logs" / name)
    upload(tmp_path / "logs", f"{bucket}/in")
    read(Plan([f"{bucket}/in"], f"{bucket}/out", True))
    log(tmp_path / "logs" / "a", fails=True)
    (tmp_path / "logs" / "b").rename(tmp_path / "logs" / "c")
    objects.delete(f"{bucket}/in/b")
    upload(tmp_path / "logs", f"{bucket}/in")
    assert read(Plan([f"{bucket}/in"], f"{bucket}/out", True)).new == 2
    (state,) = live_parts(copied(f"{bucket}/out", tmp_path / "copy"))
    names = {each.name.rpartition("/")[2] for each in entries(tmp_path / "copy", state)}
    assert (names, len(rows(tmp_path / "copy")["recordings"])) == ({"a", "c"}, 2)


def test_older_results_are_no_logs(bucket: str, tmp_path: Path) -> None:
    upload(fleet(tmp_path / "logs", 1), bucket)
    read(Plan([bucket], f"{bucket}/older", True))
    done = read(Plan([bucket], f"{bucket}/newer", True))
    assert (done.new, done.others) == (3, {})


def test_a_network_that_fails_is_no_verdict(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(fleet(tmp_path / "logs", 1), f"{bucket}/in")
    plan = Plan([f"{bucket}/in"], str(tmp_path / "out"), True)
    with monkeypatch.context() as patch:
        patch.setattr("systrace.fleet.task.opened", lambda url: objects.opened(f"{url}-is-not-there"))
        first = read(plan)
    assert (first.again, first.left, [each.kind for each in first.entries]) == (3, 0, [UNREAD] * 3)
    assert (read(plan).new, read(plan).new) == (3, 0)


def test_archives_siblings_and_what_is_passed_over(bucket: str, tmp_path: Path) -> None:
    fleet(tmp_path / "logs", 2)
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as tar:
        tar.add(tmp_path / "logs", ".")
    objects.put(f"{bucket}/a/x.tgz", io.BytesIO((tmp_path / "x.tgz").read_bytes()))
    data = log(tmp_path / "y").read_bytes()
    for name in ("a/j.7", "a/j.9", "a/.hidden", "a/z.gz.1.part", "ab/other", "a/deep/er"):
        objects.put(f"{bucket}/{name}", io.BytesIO(data))
    names = [each.name.removeprefix(f"{bucket}/a/") for each in read(Plan([f"{bucket}/a"], recursive=True)).entries]
    assert len(names) == 8
    assert {"deep/er", "j.7", "x.tgz:./host0/export.strace"} <= set(names)
    flat = read(Plan([f"{bucket}/a/"])).entries
    assert [each.name for each in flat if ":./" not in each.name] == [f"{bucket}/a/j.7"]


def test_what_cannot_be_read_is_a_line(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.put(f"{bucket}/bad.strace", io.BytesIO(b"\xffgarbage"))
    done = read(Plan([bucket, "s3://nowhere/x", f"{bucket}/none"], recursive=True))
    assert [each.kind for each in done.entries] == [UNREAD]
    assert ["NoSuchBucket" in done.complaints[0], "no recordings there" in done.complaints[1]] == [True, True]
    with pytest.raises(InputError, match="NoSuchKey"):
        objects.opened(f"{bucket}/nothing")
    with pytest.raises(UsageError, match="write s3://BUCKET/PREFIX"):
        objects.listed("s3://", True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    objects._client.cache_clear()
    with pytest.raises(InputError, match="Could not connect"):
        objects.listed(bucket, True)


def test_on_the_command_line(bucket: str, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    upload(fleet(tmp_path / "logs"), f"{bucket}/in")

    def systrace(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "systrace", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C.UTF-8"})

    done = systrace("parse", f"{bucket}/in", "-r", "--jobs", "2", "--into", f"{bucket}/out")
    assert (done.returncode, done.stderr) == (1, "")
    assert "12 recordings of 4 hosts" in done.stdout
    for source in ("out", "in"):
        assert "192.0.2.1:443         4         4" in systrace("query", "failing-peers", f"{bucket}/{source}").stdout
