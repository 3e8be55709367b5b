"""What the bad run's verdict has to do with the differences."""

from __future__ import annotations

from systrace.compare import compare
from tests.compare.scribe import Log, Style, nightly

REFUSED = "-1 ECONNREFUSED (Connection refused)"


def failing(port: int = 80, address: str = "192.0.2.10", pid: int = 8) -> Log:
    log = Log(Style(pid=pid))
    log.begins("export.py", "--full")
    log.connects(address, port, REFUSED)
    log.says("cannot connect")
    log.ends(1)
    return log


def test_the_same_fault_in_both_is_no_difference() -> None:
    assert not compare(failing().analysis(), failing(address="192.0.2.99", pid=9).analysis()).differences


def test_another_fault_is() -> None:
    first = compare(failing(80).analysis(), failing(5432).analysis()).differences[0]
    assert (first.kind, first.peer) == ("cause", "192.0.2.10:5432")


def test_the_verdict_is_told_with_the_step_of_the_good_run() -> None:
    first = compare(nightly().analysis(), failing().analysis()).differences[0]
    assert "[connect-refused]" in first.text
    assert "in GOOD the same step (connect to api.example:80): connected in 1 ms" in first.text
    assert first.failed


def test_the_other_way_round_nothing_is_a_fault() -> None:
    told = compare(failing().analysis(), nightly().analysis())
    assert told.differences
    assert all(each.kind != "cause" for each in told.differences)
