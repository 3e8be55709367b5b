"""The loop's order of things, with a kernel that reports as we tell it: races that real jobs meet once in a thousand."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.tracers.embedded_worker import loop as loop_module
from systrace.tracers.embedded_worker import requests
from systrace.tracers.embedded_worker.loop import Loop
from systrace.tracers.embedded_worker.names import native
from systrace.tracers.embedded_worker.output import Output
from systrace.tracers.embedded_worker.stops import Calls

PARENT, CHILD, OTHER = 900, 901, 902
FIRST_STOP = requests.EVENT_STOP << 16 | signal.SIGTRAP << 8 | 0x7F
FORKED = requests.EVENT_FORK << 16 | signal.SIGTRAP << 8 | 0x7F
KILLED = signal.SIGKILL


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Loop, list[int], list[tuple[int, int]]]]:
    """A loop with one tracee, whose descriptor 5 is known; the tids that it restarts; the stops it is going to wait for."""
    restarted: list[int] = []
    stops: list[tuple[int, int]] = []

    def resume(_request: int, tid: int, _signum: int = 0) -> bool:
        restarted.append(tid)
        return True

    monkeypatch.setattr(requests, "resume", resume)
    monkeypatch.setattr(requests, "event_message", lambda _tid: CHILD)
    monkeypatch.setattr(requests, "wait", lambda: stops.pop(0) if stops else (-1, 0))
    output = Output(os.open(tmp_path / "trace", os.O_WRONLY | os.O_CREAT, 0o600))
    made = Loop(Calls(output, {}), native()[0], filtered=True)
    made.add(PARENT).files._texts[5] = "<socket:[4711]>"
    yield made, restarted, stops
    output.close()


def test_a_child_that_comes_before_its_parents_report_waits_for_it(
    loop: tuple[Loop, list[int], list[tuple[int, int]]],
) -> None:
    made, restarted, stops = loop
    stops.append((CHILD, FIRST_STOP))
    made.run()
    assert restarted == []  # its descriptors are not known yet
    stops.append((PARENT, FORKED))
    made.run()
    assert restarted == [CHILD, PARENT]
    assert made.tracees[CHILD].files.text(CHILD, 5) == "<socket:[4711]>"
    assert made.tracees[CHILD].files is not made.tracees[PARENT].files


def test_a_child_that_comes_after_its_parents_report(loop: tuple[Loop, list[int], list[tuple[int, int]]]) -> None:
    made, restarted, stops = loop
    stops += [(PARENT, FORKED), (CHILD, FIRST_STOP)]
    made.run()
    assert restarted == [PARENT, CHILD]
    assert made.tracees[CHILD].files.text(CHILD, 5) == "<socket:[4711]>"


@pytest.mark.parametrize("ending", [(PARENT, KILLED), (0, 0)], ids=["killed", "nothing came"])
def test_a_child_whose_parent_never_reports_goes_on(
    ending: tuple[int, int], loop: tuple[Loop, list[int], list[tuple[int, int]]]
) -> None:
    made, restarted, stops = loop
    stops += [(CHILD, FIRST_STOP), ending]
    made.run()
    assert restarted == [CHILD]


def test_the_death_of_another_sets_no_child_free_whose_parent_is_about_to_report_it(
    loop: tuple[Loop, list[int], list[tuple[int, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its filters would not be known."""
    made, restarted, stops = loop
    made.add(OTHER)
    monkeypatch.setattr(loop_module, "parent_of", lambda _tid: PARENT)
    stops += [(CHILD, FIRST_STOP), (OTHER, KILLED)]
    made.run()
    assert restarted == []
    stops.append((PARENT, FORKED))
    made.run()
    assert restarted == [CHILD, PARENT]


def test_a_report_that_comes_late_covers_nothing_that_the_child_has_opened_meanwhile(
    loop: tuple[Loop, list[int], list[tuple[int, int]]],
) -> None:
    """It stops at every call since then, and has to go on so."""
    made, _, stops = loop
    stops += [(CHILD, FIRST_STOP), (0, 0)]
    made.run()
    made.tracees[CHILD].coverage.full = True
    stops.append((PARENT, FORKED))
    made.run()
    assert made.tracees[CHILD].coverage.full
    assert not made.tracees[PARENT].coverage.full
