"""`systrace diff GOOD BAD`: statuses, formats, bad input, secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from systrace.reporters.shapes.schema import schema
from tests.compare.scribe import Log, Style, nightly

SAMPLES = Path(__file__).parents[2] / "samples"


def diff(*words: str | Path, **more: object) -> subprocess.CompletedProcess[bytes]:
    settings: dict[str, object] = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 60, **more}
    return subprocess.run([sys.executable, "-m", "systrace", "diff", *map(str, words)], **settings)  # type: ignore[call-overload,no-any-return]


def written(path: Path, log: Log) -> Path:
    path.write_bytes(log.text())
    return path


def bad(secret: str = "hunter2hunter2", page: str = "/v1/orders/9?since=1") -> Log:
    log = Log(Style(pid=99, clock="-tt"))
    log.begins("export.py", "--full", f"--password={secret}")
    log.looks_up("api.example", "192.0.2.77")
    fd = log.connects("192.0.2.77")
    log.fetches(
        fd, f"{page}&token={secret}", body=f"no {secret}", status="500 Internal Server Error", kind="text/plain"
    )
    log.says("HTTP Error 500")
    log.ends(1)
    return log


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, Path]:
    return written(tmp_path / "good.strace", nightly()), written(tmp_path / "bad.strace", bad())


def test_no_difference_is_0(logs: tuple[Path, Path]) -> None:
    done = diff(logs[0], logs[0])
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"no difference that matters: export.py HEALTHY in both; ")


def test_a_difference_is_1_and_five_lines(logs: tuple[Path, Path]) -> None:
    done = diff(*logs, env={**os.environ, "COLUMNS": "400"})
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (1, b"", 6), lines
    assert lines[0] == "DIFFERENT: export.py FAILED in BAD, HEALTHY in GOOD; 2 steps are alike"
    assert "[http-error-status/status-500]" in lines[1]
    assert lines[5].endswith("--all")


def test_all_of_them_as_a_table(logs: tuple[Path, Path]) -> None:
    text = diff(*logs, "--all", env={**os.environ, "COLUMNS": "200"}).stdout.decode()
    assert "what       step  " in text
    assert "POST http://api.example/v1/done" in text


def test_json_is_as_its_schema_says(logs: tuple[Path, Path]) -> None:
    done = diff(*logs, "--format", "json")
    told = json.loads(done.stdout)
    Draft202012Validator(schema("diff")).validate(told)
    assert done.returncode == 1
    assert told["different"]
    assert told["differences"][0]["peer"] == "api.example:80"
    assert told["differences"][0]["bad_place"]["line"] > 0
    assert told["parted"] == 0
    same = json.loads(diff(logs[0], logs[0], "--format", "json").stdout)
    Draft202012Validator(schema("diff")).validate(same)
    assert (same["different"], same["differences"], same["parted"]) == (False, [], None)


def test_markdown_into_a_file(logs: tuple[Path, Path], tmp_path: Path) -> None:
    done = diff(*logs, "--format", "markdown", "--all", "--output", tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    assert (done.returncode, done.stdout) == (1, b"")
    assert text.startswith("## DIFFERENT")
    assert "| what | step | GOOD | BAD | lines |" in text


def test_the_output_is_no_input(logs: tuple[Path, Path]) -> None:
    before = logs[0].read_bytes()
    done = diff(*logs, "--output", logs[0])
    assert done.returncode == 2
    assert logs[0].read_bytes() == before


def test_secrets_are_masked_unless_asked_for(logs: tuple[Path, Path]) -> None:
    for style in ("table", "json", "markdown"):
        assert b"hunter2" not in diff(*logs, "--all", "--format", style).stdout
    assert b"hunter2" in diff(*logs, "--all", "--show-secrets").stdout


def test_a_terminal_obeys_nothing_of_it(tmp_path: Path) -> None:
    one = written(tmp_path / "one", nightly())
    log = bad(page="/v1/\\33[2J\\33]0;x\\7/\\377?x=1")
    other = written(tmp_path / "other", log)
    for words in (("--all",), ("--format", "markdown", "--all")):
        assert b"\x1b" not in diff(one, other, *words).stdout
    json.loads(diff(one, other, "--format", "json").stdout)


def test_standard_input(logs: tuple[Path, Path]) -> None:
    with logs[1].open("rb") as log:
        assert diff(logs[0], "-", stdin=log).returncode == 1
    assert diff("-", "-").returncode == 2


def test_files_of_ff_in_a_directory(logs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "ff"
    folder.mkdir()
    for each in nightly(Style(one_file_each=True)).inputs():
        (folder / each.name).write_bytes(b"".join(each.lines))
    assert diff(logs[0], folder).returncode == 0


def test_bad_input_is_one_line(logs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_bytes(b"nothing here is a call\n" * 5)
    (tmp_path / "several").mkdir()
    for name in "ab":
        written(tmp_path / "several" / name, nightly())
    for words in (
        (logs[0], tmp_path / "nowhere"),
        (tmp_path / "empty", logs[1]),
        (tmp_path / "text", logs[1]),
        (logs[0], tmp_path / "several"),
        (logs[0],),
        (*logs, "--format", "yaml"),
    ):
        done = diff(*words)
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1), done.stderr
        assert done.stderr.startswith(b"systrace: ")


def test_samples() -> None:
    done = diff(SAMPLES / "healthy" / "trace.strace", SAMPLES / "hung-read" / "trace.strace")
    assert done.returncode == 1
    assert b"[hung-read/no-answer]" in done.stdout.replace(b"\n  ", b" ")
