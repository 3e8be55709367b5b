"""The JSON report: by the contract, for every log."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from systrace.model import Analysis
from systrace.reporters import REPORTERS
from systrace.reporters.shapes.schema import schema

Analyse = Callable[..., Analysis]


def report_of(analysis: Analysis) -> dict[str, Any]:
    out = io.BytesIO()
    REPORTERS["json"].write(analysis, out)
    assert out.getvalue().count(b"\n") == 1
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


@pytest.mark.parametrize("name", ["refused", "hung", "healthy", "many"])
def test_real_reports_follow_the_schema(analyse: Analyse, logs: dict[str, str], name: str) -> None:
    Draft202012Validator(schema("report")).validate(report_of(analyse(logs[name])))


def test_a_log_without_anything(analyse: Analyse) -> None:
    report = report_of(analyse(""))
    Draft202012Validator(schema("report")).validate(report)
    assert report["source"]["first_time"] is None
    assert report["source"]["command"] is None


def test_the_values(hung: Analysis) -> None:
    report = report_of(hung)
    assert report["schema"] == "systrace-report/1"
    assert report["verdict"]["peer"] == "192.0.2.20:80"
    first = report["findings"][report["verdict"]["finding"]]
    assert first["socket"] == "S1"
    assert first["evidence"][0]["file"] == "job.strace"
    (socket,) = report["sockets"]
    assert socket["owners"] == [{"pid": 9, "fd": 4}]
    assert socket["connect_s"] == 0.03
    assert socket["longest_silence_s"] == 60.0
    assert socket["bytes_sent"] == 18
    assert first["cause"] in socket["causes"]
    assert report["source"]["first_time"] == 1700000100.0
    assert report["source"]["span_s"] == 65.5
    assert report["source"]["command"] == ["fetch"]
    assert report["processes"][0]["signal"] == "SIGTERM"


def test_time_of_day_is_text(analyse: Analyse) -> None:
    report = report_of(analyse("9 01:47:21.557561 close(3) = 0 <0.1>\n9 01:47:22.557561 close(4) = 0 <0.1>\n"))
    assert report["source"]["first_time"] == "01:47:21.557561"


def test_file_names_that_are_no_text(refused: Analysis) -> None:
    refused.evidence.source.files = ["\udcff.strace"]
    out = io.BytesIO()
    REPORTERS["json"].write(refused, out)
    assert out.getvalue().isascii()
    assert json.loads(out.getvalue())["source"]["files"] == ["\\udcff.strace"]
