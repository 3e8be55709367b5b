"""What SQL may do here, and what not."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from systrace import __version__
from systrace.errors import InputError, UsageError
from systrace.fleet.course import Plan, read
from systrace.fleet.finding import find
from systrace.fleet.parts import SUFFIX, live_parts
from systrace.fleet.pool import results_of
from systrace.fleet.questions import QUESTIONS
from systrace.fleet.sql import ask, export
from systrace.fleet.store import Store
from systrace.fleet.tables import NUMBER, TABLES, TEXT, WHOLE, WHOLES, YES_NO, fitted, is_value
from systrace.fleet.task import Task
from tests.fleet.logs import fleet, log

duckdb = pytest.importorskip("duckdb")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    read(Plan([str(fleet(tmp_path / "logs"))], str(tmp_path / "out"), True))
    return tmp_path / "out"


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_those_that_are_described(name: str, out: Path) -> None:
    found = ask(f"SELECT * FROM {name}", [out])
    assert found.columns == tuple(column.name for column in TABLES[name].columns)
    types = ask(f"SELECT column_name, column_type FROM (DESCRIBE {name})", [out]).rows
    assert types == [(column.name, column.type) for column in TABLES[name].columns]


def test_several_folders_are_one(out: Path, tmp_path: Path) -> None:
    read(Plan([str(fleet(tmp_path / "more", 2))], str(tmp_path / "out2"), True))
    assert ask("SELECT count(*) FROM Recordings", [out, tmp_path / "out2"]).rows == [(18,)]


def test_parquet(out: Path, tmp_path: Path) -> None:
    """Rows and types survive, and any reader has them."""
    (tmp_path / "p").mkdir()
    files = export([out], tmp_path / "p")
    assert [each.name for each in files] == [f"{name}.parquet" for name in TABLES]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    for name, each in zip(TABLES, files, strict=True):
        rows = duckdb.sql(f"SELECT * FROM read_parquet('{each}') ORDER BY ALL")
        assert [str(kind) for kind in rows.types] == [column.type for column in TABLES[name].columns]
        assert rows.fetchall() == ask(f"SELECT * FROM {name} ORDER BY ALL", [out]).rows
    with pytest.raises(UsageError, match="No such directory"):
        export([out], tmp_path / "nowhere")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd'), recordings",
        "SELECT * FROM '/etc/passwd'",
        "COPY recordings TO '{out}/stolen.csv'",
        "EXPORT DATABASE '{out}/stolen'",
        "ATTACH '{out}/new.db'",
        "INSTALL httpfs",
        "LOAD '/tmp/evil.so'",
        "SET enable_external_access = true",
        "SET temp_directory = '{out}'",
        "SELECT * FROM read_json('https://192.0.2.1/x.json')",
        "SELECT no_such FROM recordings",
        "not a statement",
        "SELECT 1; COPY recordings TO '{out}/stolen.csv'",
        "",
    ],
)
def test_nothing_else_is_read_written_or_loaded(statement: str, out: Path) -> None:
    before = sorted(out.rglob("*"))
    with pytest.raises(UsageError) as error:
        ask(statement.format(out=out), [out])
    assert "\n" not in str(error.value)
    assert sorted(out.rglob("*")) == before


def test_numbers_that_no_column_holds_are_null(tmp_path: Path) -> None:
    """A log may claim any; every ready question is answered."""
    starts = ["1e400", "-1e400", "NaN", "1" + "0" * 400, "-5", "253402300800", "1e300"]
    for number, start in enumerate(starts):
        path = log(tmp_path / "logs" / f"{number}", fails=True)
        text = re.sub(r"^9 \d+", "9 01:02:03", path.read_text(), flags=re.MULTILINE)
        path.write_text(f'# systrace: {{"format": 1, "start": {start}}}\n{text}')
    big = f"9 1700000000.5 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = {1 << 64}\n"
    log(tmp_path / "logs" / "far", more=big)
    done = read(Plan([str(tmp_path / "logs")], str(tmp_path / "out"), True))
    assert [each.kind for each in done.entries] == ["read"] * 8
    assert ask("SELECT count(*), count(start_s) FROM recordings", [tmp_path / "out"]).rows == [(8, 1)]
    for question in QUESTIONS.values():
        ask(question.sql, [tmp_path / "out"])
    for name in TABLES:
        ask(f"SELECT * FROM {name}", [tmp_path / "out"])


@pytest.mark.parametrize(
    ("value", "kind", "kept"),
    [
        ((1 << 63) - 1, WHOLE, (1 << 63) - 1),
        (1 << 63, WHOLE, None),
        (-(1 << 63) - 1, WHOLE, None),
        (float("inf"), WHOLE, None),
        (float("nan"), NUMBER, None),
        (float("-inf"), NUMBER, None),
        (10**400, NUMBER, None),
        (1.5, NUMBER, 1.5),
        ([1, 1 << 64], WHOLES, [1, None]),
        ("text", TEXT, "text"),
        (True, YES_NO, True),
        (None, NUMBER, None),
    ],
)
def test_what_a_column_holds(value: object, kind: str, kept: object) -> None:
    assert fitted(value, kind) == kept
    assert is_value(fitted(value, kind), kind)


def test_of_a_key_in_several_parts_the_newest_counts(out: Path) -> None:
    """Two runs on one bucket may have read the same, and replaced the same."""
    (part,) = live_parts(out)
    for name in ("state", *TABLES):
        shutil.copy(out / name / f"part-{part}{SUFFIX}", out / name / f"part-f{part}{SUFFIX}")
    assert ask("SELECT count(*), count(DISTINCT recording) FROM recordings", [out]).rows == [(12, 12)]
    store = Store(out, __version__)
    store.add(results_of(Task(find([str(log(out.parent / "new"))], False)[0][0]))[0])
    store.commit()
    store.close()
    assert ask("SELECT count(*) FROM sockets", [out]).rows == [(13,)]


def test_a_pipe_in_the_place_of_a_part_is_one_line(out: Path) -> None:
    (part,) = (out / "recordings").iterdir()
    part.unlink()
    os.mkfifo(part)
    with pytest.raises(InputError, match="no file of systrace's"):
        ask("SELECT * FROM recordings", [out])


def test_a_damaged_folder_is_one_line(out: Path) -> None:
    (state,) = (out / "state").glob("part-*")
    state.write_bytes(b"garbage")
    with pytest.raises(InputError, match="cannot be read"):
        ask("SELECT * FROM recordings", [out])


def test_a_damaged_part_is_one_line(out: Path) -> None:
    (part,) = (out / "recordings").iterdir()
    part.write_bytes(b"garbage")
    with pytest.raises(UsageError):
        ask("SELECT * FROM recordings", [out])
    part.unlink()
    with pytest.raises((UsageError, InputError)):
        ask("SELECT * FROM recordings", [out])
