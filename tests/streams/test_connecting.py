"""connect(2) in all its forms is one attempt with one outcome."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.streams import Tracker

Follow = Callable[[str], Tracker]
BLOCKING = "1 0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n"
NONBLOCK = "1 0 socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3 <0.0001>\n"
CONNECT = 'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16)'
NOW = f"1 1 {CONNECT} = -1 EINPROGRESS (x) <0.0001>\n"
READY = "1 1.5 poll([{fd=3, events=POLLOUT}], 1, 5000) = 1 ([{fd=3, revents=%s}]) <0.25>\n"
ERROR = "1 2 getsockopt(3, SOL_SOCKET, SO_ERROR, [%s], [4]) = 0 <0.0001>\n"
CLOSE = "1 9 close(3) = 0 <0.0001>\n"
LATE = "1 1.5 poll([{fd=3, events=POLLOUT}], 1, 5000) = 0 (Timeout) <5.0>\n"
S = 1_000_000_000

Outcome = tuple[str, str | None, bool, float | None]  # outcome, errno, blocking, seconds


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (f"{BLOCKING}1 1 {CONNECT} = 0 <0.5>", ("connected", None, True, 0.5)),
        (f"{BLOCKING}1 1 {CONNECT} = -1 ECONNREFUSED (x) <0.5>", ("failed", "ECONNREFUSED", True, 0.5)),
        (f"{BLOCKING}1 1 {CONNECT} = -1 ETIMEDOUT (x) <127.0>", ("failed", "ETIMEDOUT", True, 127.0)),
        (f"{NONBLOCK}{NOW}{READY % 'POLLOUT'}{ERROR % '0'}", ("connected", None, False, 0.75)),
        (f"{NONBLOCK}{NOW}{READY % 'POLLOUT|POLLERR|POLLHUP'}{ERROR % 'ECONNREFUSED'}",
         ("failed", "ECONNREFUSED", False, 0.75)),
        (f"{NONBLOCK}{NOW}{READY % 'POLLOUT|POLLERR|POLLHUP'}{ERROR % '111'}",
         ("failed", "ECONNREFUSED", False, 0.75)),
        (f"{NONBLOCK}{NOW}{READY % 'POLLOUT'}{CLOSE}", ("connected", None, False, 0.75)),
        (f"{NONBLOCK}{NOW}{READY % 'POLLOUT'}1 2 {CONNECT} = 0 <0.0001>", ("connected", None, False, 1.0001)),
        (f"{NONBLOCK}{NOW}1 2 {CONNECT} = -1 EISCONN (x) <0.0001>", ("connected", None, False, 1.0001)),
        (f"{NONBLOCK}{NOW}1 1.2 {CONNECT} = -1 EALREADY (x) <0.0001>\n1 2 {CONNECT} = -1 ECONNREFUSED (x) <0.0001>",
         ("failed", "ECONNREFUSED", False, 1.0001)),
        (f"{NONBLOCK}{NOW}{READY % 'POLLOUT'}1 2 getpeername(3, {{sa_family=AF_INET, sin_port=htons(80), "
         'sin_addr=inet_addr("192.0.2.1")}, [16]) = 0 <0.0001>', ("connected", None, False, 0.75)),
        (f"{NONBLOCK}{NOW}1 1.5 sendto(3, \"a\", 1, 0, NULL, 0) = 1 <0.0001>", ("connected", None, False, 0.5)),
        (f"{NONBLOCK}{NOW}{LATE}{CLOSE}", ("abandoned", None, False, 8.0)),
        (f"{BLOCKING}1 1 {CONNECT} = -1 EINPROGRESS (x) <5.0>\n{CLOSE}", ("abandoned", None, True, 5.0)),
        (f"{BLOCKING}1 1 {CONNECT} = ? ERESTARTSYS (x) <3.0>\n1 4 --- SIGTERM {{si_signo=SIGTERM}} ---\n"
         "1 5 +++ killed by SIGTERM +++", ("abandoned", None, True, 4.0)),
        (f"{NONBLOCK}{NOW}", ("pending", None, False, None)),
    ],
    ids=["at once", "refused", "timed out", "poll and SO_ERROR", "poll and an error", "an old strace's number",
         "never asked", "second connect", "EISCONN", "EALREADY first", "getpeername", "data", "deadline", "SO_SNDTIMEO",
         "a signal", "log ends"],
)  # fmt: skip
def test_one_attempt_one_outcome(follow: Follow, story: str, expected: Outcome) -> None:
    """Outcome, error, whether the call blocked, and from when to when."""
    (socket,) = follow(story).lookup.sockets.values()
    (attempt,) = socket.attempts
    took = None if attempt.duration_ns is None else round(attempt.duration_ns / S, 4)
    assert (attempt.outcome, attempt.errno, attempt.blocking, took) == expected


@pytest.mark.parametrize(
    ("story", "limit"),
    [
        (f"{NONBLOCK}{NOW}{LATE}{CLOSE}", (5.0, "poll")),
        (f"{BLOCKING}1 0.5 setsockopt(3, SOL_SOCKET, SO_SNDTIMEO_OLD, \"\\5" + "\\0" * 15 + "\", 16) "
         f"= 0 <0.0001>\n1 1 {CONNECT} = -1 EINPROGRESS (x) <5.01>\n{CLOSE}", (5.0, "SO_SNDTIMEO")),
        (f"{BLOCKING}1 0.5 alarm(3) = 0 <0.0001>\n1 1 {CONNECT} = ? ERESTARTSYS (x) <2.5>\n"
         "1 3.5 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n1 3.6 +++ killed by SIGALRM +++",
         (3.0, "SIGALRM")),
    ],
    ids=["poll", "SO_SNDTIMEO", "SIGALRM"],
)  # fmt: skip
def test_the_program_s_own_deadline(follow: Follow, story: str, limit: tuple[float, str]) -> None:
    """How long it allowed, and by what."""
    (socket,) = follow(story).lookup.sockets.values()
    (attempt,) = socket.attempts
    assert attempt.outcome == "abandoned"
    assert (attempt.limit_ns, attempt.limit_source) == (int(limit[0] * S), limit[1])


def test_trap_7_what_is_no_attempt(follow: Follow) -> None:
    """connect on UDP, to port 0, and AF_UNSPEC only choose an address."""
    tracker = follow(
        "1 0 socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = 3 <0.0001>\n"
        f"1 1 {CONNECT.replace('80', '0')} = 0 <0.0001>\n"
        "1 2 connect(3, {sa_family=AF_UNSPEC, sa_data=\"\\0\"}, 16) = 0 <0.0001>\n"
        f"1 3 {CONNECT.replace('80', '53')} = 0 <0.0001>"
    )  # fmt: skip
    (socket,) = tracker.lookup.sockets.values()
    assert (socket.attempts, str(socket.peer)) == ((), "192.0.2.1:53")
