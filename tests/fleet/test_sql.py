"""What SQL may do here, and what not."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from systrace.errors import InputError, UsageError
from systrace.fleet.course import Plan, read
from systrace.fleet.sql import ask, export
from systrace.fleet.tables import TABLES
from tests.fleet.logs import fleet

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
