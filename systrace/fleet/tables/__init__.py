"""The tables of a fleet: one file each, found by walking this package. A row is made of the JSON report's own shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from systrace.dataclass import dataclass
from systrace.model import Analysis
from systrace.registry import Registry

KEY = "recording"  # first column of every table
Shapes = Mapping[
    str, Any
]  # the parts of a JSON report by name (`reporters.shapes`); its lists can be gone through once
Rows = Callable[[Shapes, Analysis], Iterator[Mapping[str, Any]]]

TEXT, NUMBER, WHOLE, YES_NO, TEXTS, WHOLES = "VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR[]", "BIGINT[]"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its type in SQL, what it says (with the unit)."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table. A row without a value for a column has NULL there."""

    name: str
    about: str
    columns: tuple[Column, ...]
    rows: Rows


TABLES: Registry[Table] = Registry(__name__)
_KEY_COLUMN = Column(KEY, TEXT, "the recording's key: the same in all tables")


def table(name: str, columns: Sequence[tuple[str, str, str]]) -> Callable[[Rows], Rows]:
    """Enter a table: the decorated function makes its rows, its docstring's first line says what one is."""

    def enter(rows: Rows) -> Rows:
        about = (rows.__doc__ or "").split("\n", 1)[0]
        TABLES.add(name, Table(name, about, (_KEY_COLUMN, *(Column(*each) for each in columns)), rows))
        return rows

    return enter
