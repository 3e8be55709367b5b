"""Calls that wait: for how long, and until when."""

from __future__ import annotations

import pytest

from systrace.model import Blocked, Input
from systrace.pipeline import analyze

NOW = 1_700_000_000
SLEEPS = {
    "clock_nanosleep(CLOCK_MONOTONIC, 0, {tv_sec=5, tv_nsec=0}": 5 * 10**9,
    "clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, {tv_sec=4706, tv_nsec=0}": None,  # since boot: not this log's clock
    f"clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, {{tv_sec={NOW + 300}, tv_nsec=0}}": 300 * 10**9,
    f"clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, {{tv_sec={NOW - 9}, tv_nsec=0}}": None,
}


@pytest.mark.parametrize("call", SLEEPS)
def test_a_moment_is_no_duration(call: str) -> None:
    evidence = analyze([Input("t", [f"9 {NOW}.000000 {call}, NULL <unfinished ...>".encode()])]).evidence
    (event,) = evidence.processes[9].pending
    assert isinstance(event, Blocked)
    assert event.limit_ns == SLEEPS[call]
