"""Which reports a command line asks for, and where each goes."""

from __future__ import annotations

from typing import BinaryIO

import pytest

from systrace.errors import UsageError
from systrace.model import Analysis
from systrace.reporters import REPORTERS, Reporter
from systrace.reporters.choosing import Wanted, fitting, wanted
from systrace.reporters.layout import PAGE, Layout


def test_a_format_a_file_or_both() -> None:
    assert wanted([], []) == [Wanted("table", None)]
    assert wanted(["json"], []) == [Wanted("json", None)]
    assert wanted([], ["notes", "a.JSON", "b.txt", "/dev/null"]) == [
        Wanted("table", "notes"), Wanted("json", "a.JSON"), Wanted("table", "b.txt"), Wanted("table", "/dev/null")
    ]  # fmt: skip
    assert wanted(["json", "table"], ["a", "b.json"]) == [Wanted("json", "a"), Wanted("table", "b.json")]


@pytest.mark.parametrize(
    ("styles", "outputs", "said"),
    [
        (["yaml"], [], "there is no report format 'yaml': choose from "),
        (["json", "table"], [], "2 formats need as many files"),
        (["json"], ["a", "b"], "1 format for 2 files"),
        (["json", "table"], ["a"], "2 formats for 1 file: "),
    ],
)
def test_what_is_not_clear_is_refused(styles: list[str], outputs: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        wanted(styles, outputs)


class Odd(Reporter):
    name = "odd"
    suffixes = (".odd",)
    binary = True
    single = True

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        pytest.fail("not asked to")


def test_a_report_that_would_do_harm_where_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REPORTERS._load(), "odd", Odd())
    [to_nowhere], [to_file] = wanted(["odd"], []), wanted([], ["x.odd"])
    assert to_file == Wanted("odd", "x.odd")
    with pytest.raises(UsageError, match="odd is binary: name a file"):
        fitting([to_nowhere])
    fitting([to_nowhere], terminal=False)
    fitting([to_file])
    with pytest.raises(UsageError, match="odd holds one recording, and these are 2"):
        fitting([to_file], 2)
    fitting(wanted(["json"], []), 2)
