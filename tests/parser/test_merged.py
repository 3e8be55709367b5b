"""Logs that were merged by the start of their lines, and those that were not."""

from __future__ import annotations

import pytest

from systrace.model import Input
from systrace.parser.merged import Completion
from systrace.pipeline import analyze

START = 1_700_000_000
_CALLS = (
    '9 1.0 execve("/usr/bin/java", ["java"], 0x1 /* 1 var */) = 0 <0.1>',
    "9 1.1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 10 <0.1>",
    '9 1.3 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>',
    "9 1.4 epoll_create1(0) = 4 <0.01>",
    "9 1.5 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data={u32=3, u64=3}}) = 0 <0.01>",
    "9 1.6 epoll_wait(4, [], 8, 2000) = 0 <2.002>",
    '10 1.7 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.01>',
    "9 3.7 close(3) = 0 <0.01>",
    "9 3.8 exit_group(1) = ?",
    "9 3.9 +++ exited with 1 +++",
)


def _lines(calls: tuple[str, ...]) -> list[bytes]:
    split = [call.split(" ", 2) for call in calls]
    return [f"{tid} {START + float(at):.6f} {call}\n".encode() for tid, at, call in split]


def test_a_request_within_another_threads_wait() -> None:
    """The wait stands first in the merged log, and yet the request went out in it: nobody answered."""
    verdict = analyze([Input("log", _lines(_CALLS))]).verdict
    assert (verdict.cause, verdict.peer) == ("read-timeout", "192.0.2.7:80"), verdict.headline


@pytest.mark.parametrize("merged", [True, False])
def test_nothing_is_lost(merged: bool) -> None:
    """Every record comes out once, whether its log was merged or not."""
    calls = _CALLS if merged else tuple(call for call in _CALLS if "epoll_wait" not in call)
    analysis = analyze([Input("log", _lines(calls))])
    assert analysis.evidence.health.records == len(calls) - 1  # the end of a thread is no call
    assert analysis.evidence.processes[9].exit_code == 1


def test_records_without_a_clock_pass() -> None:
    """Nothing can be said of their order."""
    assert Completion().ordered([]) == []
