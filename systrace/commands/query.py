"""`systrace query`: SQL, or a ready question, on the tables of many recordings."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from systrace.commands import app, say
from systrace.commands.options import table_or_json

if TYPE_CHECKING:
    from systrace.fleet.sql import Answer
    from systrace.reporters.layout import Layout

HELP = """Ask many recordings: a SELECT, or one of the ready questions by name, on OUT (of `parse --into OUT`) or on logs.

Without a question: the tables with their columns and units, and the ready questions with their SQL. Tables: recordings,
sockets, exchanges, findings; the column `recording` joins them. Needs duckdb (pip install 'systrace[query]'), which reads
these tables and nothing else: no other file, no network.

Exit status: 0 answered, 2 not (no such column, OUT cannot be read).
"""


@app.command(help=HELP, short_help="SQL on many recordings; ready questions.")
def query(
    question: Annotated[str | None, typer.Argument(metavar="QUESTION|SELECT", help="A name, or SQL.")] = None,
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="OUT|LOG...", help="Results of parse --into, or logs and folders.")
    ] = None,
    style: Annotated[str, typer.Option("--format", metavar="NAME", help="table, json.")] = "table",
    parquet: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each table there as TABLE.parquet, and ask nothing.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Read so many logs side by side.")] = 1,
) -> None:
    """See HELP."""
    from systrace.commands.reading.output import opened
    from systrace.errors import UsageError
    from systrace.fleet.questions import QUESTIONS
    from systrace.fleet.sql import ask, export
    from systrace.reporters.layout import Layout
    from systrace.words import encoded

    style = table_or_json(style)
    if parquet is not None:
        named = [each for each in (question, *(sources or ())) if each is not None]
        if not named:
            raise UsageError("--parquet: name OUT of `systrace parse --into OUT`, or logs")
        with ExitStack() as stack:
            for path in export(_stores(named, jobs, stack), parquet):
                say(f"{path} is written")
        return
    if question is None:
        with opened(None) as out:
            out.write(encoded("\n".join(_catalogue(Layout.of(out))) + "\n"))
        return
    if question not in QUESTIONS and len(question.split()) < 2:
        from difflib import get_close_matches

        near = get_close_matches(question, QUESTIONS, 1) or ["`systrace query` lists them"]
        raise UsageError(f"there is no question {question}: {near[0]}")
    if not sources:
        raise UsageError("name what to ask: OUT of `systrace parse --into OUT`, or logs")
    with ExitStack() as stack:
        answer = ask(QUESTIONS[question].sql if question in QUESTIONS else question, _stores(sources, jobs, stack))
    with opened(None) as out:
        if style == "json":
            names = _names(answer.columns)
            rows = [dict(zip(names, map(_plain, row), strict=True)) for row in answer.rows]
            out.write(json.dumps(rows, indent=1, allow_nan=False).encode() + b"\n")
        else:
            out.write(encoded("\n".join(_table(answer, Layout.of(out))) + "\n"))


def _stores(sources: Sequence[str], jobs: int, stack: ExitStack) -> list[Path]:
    """Folders of results; logs are read into one that goes again."""
    from tempfile import TemporaryDirectory

    from systrace.fleet.bucket import Bucket
    from systrace.fleet.course import Plan, read
    from systrace.fleet.objects import is_url
    from systrace.fleet.parts import is_store
    from systrace.fleet.task import UNREAD

    stores = [Path(each) for each in sources if not is_url(each) and is_store(Path(each))]
    for store in stores:
        _say_what_is_missing(store)
    logs = []
    for each in sources:
        if is_url(each):
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="systrace-")))
            if Bucket(each, folder).fetch(everything=True):
                stores.append(folder)
            else:
                logs.append(each)
        elif Path(each) not in stores:
            logs.append(each)
    if logs:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="systrace-"))) / "out"
        done = read(Plan(logs, str(folder), recursive=True, jobs=jobs))
        unread = [str(each.row.get("reason")) for each in done.entries if each.kind == UNREAD]
        for each in [*done.complaints, *unread]:
            say(each)
        stores.append(folder)
    return stores


def _say_what_is_missing(folder: Path) -> None:
    """A run that was killed has read more than the tables have."""
    from systrace.fleet.journal import cut_off

    count, running = cut_off(folder)
    if count:
        why = "a run still writes there" if running else "a run was cut off"
        then = (
            "ask again when it is done" if running else "its command, once more, reads on (systrace parse ... --into)"
        )
        say(f"{folder}: {why}, {count:,} results of it are not in the tables yet: {then}")


def _names(columns: Sequence[str]) -> list[str]:
    """Each its own: of two columns `n` the second is `n_1`, as duckdb has it."""
    names: list[str] = []
    for name in columns:
        others = (f"{name}_{number}" for number in itertools.count(1))
        names.append(next(each for each in others if each not in (*names, *columns)) if name in names else name)
    return names


def _plain(value: Any) -> Any:
    """What JSON can say."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _catalogue(layout: Layout) -> list[str]:
    """The tables and the questions."""
    from systrace.fleet.questions import QUESTIONS
    from systrace.fleet.tables import TABLES
    from systrace.words import wrap

    lines: list[str] = []
    for table in TABLES.values():
        lines += [f"{layout.paint(table.name, 'bold')}: {table.about}"]
        wide = max(len(column.name) for column in table.columns)
        for column in table.columns:
            lead = f"  {column.name:<{wide}}  {column.type:<9}  "
            lines += wrap(column.meaning, max(layout.width, len(lead) + 20), lead, " " * len(lead))
        lines.append("")
    for name, question in QUESTIONS.items():
        lines += [
            f"{layout.paint(name, 'bold')}: {question.about}",
            *(f"    {line}" for line in question.sql.split("\n")),
            "",
        ]
    return [*lines, "systrace query top-causes OUT; systrace query 'SELECT count(*) FROM recordings' OUT"]


def _table(answer: Answer, layout: Layout) -> list[str]:
    """Columns as wide as they are; numbers to the right; on a terminal the widest texts are cut until a line fits."""
    from systrace.words import columns, cut_middle, safe

    cells = [[safe(_text(value)) for value in row] for row in answer.rows]
    heads = [safe(name) for name in answer.columns]
    widths = [max(map(columns, texts)) for texts in zip(heads, *cells, strict=True)]
    while layout.fitted and sum(widths) + 2 * (len(widths) - 1) > layout.width and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    right = [any(isinstance(row[at], int | float) for row in answer.rows) for at in range(len(heads))]
    lines = []
    for row in [heads, *cells]:
        texts = [cut_middle(text, width) for text, width in zip(row, widths, strict=True)]
        rooms = [" " * (width - columns(text)) for text, width in zip(texts, widths, strict=True)]
        pieces = [room + text if end else text + room for text, room, end in zip(texts, rooms, right, strict=True)]
        lines.append("  ".join(pieces).rstrip())
    lines[0] = layout.paint(lines[0], "dim")
    return lines


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.9g}" if isinstance(value, float) else str(value)
