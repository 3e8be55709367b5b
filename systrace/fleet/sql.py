"""SQL on the tables, by duckdb, which is shut in: once the tables are loaded it opens no file, loads no extension, asks no
network, and no statement can change that. Extensions are never downloaded.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from systrace.dataclass import dataclass
from systrace.errors import InputError, MissingExtraError, UsageError
from systrace.fleet.parts import SUFFIX, contents, live_parts, regular
from systrace.fleet.tables import KEY, TABLES, Table
from systrace.outputs import place, writing

_SHUT_IN = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}
_LONGEST_ROW = 1 << 28  # bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def ask(statement: str, folders: Sequence[Path]) -> Answer:
    """The answer to one statement of SQL on the tables of all these folders of results.

    Only tables that it names are loaded, each into memory: `fleet.tables` has their columns.

    Raises:
        MissingExtraError: duckdb is not installed.
        UsageError: it is no statement that can be answered.
        InputError: a folder's state cannot be read.
    """
    wanted = [table for table in TABLES.values() if re.search(rf"\b{table.name}\b", statement, re.IGNORECASE)]
    with _loaded(wanted, folders) as connection:
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        found = connection.execute(statement)
        if found is None or not found.description:
            raise UsageError("the statement gives no rows: begin with SELECT")
        return Answer(tuple(column[0] for column in found.description), found.fetchall())


def export(folders: Sequence[Path], into: Path) -> list[Path]:
    """Write each table as a file of Parquet: TABLE.parquet in a folder, mode 0600. What was there is replaced.

    Raises:
        MissingExtraError: duckdb is not installed.
        UsageError: it cannot be written.
        InputError: a folder's state cannot be read.
    """
    written = []
    for table in TABLES.values():
        where = place(into / f"{table.name}.parquet")
        with writing(where) as out, tempfile.TemporaryDirectory(prefix="systrace-") as folder:
            part = Path(folder) / "part"
            with _loaded([table], folders) as connection:
                connection.execute(f'COPY "{table.name}" TO {_quoted(str(part))} (FORMAT parquet, COMPRESSION zstd)')
            with part.open("rb") as made:
                shutil.copyfileobj(made, out)
        written.append(where.path)
    return written


@contextlib.contextmanager
def _loaded(tables: Sequence[Table], folders: Sequence[Path]) -> Iterator[Any]:
    try:
        import duckdb
    except ImportError:
        raise MissingExtraError("duckdb", "query") from None
    try:
        with duckdb.connect(":memory:", config=dict(_SHUT_IN)) as connection:
            connection.execute("SET temp_directory = ''")  # else .tmp in the working directory
            for table in tables:
                for each in _loading(table, folders):
                    connection.execute(each)
            yield connection
    except duckdb.Error as error:
        lines = [line.strip() for line in str(error).split("\n") if line.strip()]
        raise UsageError(" ".join(lines[:2]) or "duckdb cannot answer that") from None


def _loading(table: Table, folders: Sequence[Path]) -> list[str]:
    columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
    statements = [f'CREATE TABLE "{table.name}" ({columns})']
    types = ", ".join(f"{_quoted(column.name)}: {_quoted(column.type)}" for column in table.columns)
    options = f"columns = {{{types}}}, format = 'newline_delimited', compression = 'gzip', maximum_object_size = {_LONGEST_ROW}"
    for files, left_out in (each for folder in folders for each in _files(table, folder)):
        source = f"read_json([{', '.join(_quoted(_literal(str(each))) for each in files)}], {options})"
        where = f" WHERE {KEY} NOT IN ({', '.join(map(_quoted, sorted(left_out)))})" if left_out else ""
        statements.append(f'INSERT INTO "{table.name}" SELECT * FROM {source}{where}')  # noqa: S608 (quoted)
    return statements


def _files(table: Table, folder: Path) -> Iterator[tuple[list[Path], set[str]]]:
    """(files, keys of rows in them that count no longer): most parts have none, and are read at once."""
    parts = live_parts(folder)
    shadowed = contents(folder, parts).shadowed if len(parts) > 1 else {}
    clean: list[Path] = []
    for part in parts:
        path = folder / table.name / f"part-{part}{SUFFIX}"
        try:
            regular(path).close()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        if part in shadowed:
            yield [path], shadowed[part]
        else:
            clean.append(path)
    if clean:
        yield clean, set()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal(path: str) -> str:
    """A path without the patterns that a name may look like."""
    return re.sub(r"([*?\[])", r"[\1]", path)
