"""What epoll sets within others, and timers among the descriptors, make of a wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systrace.kernel import procfs
from systrace.kernel.interest import followed
from systrace.look.nouns import Call, Descriptor

EPOLL = Call(232, "epoll_wait", (3, 0, 0, 0, 0, 0), 3)
POLL = Call(7, "poll", (0,) * 6, None, ((3, "r"), (9, "w")))
TIMERS = tuple(Descriptor(fd, "timerfd", "anon_inode:[timerfd]", None, True, False) for fd in (20, 21))


def test_sets_within_sets_are_opened_in_order_and_once() -> None:
    watched = {3: ((5, "r"), (4, "r")), 4: ((6, "rw"), (5, "r"))}
    assert (call := followed(1, EPOLL, (), watched)) is not None
    assert call.fds == ((5, "r"), (6, "rw"))
    assert (call := followed(1, POLL, (), watched)) is not None
    assert call.fds == ((5, "r"), (6, "rw"), (9, "w"))


def test_a_circle_ends() -> None:
    """The kernel allows none; a table that is read while it changes may show one."""
    assert (call := followed(1, EPOLL, (), {3: ((4, "r"),), 4: ((3, "r"), (8, "r"))})) is not None
    assert (8, "r") in call.fds


def test_other_calls_and_none_stay_as_they_are() -> None:
    read = Call(0, "read", (3, 0, 0, 0, 0, 0), 3, ((3, "r"),))
    assert followed(1, read, (), {3: ((5, "r"),)}) == read
    assert followed(1, None, (), {}) is None


@pytest.mark.parametrize(
    ("limit_ns", "left", "expected"),
    [
        (None, {20: 9, 21: 7}, (7, "timerfd")),
        (None, {20: None, 21: 8}, (8, "timerfd")),
        (None, {20: None, 21: None}, (None, "epoll_wait")),
        (5, {20: 9, 21: 7}, (5, "epoll_wait")),
        (50, {20: 9, 21: 77}, (9, "timerfd")),
    ],
)
def test_the_earliest_limit_counts(
    monkeypatch: pytest.MonkeyPatch, limit_ns: int | None, left: dict[int, int | None], expected: tuple[object, str]
) -> None:
    monkeypatch.setattr(procfs, "timerfd_left_ns", lambda _pid, fd: left[fd])
    call = replace(EPOLL, limit_ns=limit_ns, limit_source="epoll_wait")
    assert (found := followed(1, call, TIMERS, {3: ((20, "r"), (21, "r"), (5, "r"))})) is not None
    assert (found.limit_ns, found.limit_source) == expected


def test_a_timer_that_is_not_waited_for_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "timerfd_left_ns", lambda _pid, _fd: 1)
    assert (call := followed(1, EPOLL, TIMERS, {3: ((5, "r"),)})) is not None
    assert call.limit_ns is None
