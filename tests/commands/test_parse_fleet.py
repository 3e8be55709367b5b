"""`parse --recursive --into` from outside: options, statuses, signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet.logs import fleet, log

SYSTRACE = [sys.executable, "-m", "systrace"]
ENVIRONMENT = os.environ | {"LC_ALL": "C.UTF-8"}


def parse(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*SYSTRACE, "parse", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=ENVIRONMENT | more,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_from_folders_to_tables(tmp_path: Path) -> None:
    fleet(tmp_path / "logs")
    done = parse(tmp_path / "logs", "--recursive", "--jobs", 2, "--into", tmp_path / "out")
    assert (done.returncode, done.stderr) == (1, "")
    assert "12 recordings of 4 hosts" in done.stdout
    again = parse(tmp_path / "logs", "-r", "--into", tmp_path / "out")
    assert "12 known before" in again.stdout
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "exchanges",
        "findings",
        "recordings",
        "sockets",
        "state",
    ]


def test_statuses(tmp_path: Path) -> None:
    log(tmp_path / "a" / "a.strace")
    assert parse(tmp_path, "-r").returncode == 0
    log(tmp_path / "a" / "b.strace", fails=True)
    assert parse(tmp_path, "-r").returncode == 1
    (tmp_path / "c").write_bytes(b"\xff")
    assert parse(tmp_path, "-r").returncode == 2


def test_the_results_may_lie_among_the_logs(tmp_path: Path) -> None:
    fleet(tmp_path, 2)
    for _ in range(2):
        assert "6 recordings" in parse(tmp_path, "-r", "--into", tmp_path / "out").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-r", "--format", "json"], "leave out the other options"),
        (["-r", "--each"], "leave out the other options"),
        (["-r", "--show-secrets"], "leave out the other options"),
        (["--shard", "1/2"], "--shard, --path-pattern and --scheduler are of --recursive and --into"),
        (["-r", "--shard", "3/2"], "--shard 3/2: write 1/3"),
        (["-r", "--path-pattern", "{x}"], "--path-pattern {x}: use {host}"),
        (["-r", "--into", "/dev/null"], "--into /dev/null: it is no folder"),
        (["-r", "-"], "not standard input"),
        (["-r", "/nowhere"], None),
        (["-r", "--limits", "/nowhere"], "/nowhere"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], said: str | None, tmp_path: Path) -> None:
    log(tmp_path / "a.strace")
    done = parse(tmp_path, *words)
    assert done.returncode == 2
    assert said is None or (said in done.stderr and done.stderr.count("\n") == 1)


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(number: signal.Signals, tmp_path: Path) -> None:
    """What is read is kept, the page says so, and no process is left."""
    fleet(tmp_path / "logs", 200)
    out = tmp_path / "out"
    argv = [*SYSTRACE, "parse", str(tmp_path / "logs"), "-r", "--into", str(out)]
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=ENVIRONMENT
    )
    until = time.monotonic() + 60
    while not any(each.stat().st_size for each in out.glob("state/*.journal")) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, number)
    told, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (128 + number, "")
    assert "are not read yet: the same command reads on" in told
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    rest = parse(tmp_path / "logs", "-r", "--into", out)
    assert "600 recordings" in rest.stdout
    assert rest.returncode == 1


def test_progress_on_a_terminal_only(tmp_path: Path) -> None:
    """It goes when the page comes."""
    fleet(tmp_path / "logs", 2)
    ours, theirs = pty.openpty()
    argv = [*SYSTRACE, "parse", str(tmp_path / "logs"), "-r"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=theirs, check=False, env=ENVIRONMENT)
    os.close(theirs)
    told = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert told.startswith("\rreading: 1 of 6\x1b[K")
    assert told.endswith("\r\x1b[K")
    assert b"6 recordings" in done.stdout


def test_names_are_redacted(tmp_path: Path) -> None:
    log(tmp_path / "in" / "a.strace", host="db01.corp.example", peer="10.1.2.3", fails=True)
    parse(tmp_path / "in", "-r", "--redact-names", "--into", tmp_path / "out")
    (part,) = (tmp_path / "out" / "recordings").iterdir()
    row = json.loads(subprocess.run(["zcat", part], capture_output=True, check=True).stdout)
    assert "db01" not in json.dumps(row)
    assert "10.1.2.3" not in json.dumps(row)
