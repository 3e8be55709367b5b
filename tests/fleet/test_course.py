"""The whole course: what is new is read, once; whatever ends a run, the next one has the same rows."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from systrace.errors import SystraceError, UsageError
from systrace.fleet import task as module
from systrace.fleet.course import Plan, read, status
from systrace.fleet.finding import Shard
from systrace.model import Input
from systrace.pipeline import analyze
from tests.fleet.logs import fleet, log
from tests.fleet.results import paths, rows, run


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


def test_what_fails_for_no_fault_of_the_bytes_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top, out = tmp_path / "logs", tmp_path / "out"
    log(top / "a.strace")
    (top / "b.strace").write_bytes(b"\xffgarbage")
    with monkeypatch.context() as patch:
        patch.setattr(module, "analyze", _fails)
        first = run(top, out)
    assert (status(first), first.left, first.again) == (2, 0, 2)
    assert [each.row["reason"] for each in first.entries] == [
        f"{top}/{name}.strace: Input/output error" for name in "ab"
    ]
    assert paths(out, top) == []
    second = run(top, out)
    assert (second.new, second.again) == (2, 0)
    assert run(top, out).new == 0


def _fails(*_some: object, **_more: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_an_archive_with_a_member_that_failed_is_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top, out = fleet(tmp_path / "in", 1), tmp_path / "out"
    subprocess.run(["tar", "cf", tmp_path / "x.tar", "-C", top, "."], check=True)
    plan = Plan([str(tmp_path / "x.tar")], str(out))

    def fails_once(inputs: list[Input], **options: object) -> object:
        if "import" in inputs[0].name:
            _fails()
        return analyze(inputs, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "analyze", fails_once)
        first = read(plan)
    assert (first.new, first.left, first.again, len(first.entries)) == (3, 0, 1, 3)
    second = read(plan)
    assert (second.new, second.again, len(second.entries)) == (1, 0, 3)
    assert read(plan).new == 0


def test_results_among_the_logs_are_no_logs(tmp_path: Path) -> None:
    top = fleet(tmp_path / "logs", 1)
    run(top, top / "older")
    done = run(top, top / "newer")
    assert (done.new, sum(done.others.values())) == (3, 0)
    with pytest.raises(SystraceError, match="these are results"):
        run(top / "older", tmp_path / "x")


def test_results_by_clear_names_are_not_mixed_with_redacted_ones(tmp_path: Path) -> None:
    top, out = fleet(tmp_path / "logs", 1), tmp_path / "out"
    run(top, out)
    with pytest.raises(UsageError, match="names in the clear: name a new folder"):
        run(top, out, redact_names=True)
    hidden = tmp_path / "hidden"
    for _ in range(2):
        run(top, hidden, redact_names=True)
    (top / "host0" / "bad.strace").write_bytes(b"db01.corp garbage\n" * 9)
    run(top, hidden, redact_names=True)
    text = str(rows(hidden))
    assert [word for word in ("host0", str(tmp_path), "export.strace", "bad.strace", "db01") if word in text] == []
    assert len(rows(hidden)["recordings"]) == 4


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
