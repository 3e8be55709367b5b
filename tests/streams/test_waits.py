"""Waits: calls that wait for the same thing are one wait; readiness and limits of every waiting call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.streams import Tracker

Follow = Callable[[str], Tracker]
S = 1_000_000_000
OPEN = (
    "1 0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n1 0.1 connect(3, {sa_family=AF_INET, "
    'sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = 0 <0.0001>\n'
    '1 0.2 sendto(3, "abcd", 4, 0, NULL, 0) = 4 <0.0001>\n'
)
DATA = '1 {} recvfrom(3, "x", 1, 0, NULL, NULL) = 1 <0.0001>\n'
EPOLL = (
    "1 0.3 epoll_create1(EPOLL_CLOEXEC) = 4 <0.0001>\n"
    "1 0.4 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data={u32=3, u64=3}}) = 0 <0.0001>\n"
)
Row = tuple[float | None, float | None, str, bool, int, str]  # seconds, limit, source, timed out, calls, ended by


def rows(tracker: Tracker) -> list[Row]:
    """The kept waits of the first socket."""
    socket = tracker.lookup.sockets["S1"]
    return [
        (
            None if w.duration_ns is None else round(w.duration_ns / S, 3),
            None if w.limit_ns is None else w.limit_ns / S, w.limit_source, w.timed_out, w.calls, w.ended_by,
        )
        for w in socket.waits
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (f"1 1 poll([{{fd=3, events=POLLIN}}], 1, 60000) = 1 ([{{fd=3, revents=POLLIN}}]) <5.0>\n{DATA.format(6)}",
         [(5.0, 60.0, "poll", False, 1, "data")]),
        ("1 1 poll([{fd=3, events=POLLIN}], 1, 1000) = 0 (Timeout) <1.0>\n"
         "1 2 poll([{fd=3, events=POLLIN}], 1, 1000) = 0 (Timeout) <1.0>\n"
         "1 3 poll([{fd=3, events=POLLIN}], 1, 1000) = 0 (Timeout) <1.0>\n1 4 close(3) = 0 <0.0001>",
         [(3.0, 1.0, "poll", True, 3, "close")]),
        ("1 1 select(4, [3], NULL, NULL, {tv_sec=2, tv_usec=0}) = 0 (Timeout) <2.0>\n1 3 close(3) = 0 <0.1>",
         [(2.0, 2.0, "select", True, 1, "close")]),
        ("1 1 ppoll([{fd=3, events=POLLIN}], 1, {tv_sec=2, tv_nsec=0}, NULL, 8) = 0 (Timeout) <2.0>\n"
         "1 3 close(3) = 0 <0.1>", [(2.0, 2.0, "ppoll", True, 1, "close")]),
        (EPOLL + "1 1 epoll_wait(4, [], 8, 2000) = 0 <2.0>\n1 3 close(3) = 0 <0.1>",
         [(2.0, 2.0, "epoll_wait", True, 1, "close")]),
        (EPOLL + f"1 1 epoll_wait(4, [{{events=EPOLLIN, data={{u32=3, u64=3}}}}], 8, -1) = 1 <2.0>\n{DATA.format(3)}",
         [(2.0, None, "epoll_wait", False, 1, "data")]),
        ('1 0.5 setsockopt(3, SOL_SOCKET, SO_RCVTIMEO, "\\2\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0", 16) = 0 <0.1>\n'
         "1 1 recvfrom(3, 0x1, 1, 0, NULL, NULL) = -1 EAGAIN (x) <2.0>\n1 4 close(3) = 0 <0.1>",
         [(2.0, 2.0, "SO_RCVTIMEO", True, 1, "close")]),
        ("1 1 recvfrom(3, 0x1, 1, 0, NULL, NULL) = -1 EAGAIN (x) <0.0001>\n1 4 close(3) = 0 <0.1>", []),
        ("1 1 recvfrom(3,  <unfinished ...>\n1 9 +++ killed by SIGKILL +++",
         [(8.0, None, "SO_RCVTIMEO", False, 1, "signal SIGKILL")]),
        ("1 1 poll([{fd=3, events=POLLIN}], 1, -1 <unfinished ...>",
         [(None, None, "poll", False, 1, "end of log")]),
        (f'1 1 recvfrom(3, "x", 1, 0, NULL, NULL) = 1 <0.001>\n1 2 poll([{{fd=3, events=POLLIN}}], 1, 0) = 0 (Timeout) <0.1>\n'
         f"{DATA.format(3)}", []),
    ],
    ids=["answered", "slices", "select", "ppoll", "epoll", "epoll answered", "SO_RCVTIMEO", "not blocking", "killed",
         "log ends", "only looked"],
)  # fmt: skip
def test_what_was_waited_for(follow: Follow, story: str, expected: list[Row]) -> None:
    """Duration, limit and its source, number of calls, and what ended it."""
    assert rows(follow(OPEN + story)) == expected


def test_without_durations_the_thread_s_next_line_ends_a_call(follow: Follow) -> None:
    """No -T: the upper bound is what the same thread did next."""
    story = OPEN.replace(" <0.0001>", "") + (
        "1 1 poll([{fd=3, events=POLLIN}], 1, 60000) = 1 ([{fd=3, revents=POLLIN}])\n"
        '2 3 getpid() = 2\n1 6 recvfrom(3, "x", 1, 0, NULL, NULL) = 1\n1 6.001 close(3) = 0'
    )
    assert rows(follow(story)) == [(5.0, 60.0, "poll", False, 1, "data")]


@pytest.mark.parametrize(
    ("story", "kind"),
    [
        ("1 1 futex(0x7f, FUTEX_WAIT_PRIVATE, 2, NULL <unfinished ...>", "futex"),
        ("1 1 wait4(-1,  <unfinished ...>", "child"), ("1 1 nanosleep({tv_sec=9, tv_nsec=0}, NULL) = 0 <9.0>", "sleep"),
        ("1 1 read(0,  <unfinished ...>", "stdin"), ("1 1 flock(5, LOCK_EX <unfinished ...>", "lock"),
        ("1 1 pause( <unfinished ...>", "signal"), ("1 1 poll(NULL, 0, 5000) = 0 (Timeout) <5.0>", "sleep"),
    ],
)  # fmt: skip
def test_trap_6_waits_for_other_things(follow: Follow, story: str, kind: str) -> None:
    """Locks, children, sleeps and input are no sockets."""
    assert [span.kind for span in follow(story).spans] == [kind]


def test_without_durations_a_refusal_to_wait_is_no_wait(follow: Follow) -> None:
    """EAGAIN of a non-blocking socket: what the thread does 3 s later tells nothing of it. With SO_RCVTIMEO it may."""
    opened = "9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3\n" \
        '9 1.1 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0\n'  # fmt: skip
    limit = "9 1.2 setsockopt(3, SOL_SOCKET, SO_RCVTIMEO_OLD, {tv_sec=3, tv_usec=0}, 16) = 0\n"
    asked = (
        '9 1.3 write(3, "Q\\n", 2) = 2\n9 1.4 read(3, 0x55d0, 64) = -1 EAGAIN (Resource temporarily unavailable)\n'
        "9 4.4 getpid() = 9\n9 4.5 close(3) = 0\n"
    )
    assert not follow(opened + asked).lookup.sockets["S1"].waits
    assert [w.limit_source for w in follow(opened + limit + asked).lookup.sockets["S1"].waits] == ["SO_RCVTIMEO"]


@pytest.mark.parametrize(("again", "spans"), [("1.901", 1), ("4.0", 2)])
def test_a_wait_that_the_kernel_restarts_is_one(follow: Follow, again: str, spans: int) -> None:
    """SA_RESTART: the same call at once; a program that locks again later does so by itself."""
    story = (
        "1 1 flock(5, LOCK_EX) = ? ERESTARTSYS (To be restarted if SA_RESTART is set) <0.9>\n"
        "1 1.9 --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=7, si_uid=0} ---\n"
        f"1 {again} flock(5, LOCK_EX) = 0 <2.0>"
    )
    assert len(follow(story).spans) == spans
