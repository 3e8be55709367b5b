"""`parse`, `run` and `attach` write every report that is asked for, of one reading."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.test_parse import FINE, REFUSED, parse

SYSTRACE = [sys.executable, "-m", "systrace"]
CONNECT = "exec 3<>/dev/tcp/127.0.0.1/1"


def test_a_run_has_as_many_reports_as_files(tmp_path: Path) -> None:
    table, ticket, rows = (tmp_path / name for name in ("r.txt", "r.md", "r.ndjson"))
    outputs = [word for path in (table, ticket, rows) for word in ("--output", str(path))]
    done = subprocess.run(
        [*SYSTRACE, "run", *outputs, "--", "bash", "-c", CONNECT], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"systrace: " not in done.stderr
    assert table.read_text().startswith("FAILED: ")
    assert ticket.read_text().startswith("## FAILED: ")
    assert [json.loads(line)["row"] for line in rows.read_text().splitlines()][:2] == ["recording", "finding"]
    assert {path.stat().st_mode & 0o777 for path in (table, ticket, rows)} == {0o600}


def test_a_report_that_cannot_be_written_costs_the_others_nothing(tmp_path: Path) -> None:
    rows, nowhere = tmp_path / "r.ndjson", tmp_path / "no" / "r.md"
    words = ["--format", "json", "--output", str(rows), "--format", "markdown", "--output", str(nowhere)]
    done = subprocess.run(
        [*SYSTRACE, "run", *words, "--", "true"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert "no markdown report is written" in done.stderr
    assert json.loads(rows.read_text())["verdict"]["outcome"] == "healthy"


@pytest.mark.real
def test_attach_too(tmp_path: Path) -> None:
    table, rows = tmp_path / "r.txt", tmp_path / "r.ndjson"
    with subprocess.Popen(["sleep", "60"]) as job:
        for extra in ([], ["--passive"]):
            done = subprocess.run(
                [*SYSTRACE, "attach", str(job.pid), "--for", "1", *extra, "--output", str(table), "--output", str(rows)],
                capture_output=True, text=True, check=False, timeout=60, env={**os.environ},
            )  # fmt: skip
            assert (done.returncode, done.stdout) == (0, ""), done.stderr
            assert "sleep" in table.read_text()
            assert json.loads(rows.read_text().splitlines()[0])["row"] == "recording"
            table.unlink()
            rows.unlink()
        job.kill()


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    path = tmp_path / "refused.strace"
    path.write_text(REFUSED)
    return path


@pytest.fixture
def fine(tmp_path: Path) -> Path:
    path = tmp_path / "fine.strace"
    path.write_text(FINE)
    return path


def test_several_reports_of_one_reading(refused: Path, fine: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("r.md", "r.ndjson", "r"))
    done = parse(refused, fine, "--output", first, "--output", second, "--output", third)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert first.read_bytes() == parse(refused, fine, "--format", "markdown").stdout
    assert second.read_bytes() == parse(refused, fine, "--format", "ndjson").stdout
    assert b"\n== " in third.read_bytes()
    swapped = parse(refused, "--format", "junit", "--output", first, "--format", "json", "--output", second)
    assert swapped.returncode == 1
    assert first.read_bytes().startswith(b"<?xml")
    assert json.loads(second.read_bytes())["verdict"]["cause"] == "connect-refused"


def test_a_file_of_several_recordings_is_whole(refused: Path, fine: Path, tmp_path: Path) -> None:
    one, side_by_side = tmp_path / "one.xml", tmp_path / "two.xml"
    assert parse(refused, fine, "--output", one).returncode == 1
    assert parse(refused, fine, "--output", side_by_side, "--jobs", "2").returncode == 1
    assert one.read_bytes() == side_by_side.read_bytes()
    assert one.read_bytes().count(b"<testcase ") == 2
    assert one.read_bytes().endswith(b"</testsuite>\n</testsuites>\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "json", "--format", "table"], b"2 formats need as many files"),
        (["--output", "x", "--output", "x"], b"--output x is the same file as --output"),
        (["--format", "json", "--output", "a", "--output", "b"], b"1 format for 2 files"),
    ],
)
def test_reports_that_nobody_can_tell_apart(
    words: list[str], said: bytes, refused: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = parse(refused, *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"refused.strace"}


def test_nothing_shown_leaves_no_half_of_a_document(refused: Path, tmp_path: Path) -> None:
    none = parse(tmp_path / "none", "--format", "junit")
    assert (none.returncode, none.stdout) == (2, b"")
    some = parse(tmp_path / "none", refused, "--format", "junit")
    assert (some.returncode, some.stdout.count(b"<testsuites>"), some.stdout.count(b"</testsuites>")) == (2, 1, 1)
