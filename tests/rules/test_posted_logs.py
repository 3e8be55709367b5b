"""What logs look like that strangers post: connects whose error comes sideways, errors cut off, loops of jobs and timers."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.rules.examples import FAIL, REQUEST, connects, replies
from systrace.rules.pages import full_trace

TCP = "9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n"
UNDER_WAY = TCP + connects("-1 EINPROGRESS (Operation now in progress) <0.0001>", time="1.1")
STANDS = TCP + connects("0 <0.001>", time="1.1") + '9 1.2 sendto(3, "Q", 1, 0, NULL, 0) = 1 <0.0001>\n'
SITE = "192.0.2.7:80"
DATABASE = "192.0.2.7:5432"


def judged(*lines: str) -> Analysis:
    return analyze([Input("log", full_trace("".join(lines)).encode().splitlines(keepends=True))])


@pytest.mark.parametrize(
    ("call", "confidence"),
    [
        ("recvfrom(3, 0x7f, 9, 0, NULL, NULL) = -1 ECONNREFUSED (Connection refused) <0.0001>", "confirmed"),
        ('sendto(3, "a", 1, MSG_NOSIGNAL, NULL, 0) = -1 ECONNREFUSED (Connection refused) <0.0001>', "confirmed"),
        ('sendto(3, "a", 1, MSG_NOSIGNAL, NULL, 0) = -1 EPIPE (Broken pipe) <0.0001>', "possible"),
    ],
)
def test_the_next_call_gets_the_error_of_a_connect(call: str, confidence: str) -> None:
    """socket(7), SO_ERROR: it is told once, to whoever asks first; EPIPE says that it was told before."""
    analysis = judged(UNDER_WAY, f"9 1.2 {call}\n", FAIL)
    assert (analysis.verdict.cause, analysis.verdict.peer) == ("connect-refused", SITE)
    assert analysis.findings[0].confidence == confidence


@pytest.mark.parametrize(
    ("after", "cause"),
    [("0.02", "connect-refused"), ("1.03", "connect-refused"), ("3.06", "unreachable"), ("9.90", "connect-timeout")],
)
def test_an_error_that_nobody_asked_for_is_told_by_its_time(after: str, cause: str) -> None:
    """A refusal comes at once, or on the SYN that is repeated after 1 s; the neighbour look-up takes 3 s."""
    failed = f"9 1.2 poll([{{fd=3, events=POLLOUT}}], 1, 60000) = 1 ([{{fd=3, revents=POLLOUT|POLLERR}}]) <{after}>\n"
    analysis = judged(UNDER_WAY, failed, "9 20.0 close(3) = 0 <0.0001>\n", FAIL.replace("9.9", "20.1"))
    assert (analysis.verdict.cause, analysis.verdict.peer) == (cause, SITE)
    assert (analysis.findings[0].variant, analysis.findings[0].confidence) == ("unnamed", "likely")


@pytest.mark.parametrize(
    ("end", "variant"),
    [(" = -1 ECONNREFUSED", ""), (" = -1 ECONNREFU", "unnamed"), (" = -1", "unnamed"), (" = -1 E", "unnamed")],
)
def test_an_error_that_is_cut_off(end: str, variant: str) -> None:
    """By a terminal or a form: a name that is whole stands."""
    call = connects("").removesuffix(" = \n")
    analysis = judged(f"{call}{end}\n", FAIL.replace("9.9", "1.1"))
    assert (analysis.verdict.cause, analysis.findings[0].variant) == ("connect-refused", variant)


@pytest.mark.parametrize(("interval", "cause"), [(0, "read-timeout"), (1, "inconclusive")])
def test_a_periodic_timer_is_no_deadline(interval: int, cause: str) -> None:
    """setitimer(2): a profiler's tick breaks waits off by the way; a single shot was meant to."""
    verdict = judged(
        STANDS,
        f"9 1.3 setitimer(ITIMER_REAL, {{it_interval={{tv_sec={interval}, tv_usec=0}}, it_value={{tv_sec=1, tv_usec=0}}}}, "
        "NULL) = 0 <0.0001>\n"
        "9 1.4 recvfrom(3, 0x7f, 9, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is set) <0.9>\n"
        "9 2.3 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n"
        "9 2.4 rt_sigreturn({mask=[]}) = -1 EINTR (Interrupted system call) <0.0001>\n9 2.6 +++ exited with 1 +++\n",
    ).verdict
    assert verdict.cause == cause


def child(tid: int, at: int, port: int, code: int) -> str:
    """One that is refused and fails of it."""
    return (
        f"8 {at}.0 clone(child_stack=NULL, flags=SIGCHLD) = {tid} <0.0001>\n"
        f"{tid} {at}.1 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n"
        + connects("-1 ECONNREFUSED (Connection refused) <0.001>", port, f"{at}.2").replace("9 ", f"{tid} ", 1)
        + f"{tid} {at}.3 +++ exited with {code} +++\n"
        f"8 {at}.4 wait4(-1, [{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}], 0, NULL) = {tid} <0.0001>\n"
    )


@pytest.mark.parametrize(
    ("before", "status", "peer"),
    [
        (child(9, 1, 5432, 3), 3, DATABASE),
        (child(9, 1, 5432, 1), 1, "192.0.2.7:25"),  # both may be the reason: the later one
        (STANDS.replace("9 ", "8 ").replace("= 0 <", "= -1 ECONNREFUSED (x) <", 1), 3, "192.0.2.7:25"),
    ],
)
def test_the_child_whose_status_the_job_passed_on(before: str, status: int, peer: str) -> None:
    """A mail about the failure that cannot be sent is no reason for it, where another's status is the job's."""
    assert judged(before, child(10, 2, 25, 1), f"8 4.0 +++ exited with {status} +++\n").verdict.peer == peer


def fetch(at: int, path: str, result: str) -> str:
    """One request on a connection of its own, and what came of it."""
    ask = f"GET {path} HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"
    return (
        f"9 {at}.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n"
        + connects("0 <0.001>", time=f"{at}.1")
        + f'9 {at}.2 sendto(3, "{ask}", {len(ask) - 6}, 0, NULL, 0) = {len(ask) - 6} <0.0001>\n'
        + f"9 {at}.3 recvfrom(3, {result} <0.01>\n9 {at}.4 close(3) = 0 <0.0001>\n"
    )


RESET = "0x7f, 99, 0, NULL, NULL) = -1 ECONNRESET (Connection reset by peer)"
WELL = '"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok", 99, 0, NULL, NULL) = 40'
FULL = (
    '9 2.5 openat(AT_FDCWD, "/data/rows", O_WRONLY) = 5 <0.0001>\n'
    '9 2.6 write(5, "x", 1) = -1 ENOSPC (No space left on device) <0.0001>\n'
)


@pytest.mark.parametrize(
    ("second", "after", "status", "cause"),
    [
        ("/b", "", 1, "reset-by-peer"),  # another row worked: not this one
        ("/a", "", 1, "inconclusive"),  # the same was tried again, and worked: it failed of something else
        ("/b", FULL, 1, "not-network"),
        ("/b", "", 0, "recovered-error"),
    ],
)
def test_what_worked_later_may_be_other_work(second: str, after: str, status: int, cause: str) -> None:
    """A loop over rows that goes on after one failed, and ends with 1 for its sake."""
    verdict = judged(
        fetch(1, "/a", RESET), fetch(2, second, WELL), after, f"9 3.0 +++ exited with {status} +++\n"
    ).verdict
    assert verdict.cause == cause


def test_failures_at_the_same_time_cost_their_time_once() -> None:
    """Eight threads that wait side by side for 4 s lose 4 s, not 32."""
    waits = "".join(
        f"{20 + n} 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = {10 + n} <0.0001>\n"
        + connects("-1 ETIMEDOUT (Connection timed out) <4.0>", time="1.1", fd=10 + n).replace("9 ", f"{20 + n} ", 1)
        for n in range(8)
    )
    threads = "".join(
        f"9 0.{n} clone(child_stack=0x7f, flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = {20 + n} <0.0001>\n"
        for n in range(8)
    )
    later = "".join(
        line.replace("9 1.", "9 6.") + "\n" for line in (TCP + connects("0 <0.001>", time="1.1")).splitlines()
    )
    analysis = judged(threads, waits, later, "9 7.0 +++ exited with 0 +++\n")
    recovered = next(f for f in analysis.findings if f.cause == "recovered-error")
    assert recovered.count == 8
    assert recovered.duration_ns == 4_000_000_000


@pytest.mark.parametrize(
    ("pause", "error", "cause"),
    [
        (60, "EPIPE (Broken pipe)", "stale-connection"),
        (60, "ECONNRESET (Connection reset by peer)", "stale-connection"),
        (0, "EPIPE (Broken pipe)", "broken-pipe"),  # no pause: it was still at work
    ],
)
def test_a_send_that_fails_after_an_answer_and_a_pause_met_a_closed_connection(
    pause: int, error: str, cause: str
) -> None:
    """It begins no turn: the last one was answered."""
    send = (
        f'9 {2 + pause}.1 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = -1 {error} <0.0001>\n'
    )
    text = full_trace(
        REQUEST + replies() + send + f"9 {3 + pause}.0 exit_group(1) = ?\n9 {3 + pause}.1 +++ exited with 1 +++\n"
    )
    assert analyze([Input("log", text.encode().splitlines(keepends=True))]).verdict.cause == cause
