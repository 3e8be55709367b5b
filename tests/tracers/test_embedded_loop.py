"""The loop's order of things, with a kernel that reports as we tell it: races that real jobs meet once in a thousand."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.tracers.embedded_worker import requests
from systrace.tracers.embedded_worker.loop import Loop
from systrace.tracers.embedded_worker.names import native
from systrace.tracers.embedded_worker.output import Output
from systrace.tracers.embedded_worker.stops import Calls

PARENT, CHILD = 900, 901
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
