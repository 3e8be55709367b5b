"""Failures that are nobody's: hidden from the log, handled by the job, or no failure at all; each beside one that is."""

from __future__ import annotations

import json
import re

import pytest

from tests.rules.verdict.short_logs import DGRAM, REFUSED, STANDS, STREAM, TO, judged


def refused(tid: int, at: int, host: int = 7, code: int = 1) -> list[str]:
    """A child that is refused and fails of it."""
    return [
        f"8 {at}.0 clone(child_stack=NULL, flags=SIGCHLD) = {tid} <0.0001>",
        f"{tid} {at}.1 socket({STREAM}) = 3 <0.0001>",
        f"{tid} {at}.2 connect(3, {TO % (80, host)}) = {REFUSED}",
        f"{tid} {at}.3 +++ exited with {code} +++",
        f"8 {at}.4 wait4(-1, [{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}], 0, NULL) = {tid} <0.0001>",
    ]


def test_checks_that_the_job_lets_fail() -> None:
    """`for h in ...; do nc -z $h || echo down; done`: nothing worked later, and the job ended with 0 all the same."""
    done = ['8 4.0 write(1, "2 down\\n", 7) = 7 <0.0001>', "8 4.1 +++ exited with 0 +++"]
    analysis = judged(*refused(9, 1), *refused(10, 2, host=9), *done)
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("degraded", "recovered-error")
    assert analysis.verdict.peer in ("192.0.2.7:80", "192.0.2.9:80")
    assert judged(*refused(9, 1), "8 4.1 +++ exited with 1 +++").verdict.cause == "connect-refused"


@pytest.mark.parametrize("later", ["another child", "another child after a timeout", "the same before", "nothing"])
def test_a_loop_that_breaks_off(later: str) -> None:
    """The log ends within a job that tries again, or did so before: how it ended nobody knows."""
    again = [*refused(9, 1)]
    if later == "another child after a timeout":
        again[3] = "9 1.3 +++ killed by SIGTERM +++"
        again[4] = "8 1.4 wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGTERM}], 0, NULL) = 9 <0.0001>"
    if later.startswith("another child"):
        again += ["8 2.0 clone(child_stack=NULL, flags=SIGCHLD) = 10 <0.0001>"]
        torn = '10 2.1 execve("/bin/sl'
    elif later == "the same before":
        again += refused(10, 2)[:4]
        torn = "8 2.4 wait4(-1, [{WIFEX"
    else:
        again, torn = again[:4], "8 1.4 wait4(-1, [{WIFEX"
    cause = judged(*again, torn=torn).verdict.cause
    assert cause == ("connect-refused" if later == "nothing" else "inconclusive")


@pytest.mark.parametrize(("code", "cause"), [(0, "healthy"), (1, "inconclusive")])
def test_a_datagram_socket_that_listens_is_owed_nothing(code: int, cause: str) -> None:
    """Nobody was asked: silence is what a listener hears most of the time."""
    tick = "poll([{fd=3, events=POLLIN}], 1, 700) = 0 (Timeout) <0.7>"
    verdict = judged(
        f"9 1.0 socket({DGRAM}) = 3 <0.0001>",
        '9 1.1 bind(3, {sa_family=AF_INET, sin_port=htons(514), sin_addr=inet_addr("127.0.0.1")}, 16) = 0 <0.0001>',
        f"9 1.2 {tick}", f"9 2.0 {tick}", f"9 2.8 +++ exited with {code} +++",
    ).verdict  # fmt: skip
    assert verdict.cause == cause


@pytest.mark.parametrize(("code", "cause"), [(0, "healthy"), (1, "connect-timeout")])
def test_a_connect_whose_end_the_options_hide(code: int, cause: str) -> None:
    """-e trace=network hides epoll_wait and write: that no outcome is seen proves nothing of a job that ended well."""
    verdict = judged(
        f"9 1.0 socket({STREAM}) = 3 <0.0001>",
        f"9 1.1 connect(3, {TO % (80, 7)}) = -1 EINPROGRESS (Operation now in progress) <0.0001>",
        f"9 4.2 +++ exited with {code} +++",
    ).verdict
    assert verdict.cause == cause


def test_children_of_a_network_log_are_of_one_job() -> None:
    """One SIGCHLD stands for two children that ended together; the next try worked."""
    chld = "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=%d, si_uid=0, si_status=%d, si_utime=0, si_stime=0} ---"
    verdict = judged(
        f"9 1.0 socket({STREAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (80, 7)}) = {REFUSED}",
        "10 1.2 +++ exited with 1 +++", "9 1.3 +++ exited with 1 +++", f"8 1.4 {chld % (10, 1)}",
        f"11 2.0 socket({STREAM}) = 3 <0.0001>", f"11 2.1 connect(3, {TO % (80, 7)}) = 0 <0.001>",
        "12 2.2 +++ exited with 0 +++", "11 2.3 +++ exited with 0 +++", f"8 2.4 {chld % (12, 0)}",
        "8 2.5 +++ exited with 0 +++",
    ).verdict  # fmt: skip
    assert (verdict.outcome, verdict.cause) == ("healthy", "recovered-error")


_QUESTION = r'"\22\64\1\0\0\1\0\0\0\0\0\0\3own\0\0\1\0\1"'


def test_a_loop_that_untraced_threads_share() -> None:
    """The same with a connection: edge-triggered, any thread may be the one that reads; level-triggered, this one waits."""
    thread = "clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 11 <0.0001>"
    log = [
        f"1.0 {thread}", f"1.1 socket({STREAM}) = 3 <0.0001>", f"1.2 connect(3, {TO % (80, 7)}) = 0 <0.0001>",
        "1.3 epoll_create1(EPOLL_CLOEXEC) = 4 <0.0001>",
        "1.4 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN|%s, data={u32=3, u64=3}}) = 0 <0.0001>",
        '1.5 write(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27) = 27 <0.0001>',
        "1.6 epoll_wait(4, [], 128, 2000) = 0 <2.0>",
        "3.7 close(3) = 0 <0.0001>", "3.8 +++ exited with 1 +++",
    ]  # fmt: skip
    assert judged(*(line.replace("%s", "EPOLLRDHUP") for line in log)).verdict.cause == "read-timeout"
    assert judged(*(line.replace("%s", "EPOLLET") for line in log)).verdict.cause == "inconclusive"


@pytest.mark.parametrize("threads", [True, False])
def test_what_untraced_threads_may_have_read(threads: bool) -> None:
    """Without -f, an answer that another thread of the event loop received is not in the log."""
    thread = "clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 11 <0.0001>"
    log = [
        f"1.0 {thread}" if threads else "1.0 getpid() = 9 <0.0001>",
        f"1.1 socket({DGRAM}) = 3 <0.0001>", f"1.2 connect(3, {TO % (53, 7)}) = 0 <0.0001>",
        "1.3 epoll_create1(EPOLL_CLOEXEC) = 4 <0.0001>",
        "1.4 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data={u32=3, u64=3}}) = 0 <0.0001>",
        f"1.5 write(3, {_QUESTION}, 21) = 21 <0.0001>",
        "1.6 epoll_pwait(4, 0x7ffd, 128, -1, NULL, 0) = -1 EINTR (Interrupted system call) <4.99>",
        "6.6 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---", "6.7 +++ killed by SIGTERM +++",
    ]  # fmt: skip
    assert judged(*log).verdict.cause == ("inconclusive" if threads else "dns-timeout")


@pytest.mark.parametrize(("at", "cause"), [("1.3", "inconclusive"), ("4.3", "dns-timeout")])
def test_a_question_cut_short_by_a_signal(at: str, cause: str) -> None:
    """Nobody is late within milliseconds."""
    verdict = judged(
        f"9 1.0 socket({DGRAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (53, 7)}) = 0 <0.0001>",
        f"9 1.2 sendto(3, {_QUESTION}, 21, MSG_NOSIGNAL, NULL, 0) = 21 <0.0001>",
        f"9 {at} --- SIGUSR1 {{si_signo=SIGUSR1, si_code=SI_USER, si_pid=7, si_uid=0}} ---",
        f"9 {at} +++ killed by SIGUSR1 +++",
    ).verdict  # fmt: skip
    assert verdict.cause == cause


@pytest.mark.parametrize("own", [True, False])
def test_a_port_that_the_process_holds_itself(own: bool) -> None:
    """An FTP client tries its control connection's port for the data, and takes another."""
    mine = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("192.0.2.10")}'
    verdict = judged(
        f"9 1.0 socket({STREAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (21, 7)}) = 0 <0.001>",
        f"9 1.2 getsockname(3, {mine % (37396 if own else 37397)}, [16]) = 0 <0.0001>",
        f"9 1.3 socket({STREAM}) = 4 <0.0001>",
        f"9 1.4 bind(4, {mine % 37396}, 16) = -1 EADDRINUSE (Address already in use) <0.0001>",
        "9 1.5 +++ exited with 1 +++",
    ).verdict  # fmt: skip
    assert verdict.cause == ("inconclusive" if own else "bind-conflict")


@pytest.mark.parametrize("hides", [True, False])
def test_the_data_port_that_a_cut_reply_names(hides: bool) -> None:
    """-s 32 hides the port of a 227; a connect to the same host is to it all the same."""
    reply = '"227 Entering Passive Mode (192,0"...' if hides else '"227 Entering Passive Mode (192,0,2,7,195,80)\\r\\n"'
    verdict = judged(
        f"9 1.0 socket({STREAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (21, 7)}) = 0 <0.001>",
        '9 1.2 read(3, "220 files\\r\\n", 1024) = 11 <0.0001>', '9 1.3 write(3, "PASV\\r\\n", 6) = 6 <0.0001>',
        f"9 1.4 read(3, {reply}, 1024) = 46 <0.0001>", '9 1.5 write(3, "NLST\\r\\n", 6) = 6 <0.0001>',
        f"9 1.6 socket({STREAM}) = 4 <0.0001>",
        f"9 1.7 connect(4, {TO % (50000, 7)}) = -1 ETIMEDOUT (Connection timed out) <3.0>", "9 4.8 close(4) = 0 <0.0001>",
        "9 4.9 select(8, [3], NULL, NULL, {tv_sec=3, tv_usec=0}) = 0 (Timeout) <3.0>", "9 8.0 +++ exited with 1 +++",
    ).verdict  # fmt: skip
    assert (verdict.cause, verdict.peer) == ("data-channel-blocked", "192.0.2.7:50000")


@pytest.mark.parametrize("answered", [True, False])
def test_a_wait_that_is_armed_once_and_taken_back(answered: bool) -> None:
    """Erlang, and others with EPOLLONESHOT: the thread that waits did so before the descriptor was armed."""
    one = "{events=%sEPOLLONESHOT, data={u32=3, u64=3}}"
    said = ['9 3.0 recvfrom(3, "17\\n", 64, 0, NULL, NULL) = 3 <0.0001>'] if answered else []
    verdict = judged(
        "9 1.0 clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 10 <0.0001>",
        f"9 1.1 socket({STREAM}) = 3 <0.0001>", f"9 1.2 connect(3, {TO % (7001, 7)}) = 0 <0.001>",
        "9 1.3 epoll_create1(EPOLL_CLOEXEC) = 4 <0.0001>",
        "9 1.35 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLONESHOT, data={u32=3, u64=3}}) = 0 <0.0001>",
        "10 1.4 epoll_wait(4,  <unfinished ...>", '9 1.5 sendto(3, "Q\\n", 2, 0, NULL, 0) = 2 <0.0001>',
        f"9 1.6 epoll_ctl(4, EPOLL_CTL_MOD, 3, {one % 'EPOLLIN|'}) = 0 <0.0001>", *said,
        f"9 3.6 epoll_ctl(4, EPOLL_CTL_MOD, 3, {one % ''}) = 0 <0.0001>", "9 3.7 close(3) = 0 <0.0001>",
        "9 3.8 exit_group(3) = ?", "10 3.9 <... epoll_wait resumed> <unfinished ...>) = ?", "10 3.9 +++ exited with 3 +++",
        "9 3.9 +++ exited with 3 +++",
    ).verdict  # fmt: skip
    assert verdict.cause == ("inconclusive" if answered else "read-timeout")


@pytest.mark.parametrize("clock", [True, False])
@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("recvfrom(3, ", "hung-read"),
        ('recvfrom(3, "HTTP/1.1 200 OK\\r\\nServer', "inconclusive"),
        ('recvfrom(3, "HTTP/1.1 200 OK\\r\\n\\r\\n", 4096, 0, NU', "inconclusive"),
        ('sendto(3, "GET /second HTT', "inconclusive"),
        ("recvfrom(3<TCP:[192.0.2.", "inconclusive"),
    ],
)
def test_a_log_cut_within_a_call(clock: bool, end: str, cause: str) -> None:
    """What strace was writing is no wait; only the end of the log at a call's entry may be one."""
    lines = [
        *STANDS,
        *([] if "sendto" not in end else ['9 1.3 recvfrom(3, "HTTP/1.1 200 OK\\r\\n", 9, 0, 0, 0) = 9 <0.1>']),
    ]
    torn = f"9 1.5 {end}"
    if not clock:
        lines, torn = [re.sub(r"^9 \S+|<[\d.]+>$", "9 ", line) for line in lines], torn.replace(" 1.5", "")
    assert judged(*lines, torn=torn).verdict.cause == cause


def test_other_threads_of_a_torn_process_may_wait() -> None:
    """The one whose call was being written was at work."""
    thread = "9 0.9 clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 10 <0.0001>"
    verdict = judged(
        thread, "10 1.0 futex(0x7f00, FUTEX_WAIT, 1, NULL <unfinished ...>", torn='9 4.0 write(1, "to'
    ).verdict
    assert verdict.cause == "inconclusive"


@pytest.mark.parametrize(
    ("ready", "cause"), [("1 ([{fd=3, revents=POLLIN}])", "inconclusive"), ("0 (Timeout)", "read-timeout")]
)
def test_what_was_ready_is_not_waited_for(ready: str, cause: str) -> None:
    """The program died of something else before it looked at what had come."""
    verdict = judged(*STANDS, f"9 1.3 poll([{{fd=3, events=POLLIN}}], 1, 2000) = {ready} <2.0>",
                     "9 3.4 close(3) = 0 <0.0001>", "9 3.5 +++ exited with 1 +++").verdict  # fmt: skip
    assert verdict.cause == cause


def test_whoever_says_goodbye_waits_for_no_answer() -> None:
    """A TLS alert ends the connection; its sender failed of what it tells."""
    log = [f"9 socket({STREAM}) = 3", f"9 connect(3, {TO % (443, 7)}) = 0", "9 sendto(3, %s, MSG_NOSIGNAL, NULL, 0) = 7",
           "9 +++ exited with 60 +++"]  # fmt: skip
    receives = '9 recvfrom(4, "x", 9, 0, NULL, NULL) = 1'  # so they are recorded
    for said, cause in ((r'"\25\3\3\0\2\2-", 7', "tls-error"), ('"LIST 7\\n", 7', "read-timeout")):
        assert judged(receives, *(line.replace("%s", said) for line in log)).verdict.cause == cause
        assert (
            cause == "tls-error" or judged(*(line.replace("%s", said) for line in log)).verdict.cause == "inconclusive"
        )


def test_a_wait_that_strace_met_half_way_may_be_for_a_socket() -> None:
    """restart_syscall(2) tells nothing of what it restarts."""
    term = "--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---"
    verdict = judged(
        "9 1.0 restart_syscall(<... resuming interrupted read ...> <unfinished ...>", "8 9.0 +++ exited with 0 +++",
        f"9 9.1 {term}", "9 9.2 +++ killed by SIGTERM +++",
    ).verdict  # fmt: skip
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("hung", "blocked-unknown", None)


def test_a_process_that_goes_on_elsewhere_may_cope() -> None:
    """The log breaks off while the program already talks to another mirror."""
    refused = [f"9 0.1 socket({STREAM}) = 4 <0.0001>", f"9 0.2 connect(4, {TO % (80, 9)}) = {REFUSED}"]
    torn = '9 1.5 recvfrom(3, "HTTP/1.1 200 O'
    assert judged(*refused, *STANDS, torn=torn).verdict.cause in ("inconclusive", "fallback-ok")
    assert judged(*refused, torn='9 1.5 write(2, "refused').verdict.cause == "connect-refused"


_PING = [
    f"9 2.0 socket({STREAM}) = 3 <0.0001>", f"9 2.1 connect(3, {TO % (80, 7)}) = 0 <0.001>",
    '9 2.2 sendto(3, "PING", 4, 0, NULL, 0) = 4 <0.0001>', '9 2.3 recvfrom(3, "PONG", 9, 0, NULL, NULL) = 4 <0.1>',
    "9 2.5 close(3) = 0 <0.0001>",
]  # fmt: skip


@pytest.mark.parametrize("left", ["detached", "unfinished"])
def test_a_daemon_that_rests_as_the_tracer_leaves_is_well(left: str) -> None:
    """Attached between two rounds: that it sleeps at the end is its way, and no riddle."""
    attached = '# systrace: {"attached": 9, "calls": ["read"]}'
    asleep = "9 1.0 restart_syscall(<... resuming interrupted nanosleep ...>) = 0 <0.9>"
    rests = f"9 3.0 clock_nanosleep(CLOCK_REALTIME, 0, {{tv_sec=5, tv_nsec=0}},  <{left} ...>"
    end = '# systrace: {"end": 1700000006.0}'
    assert judged(attached, asleep, *_PING, rests, end).verdict.outcome == "healthy"


def test_who_stood_still_all_the_while_is_told_by_the_snapshot() -> None:
    thread = {"pid": 9, "tid": 9, "state": "S", "since": 1_700_000_000.5, "call": "clock_nanosleep", "fds": [],
              "limit": 99.0}  # fmt: skip
    snapshot = {"pid": 9, "time": 1_700_000_001.0, "processes": [{"pid": 9, "ppid": 1, "argv": ["sleep", "99"]}],
                "threads": [thread]}  # fmt: skip
    lines = ['# systrace: {"attached": 9, "calls": ["read"]}', "# systrace: " + json.dumps({"snapshot": snapshot}),
             "9 1.1 restart_syscall(<... resuming interrupted read ...> <detached ...>",
             '# systrace: {"end": 1700000003.0}']  # fmt: skip
    verdict = judged(*lines).verdict
    assert (verdict.outcome, verdict.cause) == ("healthy", "not-network")
    assert verdict.headline == "sleep[9] sleeps on purpose (clock_nanosleep): 2.50 s so far, at most 96.5 s more."
    unseen = judged(lines[0], *lines[2:]).verdict
    assert unseen.outcome == "inconclusive"
    assert "which one the log does not tell" in unseen.headline


@pytest.mark.parametrize(("later", "named"), [([], True), (['7 1.5 sendto(4, "x", 1, 0, NULL, 0) = 1 <0.001>'], False)])
def test_a_connect_under_way_at_the_end_is_not_well(later: list[str], named: bool) -> None:
    """Unless another connection is at work since: of two addresses that are raced the slower one may stay open."""
    analysis = judged(
        f"7 1.0 connect(4, {TO % (80, 8)}) = 0 <0.001>",
        f"7 1.1 socket({STREAM}) = 5 <0.001>",
        "7 1.2 epoll_ctl(9, EPOLL_CTL_ADD, 5, {events=EPOLLIN, data={u32=5, u64=5}}) = 0 <0.001>",
        f"7 1.3 connect(5, {TO % (80, 7)}) = -1 EINPROGRESS (Operation now in progress) <0.001>",
        *later,
        "7 1.9 getpid() = 7 <0.001>",
    )
    assert analysis.verdict.outcome == "inconclusive"  # the end of the job is not there either
    assert ("192.0.2.7:80" in analysis.verdict.headline) == named
