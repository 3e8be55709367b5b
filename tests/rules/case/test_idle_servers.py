"""Servers between two clients that strace was attached to, and a job that waits to be called back."""

from __future__ import annotations

import json

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from tests.rules.verdict.short_logs import STREAM, judged

NOT_HUNG = ("healthy", "inconclusive")


@pytest.mark.parametrize("call", ["accept4(3, ", "accept4(3<TCP:[77]>, ", "accept(5, "])
def test_an_accept_is_all_that_the_log_shows(call: str) -> None:
    """strace -o FILE -p PID says nowhere that it attached: the listener, which nothing opened, does."""
    for clock in ("", "1700000001.000000 "):
        verdict = analyze([Input("log", [f"9 {clock}{call} <detached ...>\n".encode()])]).verdict
        assert verdict.outcome in NOT_HUNG
        assert "No socket" not in verdict.headline


def test_threads_of_a_server_that_looks_for_work_rest_with_it() -> None:
    """Threads that were met look like processes: pools and timers beside the one that accepts."""
    verdict = judged(
        "11 1.0 restart_syscall(<... resuming interrupted read ...> <unfinished ...>",
        "10 1.0001 futex(0x7f00, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, FUTEX_BITSET_MATCH_ANY <unfinished ...>",
        "9 1.0002 accept(4<TCP:[77]>,  <unfinished ...>",
        "12 1.1 futex(0x7f10, FUTEX_WAKE_PRIVATE, 1) = 0 <0.0001>",
        "12 5.0 futex(0x7f10, FUTEX_WAIT_PRIVATE, 0, NULL <detached ...>",
    ).verdict
    assert verdict.outcome in NOT_HUNG


def test_without_one_that_accepts_a_lock_may_be_what_hangs() -> None:
    """The same futex(2), and nobody who waits for clients."""
    verdict = judged(
        "10 1.0001 futex(0x7f00, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, FUTEX_BITSET_MATCH_ANY <unfinished ...>",
        "12 1.1 futex(0x7f10, FUTEX_WAKE_PRIVATE, 1) = 0 <0.0001>",
        "12 5.0 futex(0x7f10, FUTEX_WAIT_PRIVATE, 0, NULL <detached ...>",
    ).verdict
    assert (verdict.outcome, verdict.cause) == ("hung", "not-network")


def test_a_jobs_own_listener_may_wait_for_a_call_back() -> None:
    """It opened it itself, and nobody came: a hang, on a socket."""
    verdict = judged(
        '9 1.0 execve("/usr/bin/job", ["job"], 0x7ffc /* 9 vars */) = 0 <0.001>', f"9 1.1 socket({STREAM}) = 3 <0.0001>",
        '9 1.2 bind(3, {sa_family=AF_INET, sin_port=htons(9000), sin_addr=inet_addr("127.0.0.1")}, 16) = 0 <0.0001>',
        "9 1.3 listen(3, 1) = 0 <0.0001>",
        "9 1.4 accept(3, NULL, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is set) <60.0>",
        "9 61.5 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---", "9 61.6 +++ killed by SIGTERM +++",
    ).verdict  # fmt: skip
    assert (verdict.outcome, verdict.cause) == ("hung", "not-network")
    assert "waited for a client to connect (127.0.0.1:9000)" in verdict.headline
    assert "No socket" not in verdict.headline


def test_the_call_that_was_met_is_named() -> None:
    """Its name and number are in the log, whatever they stand for."""
    select = "9 1.0 pselect6(4, [3], NULL, NULL, NULL, NULL <detached ...>"
    headline = judged(
        "8 1.0 restart_syscall(<... resuming interrupted read ...> <detached ...>", select
    ).verdict.headline
    assert "pselect6 on descriptor 3" in headline


def test_who_was_seen_at_work_was_not_met_in_a_call() -> None:
    """strace ran the program and was stopped: nothing had attached. Its notice tells the number of the only process."""
    lines = [
        '1700000001.000000 execve("/usr/bin/job", ["job"], 0x7ffc /* 9 vars */) = 0 <0.001>',
        "1700000001.100000 poll([{fd=5, events=POLLIN}], 1, 60000strace: Process 77 detached",
        " <detached ...>",
    ]
    analysis = analyze([Input("log", [f"{line}\n".encode() for line in lines])])
    assert [process.pid for process in analysis.evidence.processes.values()] == [77]
    assert "attached" not in analysis.verdict.headline


EVENTFD = "12 1.200000 ppoll([{fd=3<anon_inode:[eventfd]>, events=POLLIN}], 1, NULL, NULL, 8 <unfinished ...>"
WORKER = "11 1.100000 futex(0x7f00, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, FUTEX_BITSET_MATCH_ANY <unfinished ...>"


def of_a_process(*, listens: bool) -> Analysis:
    """Its threads 9, 11 and 12 were met in a poll(2) of a socket, in futex(2) and in a poll of an eventfd."""
    thread = {"pid": 9, "state": "S", "since": 1_699_999_910, "limit": None}
    calls = [(9, "ppoll", [[5, "r"]]), (11, "futex", []), (12, "ppoll", [])]
    threads = [{**thread, "tid": tid, "call": call, "fds": fds} for tid, call, fds in calls]
    socket = {"pid": 9, "fd": 5, "family": "inet", "type": "stream", "protocol": "tcp", "local": "127.0.0.1:8305",
              "state": "listen"}  # fmt: skip
    processes = [{"pid": 9, "ppid": 1, "argv": ["server"]}]
    look = {
        "pid": 9,
        "time": 1_700_000_000,
        "processes": processes,
        "threads": threads,
        "sockets": [socket] if listens else [],
    }
    waits = "9 1.000000 ppoll([{fd=5<TCP:[127.0.0.1:8305]>, events=POLLIN}], 1, NULL, NULL, 8 <unfinished ...>"
    facts = [{"attached": 9, "calls": ["read"]}, {"snapshot": look}]
    timed = [each.replace(" 1.", " 1700000000.", 1) for each in ([waits] if listens else []) + [WORKER, EVENTFD]]
    lines = [
        *(f"# systrace: {json.dumps(each)}" for each in facts),
        *timed,
        '# systrace: {"end": 1700000004, "ended": false}',
    ]
    return analyze([Input("log", [line.encode() + b"\n" for line in lines])])


def test_a_helper_that_waits_to_be_woken_rests_with_its_server() -> None:
    """A thread polls an eventfd, by which others wake it, while the main one waits for clients."""
    assert of_a_process(listens=True).verdict.outcome in NOT_HUNG
    found = of_a_process(listens=False).verdict
    assert (found.outcome, found.cause) == ("hung", "not-network")
