"""`systrace query` from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from systrace import __version__
from systrace.fleet.finding import find
from systrace.fleet.pool import results_of
from systrace.fleet.questions import QUESTIONS
from systrace.fleet.store import Store
from systrace.fleet.tables import TABLES
from systrace.fleet.task import Task
from tests.fleet.logs import fleet, log

pytest.importorskip("duckdb")
ENVIRONMENT = os.environ | {"LC_ALL": "C.UTF-8"}


def systrace(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "systrace", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=ENVIRONMENT | more,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def out(tmp_path: Path) -> Path:
    systrace("parse", fleet(tmp_path / "logs"), "-r", "--into", tmp_path / "out")
    return tmp_path / "out"


def test_a_ready_question_and_sql(out: Path, tmp_path: Path) -> None:
    done = systrace("query", "failing-peers", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "peer           fails_on  of_hosts",
        "192.0.2.1:443         4         4",
        "192.0.2.2:443         1         4",
        "192.0.2.3:443         1         4",
    ]
    done = systrace("query", "--format", "json", "SELECT count(*) AS n, max(peers) AS p FROM recordings", out)
    assert json.loads(done.stdout) == [{"n": 12, "p": ["192.0.2.3:443"]}]
    assert systrace("query", "failing-peers", tmp_path / "logs").stdout.count("\n") == 4  # logs themselves


def test_json_is_json(out: Path) -> None:
    """Two columns of one name, numbers that JSON has not, keys that are no text, a statement of several lines."""
    sql = "SELECT\n1 AS n, 2 AS n, 3 AS n_1, 'NaN'::DOUBLE AS x, ['inf'::DOUBLE] AS y,"
    sql += " MAP {DATE '2026-11-29': 1} AS z, DATE '2026-11-29' AS d"
    done = systrace("query", "--format", "json", sql, out)
    assert (done.returncode, done.stderr) == (0, "")

    def refuse(word: str) -> None:
        raise ValueError(word)

    assert json.loads(done.stdout, parse_constant=refuse) == [
        {"n": 1, "n_2": 2, "n_1": 3, "x": None, "y": [None], "z": {"2026-11-29": 1}, "d": "2026-11-29"}
    ]
    assert systrace("query", "SELECT\tcount(*)\nFROM recordings", out).stdout.split() == ["count_star()", "12"]


def test_what_a_killed_run_has_read_is_said(tmp_path: Path) -> None:
    """And the line goes when the run is finished."""
    top, out = fleet(tmp_path / "logs", 2), tmp_path / "out"
    store = Store(out, __version__)
    for found in find([str(top)], True)[0][:2]:
        store.add(results_of(Task(found))[0])
    done = systrace("query", "SELECT count(*) AS n FROM recordings", out)
    assert (
        "a run still writes there, 2 results of it are not in the tables yet: ask again when it is done" in done.stderr
    )
    store.close()
    done = systrace("query", "SELECT count(*) AS n FROM recordings", out)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert (
        "a run was cut off, 2 results of it are not in the tables yet: its command, once more, reads on" in done.stderr
    )
    systrace("parse", top, "-r", "--into", out)
    done = systrace("query", "SELECT count(*) AS n FROM recordings", out)
    assert (done.stdout.split(), done.stderr) == (["n", "6"], "")


def test_without_a_question_everything_is_described() -> None:
    told = systrace("query", COLUMNS="60").stdout
    for table in TABLES.values():
        assert all(f"  {column.name} " in told for column in table.columns)
    assert all(f"{name}: " in told for name in QUESTIONS)


def test_wrong_use_is_one_line(out: Path) -> None:
    for words, said in (
        (["failing-peer", out], "there is no question failing-peer: failing-peers"),
        (["top-causes"], "name what to ask"),
        (["top-causes", "/nowhere"], "/nowhere: No such file or directory"),
        (["SELECT x FROM recordings", out], 'Referenced column "x" not found'),
        (["CREATE TABLE x (y INT)", out], ""),
        (["top-causes", out, "--format", "xml"], "there is no format 'xml'"),
    ):
        done = systrace("query", *words)
        assert (done.returncode, done.stderr.count("\n")) in ((2, 1), (0, 0)), done.stderr
        assert said in done.stderr


def test_hostile_text_is_harmless_and_narrow_terminals_are_served(tmp_path: Path) -> None:
    log(tmp_path / "logs" / "\x1b[2J\n.strace", host="web\x1b]0;x\x07" + "w" * 90)
    done = systrace("query", "SELECT host, path, lines FROM recordings", tmp_path / "logs", COLUMNS="50")
    assert not set(done.stdout) & {"\x1b", "\x07"}
    assert [len(line) <= 50 for line in done.stdout.splitlines()] == [True, True]


def test_parquet(out: Path, tmp_path: Path) -> None:
    done = systrace("query", out, "--parquet", tmp_path)
    assert (done.returncode, done.stderr.count(" is written\n")) == (0, len(TABLES))
    assert systrace("query", "--parquet", tmp_path).returncode == 2


def test_without_duckdb_it_says_what_to_install(out: Path, tmp_path: Path) -> None:
    (tmp_path / "duckdb.py").write_text("raise ImportError")
    done = systrace("query", "top-causes", out, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (2, "systrace: duckdb is not installed: pip install 'systrace[query]'\n")
