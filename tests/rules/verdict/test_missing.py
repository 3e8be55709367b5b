"""What a log does not hold: connections, the end of its job, threads, timers, a write; each beside one that does."""

from __future__ import annotations

import pytest

from tests.rules.verdict.short_logs import REFUSED, STREAM, TO, judged

_LOCAL = '{{sa_family=AF_UNIX, sun_path="/run/{}.sock"}}, 110'


@pytest.mark.parametrize(
    ("calls", "cause"),
    [
        ([], "not-network"),
        (
            [
                "7 1.1 socket(AF_UNIX, SOCK_DGRAM, 0) = 3 <0.001>",
                f"7 1.2 connect(3, {_LOCAL.format('log')}) = 0 <0.001>",
                '7 1.3 sendto(3, "<13>job: no config", 18, 0, NULL, 0) = 18 <0.001>',
            ],
            "not-network",
        ),
        (
            [
                "7 1.1 socket(AF_UNIX, SOCK_STREAM, 0) = 3 <0.001>",
                f"7 1.2 connect(3, {_LOCAL.format('db')}) = 0 <0.001>",
                '7 1.3 sendto(3, "hello", 5, 0, NULL, 0) = 5 <0.001>',
                '7 1.4 recvfrom(3, "hello", 99, 0, NULL, NULL) = 5 <0.001>',
            ],
            "inconclusive",
        ),
        ([f"7 1.1 socket({STREAM}) = 3 <0.001>", f"7 1.2 connect(3, {TO % (80, 7)}) = 0 <0.001>"], "inconclusive"),
    ],
)
def test_a_job_that_failed_without_a_connection_is_not_the_network(calls: list[str], cause: str) -> None:
    """In a log in which sockets are recorded; a process of this host at the other end is somebody, too."""
    analysis = judged(
        '7 1.0 execve("/bin/job", ["job"], 0x1 /* 1 vars */) = 0 <0.001>',
        "7 1.0 socket(AF_UNIX, SOCK_STREAM, 0) = 4 <0.001>",
        *calls,
        "7 1.9 exit_group(3) = ?",
        "7 1.9 +++ exited with 3 +++",
    )
    assert analysis.verdict.cause == cause
    assert ("not the network" in analysis.verdict.headline) == (cause == "not-network")


def test_a_log_that_shows_no_sockets_does_not_say_that_there_were_none() -> None:
    analysis = judged('7 1.0 openat(AT_FDCWD, "a", O_RDONLY) = 3 <0.001>', "7 1.9 +++ exited with 3 +++")
    assert analysis.verdict.cause == "inconclusive"


_WORKED = (
    f"9 1.0 socket({STREAM}) = 3 <0.0001>",
    f"9 1.1 connect(3, {TO % (80, 7)}) = 0 <0.001>",
    '9 1.2 sendto(3, "GET / HTTP/1.0\\r\\n\\r\\n", 18, 0, NULL, 0) = 18 <0.0001>',
    '9 1.3 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok", 8192, 0, NULL, NULL) = 40 <0.01>',
    "9 1.4 close(3) = 0 <0.0001>",
)


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        ([], [], "inconclusive"),
        ([], ["9 1.5 +++ exited with 0 +++"], "healthy"),
        (["strace: Process 9 attached"], [], "healthy"),
        ([], ["9 4.5 poll([{fd=5, events=POLLIN}], 1, 500 <detached ...>"], "healthy"),
        ([], ["strace: Process 9 detached"], "healthy"),
    ],
)
def test_a_log_without_the_end_of_its_job(before: list[str], after: list[str], cause: str) -> None:
    """A tracer stays until the program ends, unless it was attached to it or let it go; whoever cut off the end may have cut
    off the failure."""
    verdict = judged(*before, *_WORKED, *after).verdict
    assert (verdict.outcome, verdict.cause) == (cause, cause)


def test_what_was_made_good_before_a_log_ends() -> None:
    """A later try worked, and how the job ended is not in the log: it may have failed of the first."""
    failed = [f"9 0.1 socket({STREAM}) = 3 <0.0001>", f"9 0.2 connect(3, {TO % (80, 7)}) = {REFUSED}"]
    again = [*failed, "9 0.3 close(3) = 0 <0.0001>", *_WORKED]
    assert judged(*again).verdict.outcome == "inconclusive"
    assert judged(*again, "9 1.5 +++ exited with 0 +++").verdict.cause == "recovered-error"


@pytest.mark.parametrize(("signal", "cause"), [("SIGPIPE", "inconclusive"), ("SIGWINCH", "read-timeout")])
def test_a_write_that_failed_unseen(signal: str, cause: str) -> None:
    """Neither clock nor waits: an answer that did not come is a guess, unless SIGPIPE tells of a failure that is hidden."""
    verdict = judged(
        *(line.split(" ", 2)[2].rpartition(" <")[0] for line in _WORKED[:2]),
        'sendto(3, "ab", 2, 0, NULL, 0) = 2',
        'recvfrom(3, "ok", 8192, 0, NULL, NULL) = 2',
        'sendto(3, "cd", 2, 0, NULL, 0) = 2',
        f"--- {signal} {{si_signo={signal}, si_code=SI_USER, si_pid=9, si_uid=0}} ---",
        "+++ exited with 255 +++",
    ).verdict
    assert verdict.cause == cause


_SYSLOG = [
    "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0) = 3",
    'connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (No such file or directory)',
]
_CHILD = (
    "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=9, si_uid=0, si_status=7, si_utime=0, si_stime=0} ---"
)


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        ("", [], "inconclusive"),  # no pids: children leave no trace
        ("8 ", [_CHILD], "inconclusive"),  # what failed was done by somebody whose calls are not here
        ("8 ", [], "not-network"),
    ],
)
def test_nobody_had_opened_a_connection_of_those_in_the_log(before: str, after: list[str], cause: str) -> None:
    """A failing shell of which the log shows no child's calls."""
    lines = [*_SYSLOG, *after, "+++ exited with 7 +++"]
    assert judged(*(before + line for line in lines)).verdict.cause == cause


@pytest.mark.parametrize(("waited", "cause"), [("0.0102", "inconclusive"), ("5.0001", "read-timeout")])
def test_a_timer_that_the_log_does_not_show(waited: str, cause: str) -> None:
    """alarm(2) counts whole seconds: what ends a wait after 10 ms is a profiler's tick as well as a deadline."""
    end = 1.2 + float(waited)
    verdict = judged(
        *_WORKED[:3],
        f"9 1.2 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <{waited}>",
        f"9 {end:.4f} --- SIGALRM {{si_signo=SIGALRM, si_code=SI_KERNEL}} ---",
        f"9 {end + 0.001:.4f} rt_sigreturn({{mask=[]}}) = -1 EINTR (Interrupted system call) <0.0001>",
        f"9 {end + 0.002:.4f} close(3) = 0 <0.0001>",
        f"9 {end + 0.003:.4f} +++ exited with 1 +++",
    ).verdict
    assert verdict.cause == cause, verdict.headline
