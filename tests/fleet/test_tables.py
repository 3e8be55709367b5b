"""The tables: their columns are all that rows have, and are in the JSON report's words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from systrace.fleet.finding import find
from systrace.fleet.pool import results_of
from systrace.fleet.tables import KEY, NUMBER, TABLES, TEXT, TEXTS, WHOLE, WHOLES, YES_NO
from systrace.fleet.task import Task
from systrace.pipeline import analyze
from systrace.reporters.shapes.plain import as_dict
from systrace.sources.logfile import recordings

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
TYPES: dict[str, Any] = {TEXT: str, NUMBER: (int, float), WHOLE: int, YES_NO: bool, TEXTS: list, WHOLES: list}
LOGS = sorted(str(each) for each in SAMPLES.glob("*/trace.strace"))


def rows(log: str) -> dict[str, list[dict[str, object]]]:
    (result,) = results_of(Task(find([log], False)[0][0]))
    return {name: [json.loads(line) for line in body.splitlines()] for name, body in result.tables.items()}


@pytest.mark.parametrize("log", LOGS, ids=lambda log: Path(log).parent.name)
def test_rows_have_the_columns_that_are_described(log: str) -> None:
    for name, found in rows(log).items():
        types = {column.name: TYPES[column.type] for column in TABLES[name].columns}
        for row in found:
            assert set(row) <= set(types)
            assert row[KEY] == found[0][KEY]
            assert next(iter(row)) == KEY  # parts are sorted out by it
            assert not [each for each, value in row.items() if value is not None and not isinstance(value, types[each])]


@pytest.mark.parametrize("log", LOGS, ids=lambda log: Path(log).parent.name)
def test_figures_are_those_of_the_json_report(log: str) -> None:
    report = as_dict(analyze(recordings([log])[0]))
    found = rows(log)
    (recording,) = found["recordings"]
    assert (recording["outcome"], recording["cause"]) == (report["verdict"]["outcome"], report["verdict"]["cause"])
    assert recording["peer_address"] == report["verdict"]["peer"]
    assert recording["lines"] == report["health"]["lines"]
    assert [row["connect_s"] for row in found["sockets"]] == [each["connect_s"] for each in report["sockets"]]
    assert [row["keepalive_on"] for row in found["sockets"]] == [each["keepalive"]["on"] for each in report["sockets"]]
    assert [row["cause"] for row in found["findings"]] == [each["cause"] for each in report["findings"]]
    assert [row["evidence_lines"] for row in found["findings"]] == [
        [line["line"] for line in each["evidence"]] for each in report["findings"]
    ]
    assert [row["first_byte_s"] for row in found["exchanges"]] == [
        each["first_byte_s"] for each in report["transactions"]
    ]


def test_every_column_is_explained_and_times_have_units() -> None:
    for each in TABLES.values():
        assert each.about
        assert each.columns[0].name == KEY
        assert all(column.meaning for column in each.columns)
        assert all("second" in column.meaning for column in each.columns if re.search("_s$", column.name))


def test_secrets_are_masked(tmp_path: Path) -> None:
    text = (SAMPLES / "html-instead-of-json" / "trace.strace").read_bytes()
    request = re.search(rb"(GET|POST) /[^ ]*", text)
    assert request is not None
    log = tmp_path / "x.strace"
    log.write_bytes(text.replace(request[0], request[0] + b"?password=hunter2hunter2"))
    assert log.stat().st_size > len(text)
    (result,) = results_of(Task(find([str(log)], False)[0][0]))
    assert b"/" in result.tables["exchanges"]
    assert b"hunter2" not in b"".join(result.tables.values())
