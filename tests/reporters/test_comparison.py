"""A comparison for people: lines, table, Markdown."""

from __future__ import annotations

from dataclasses import replace

from systrace.compare import compare
from systrace.compare.nouns import Comparison
from systrace.reporters.layout import Layout
from systrace.reporters.shapes.comparison import comparison_dict
from systrace.reporters.views.comparison import comparison_lines, comparison_markdown
from systrace.words import columns
from tests.compare.scribe import Log, nightly

NARROW = Layout(60, fitted=True, everything=True)


def told() -> Comparison:
    bad = Log()
    bad.begins("export.py", "--full")
    bad.looks_up("api.example", "", code=3)
    bad.says("cannot | find `it`")
    bad.ends(1)
    return compare(nightly().analysis(), bad.analysis())


def test_a_table_fits_a_narrow_terminal() -> None:
    lines = comparison_lines(told(), NARROW)
    table = lines[lines.index("") :]
    assert len(table) > 3
    assert all(columns(line) <= 60 for line in table)


def test_colour() -> None:
    lines = comparison_lines(told(), Layout(colour=True))
    assert lines[0].startswith("\x1b[1;31mDIFFERENT:\x1b[0m")
    same = compare(nightly().analysis(), nightly().analysis())
    assert comparison_lines(same, Layout(colour=True))[0].startswith("\x1b[1;32mno difference that matters:\x1b[0m")


def test_what_is_not_compared_is_said() -> None:
    same = replace(compare(nightly().analysis(), nightly().analysis()), unseen=["times: neither log has any"])
    assert comparison_lines(same, Layout())[-1] == "not all could be compared: --all says what the logs do not show"
    assert comparison_lines(same, Layout(everything=True))[-1] == "not compared: times: neither log has any"
    assert "- times: neither log has any" in comparison_markdown(same, False)


def test_nothing_is_markup() -> None:
    lines = comparison_markdown(told(), True)
    assert lines[0].startswith("## DIFFERENT: export.py FAILED in BAD")
    assert len({line.count("|") - line.count("\\|") for line in lines if line.startswith("| ")}) == 1


def test_data() -> None:
    whole = comparison_dict(told())
    assert whole["schema"] == "systrace-diff/1"
    assert whole["good"]["outcome"] == "healthy"
    assert whole["differences"][0]["kind"] == "cause"
