"""Who gives up first, as a table: only where what was needed is known."""

from __future__ import annotations

from pathlib import Path

from systrace.model import Analysis, Input
from systrace.observations import Observation
from systrace.pipeline import analyze
from systrace.reporters.layout import Layout
from systrace.reporters.views.course import course_rows, tells_more
from systrace.reporters.views.timers import timer_lines, timers
from tests.serverlogs.test_matching import HUNG, OTHERS, ask, combined, connection, judged, log

LIMITED = (1.2, "poll([{fd=3, events=POLLIN}], 1, 20000) = 0 (Timeout) <20.020>")
ENDS = [(22, "close(3) = 0 <0.1>"), (23, "exit_group(1) = ?"), (23.1, "+++ exited with 1 +++")]


def rows(analysis: Analysis) -> list[tuple[float, str, bool]]:
    return [(round(each.after_ns / 1e9, 1), each.breaks, each.need) for each in timers(analysis)]


def test_the_jobs_own_limit_is_shorter_than_what_was_needed(tmp_path: Path) -> None:
    server = [combined(1.1, "/report", 499, took=20, size=0), *OTHERS]
    slow = judged(log(*connection(3, 1), ask(3, 1.1, "/report"), LIMITED, *ENDS), server, tmp_path)
    assert timer_lines(slow, Layout()) == []  # what was needed nobody knows: the client left
    assert tells_more(slow)
    assert [text for _moment, text, _place in course_rows(slow)][-2:] == [
        "then the server's side saw that this side had gone after 20.0 s (499)", "therefore job ended with exit status 1",
    ]  # fmt: skip


def test_the_path_broke_it_before_the_answer(tmp_path: Path) -> None:
    lost = judged(log(*HUNG), [combined(1.1, "/report", took=363.6), *OTHERS], tmp_path)
    assert rows(lost) == [
        (240.0, "", False), (350.0, "", False), (363.6, "it broke before this", True), (900.0, "", False),
    ]  # fmt: skip
    assert timer_lines(lost, Layout())[0] == "Who gives up first"
    assert "it broke before this" in "\n".join(timer_lines(lost, Layout()))


def test_a_measured_limit_is_where_it_breaks(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("\n".join([combined(1.1, "/report", took=363.6), *OTHERS]) + "\n")
    limit = Observation("path-limit", "203.0.113.10:80", {"limit_above_s": 333, "limit_below_s": 353}, "systrace check")
    lines = log(*HUNG).splitlines(keepends=True)
    analysis = analyze([Input("t", lines)], context=[limit], server_logs=[str(path)])
    assert (353.0, "breaks here", False) in rows(analysis)


def test_without_facts_there_is_no_table() -> None:
    analysis = analyze([Input("t", log(*HUNG).splitlines(keepends=True))])
    assert timer_lines(analysis, Layout()) == []
