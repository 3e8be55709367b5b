"""A look is evidence: alone it is judged from its lines, and before a trace its word is not forgotten."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from systrace.look.lines import lines_of
from systrace.look.nouns import Call, FileLock, Look, ProcessState, SocketState, Thread
from systrace.model import Analysis, Input, Keepalive
from systrace.pipeline import analyze
from tests.rules.look.test_sockets import IDLE, INFO, RECV

NOW = 1_700_000_500_000_000_000
DEAD = replace(
    IDLE,
    state="established",
    timer="on",
    timer_ms=30_000,
    unsent=100,
    keepalive=Keepalive(False),
    tcp=replace(INFO, backoff=6, retransmits=6, unacked=1),
)


def look(state: SocketState, **more: object) -> Look:
    """A thread that has been in recvfrom on it for 412 s."""
    thread = Thread(42, 42, "job", "S", "wait_woken", RECV, 412 * 10**9)
    process = ProcessState(42, 1, "job", ("job",), "S", 0, 1, "x86_64", (thread,))
    made = Look(42, NOW, 0, "6.18.1", (process,), (state,), (), {}, {}, ())
    return replace(made, **more)  # type: ignore[arg-type]


def judged(found: Look, *calls: str) -> Analysis:
    """By its lines, and by the calls that a tracer saw afterwards."""
    lines = lines_of(found)
    if calls:
        lines = [b"# systrace: " + json.dumps({"attached": 42, "start": NOW / 1e9}).encode(), *lines]
        lines += [f"42 {NOW / 1e9 + 0.1 + number:.6f} {call}".encode() for number, call in enumerate(calls)]
    return analyze([Input("t", lines)])


def test_a_dead_path_is_told_from_the_lines_of_a_look_alone() -> None:
    """No victim, no kernel: text."""
    verdict = judged(look(DEAD)).verdict
    assert (verdict.outcome, verdict.cause) == ("hung", "peer-vanished")
    assert "retransmitting" in verdict.headline


def test_the_final_report_is_not_weaker_than_the_look() -> None:
    """The calls show a wait and nothing else; the kernel had said that the path is dead."""
    fd = RECV.fd
    traced = judged(look(DEAD), f"recvfrom({fd}, <detached ...>")
    first = traced.findings[0]
    assert (first.cause, first.variant, first.confidence) == ("peer-vanished", "retransmitting", "likely")
    assert traced.verdict.outcome in ("hung", "failed")
    assert first.socket is not None
    assert any("backoff 6" in line.text for line in first.lines)


def test_what_went_on_refutes_the_look() -> None:
    """The answer came while it was traced: nothing hangs."""
    fd = RECV.fd
    call = f'recvfrom({fd}, "answer", 4096, 0, NULL, NULL) = 6 <0.1>'
    traced = judged(look(DEAD), call, "exit_group(0) = ?", "+++ exited with 0 +++")
    assert traced.verdict.outcome == "healthy"
    assert not [finding for finding in traced.findings if finding.variant == "retransmitting"]


@pytest.mark.parametrize("version", [1, None])
def test_older_lines_are_no_look_and_adopted_all_the_same(version: int | None) -> None:
    """Recordings of earlier versions have less in their lines: the rules on calls judge what is there."""
    lines = []
    for line in lines_of(look(DEAD)):
        value = json.loads(line.removeprefix(b"# systrace: "))
        value["snapshot"]["version"] = version
        lines.append(b"# systrace: " + json.dumps(value).encode())
    assert analyze([Input("t", lines)]).evidence.looks == ()


def test_who_holds_a_lock_is_said_in_the_end_too() -> None:
    call = replace(RECV, name="flock", number=73, fds=(), fd=7)
    thread = Thread(42, 42, "job", "S", "locks_lock_inode_wait", call, 412 * 10**9)
    process = ProcessState(42, 1, "job", ("job",), "S", 0, 1, "x86_64", (thread,))
    found = look(DEAD, processes=(process,), sockets=(), locks=(FileLock(42, 77, "FLOCK", 5),))
    for traced in (judged(found), judged(found, "flock(7, LOCK_EX <detached ...>")):
        first = traced.findings[0]
        assert (first.cause, first.variant) == ("not-network", "lock")
        assert "process 77" in first.summary


def _blocked(call: Call, wchan: str, seconds: int, **more: object) -> Look:
    """A process whose only thread is in that call."""
    thread = Thread(42, 42, "job", "S", wchan, call, seconds * 10**9)
    process = ProcessState(42, 1, "job", ("job",), "S", 0, 1, "x86_64", (thread,))
    return look(DEAD, **{"processes": (process,), "sockets": (), **more})


def test_a_short_wait_that_outlasts_the_trace_keeps_its_proof() -> None:
    """Four seconds are a warning; with those of the trace the same lock is a hang, and its holder is still known."""
    call = replace(RECV, name="flock", number=73, fds=(), fd=7)
    found = _blocked(call, "locks_lock_inode_wait", 4, locks=(FileLock(42, 77, "FLOCK", 5),))
    assert judged(found).verdict.outcome == "degraded"
    traced = judged(found, "flock(7, LOCK_EX <detached ...>")
    assert (traced.verdict.outcome, traced.findings[0].variant) == ("hung", "lock")
    assert "process 77" in traced.findings[0].summary
    over = judged(found, "flock(7, LOCK_EX) = 0 <0.1>", "exit_group(0) = ?", "+++ exited with 0 +++")
    assert over.verdict.outcome == "healthy"


def test_a_fifo_that_nobody_else_opens_is_not_healthy() -> None:
    call = Call(257, "openat", (0,) * 6, detail="/run/fifo")
    found = _blocked(call, "wait_for_partner", 4)
    traced = judged(found, 'openat(AT_FDCWD, "/run/fifo", O_RDONLY <detached ...>')
    assert (traced.verdict.outcome, traced.findings[0].variant) == ("hung", "pipe")
    assert "nobody has opened its other end" in traced.findings[0].summary


def test_a_semaphore_is_named_to_the_end() -> None:
    call = Call(65, "semop", (55, 0, 1, 0, 0, 0), detail="semaphore 0 of set 55")
    found = _blocked(call, "do_semtimedop", 4)
    for traced in (judged(found), judged(found, "semop(55, [{0, -1, 0}], 1 <detached ...>")):
        assert (traced.findings[0].cause, traced.findings[0].variant) == ("not-network", "message")
        assert "semaphore 0 of set 55 is not free" in traced.findings[0].summary
        assert traced.findings[0].next_steps[0].command == "ipcs -s -i 55"


def test_a_sleep_until_a_moment_is_no_duration() -> None:
    """The moment is one of a clock that counts since boot; how much is left the look knows."""
    call = Call(230, "clock_nanosleep", (1, 1, 0, 0, 0, 0), limit_ns=600 * 10**9, limit_source="clock_nanosleep")
    found = _blocked(call, "hrtimer_nanosleep", 4)
    pending = "clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, {tv_sec=5306, tv_nsec=0}, NULL <detached ...>"
    verdict = judged(found, pending).verdict
    assert verdict.outcome == "healthy"
    assert "at most 596 s more" in verdict.headline
    alone = judged(replace(found, processes=()), pending)
    assert "more" not in alone.verdict.headline  # of it alone nothing is known
