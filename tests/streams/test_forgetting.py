"""Processes that ended are remembered for a while; what a verdict may need stays."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.streams import forgetting
from tests.streams.conftest import Follow

FORK = "clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f) = %d <0.0001>"
REAP = "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == %d}], 0, NULL) = %d <0.0001>"


def child(pid: int, at: float, *calls: str, status: int = 0) -> list[str]:
    """A child of 9 that makes these calls, exits and is waited for."""
    mine = [*calls, f"exit_group({status}) = ?", f"+++ exited with {status} +++"]
    return [
        f"9 {at} {FORK % pid}",
        *[f"{pid} {at + 0.001} {call}" for call in mine],
        f"9 {at + 0.002} {REAP % (status, pid)}",
    ]


def told(lines: list[str]) -> Analysis:
    """What is said of a log whose lines begin with tid and seconds."""
    parted = [line.split(" ", 2) for line in lines]
    text = [f"{tid} {1_700_000_000 + float(at):.6f} {rest}\n".encode() for tid, at, rest in parted]
    analysis = analyze([Input("log", text)])
    assert not analysis.evidence.health.unparsed
    return analysis


def loop(many: int) -> list[str]:
    """A shell loop of commands that end well or with status 1."""
    return [line for n in range(many) for line in child(100 + n, 1 + n * 0.01, status=n % 2)]


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("systrace.streams.forgetting._MOST", 40)


def test_a_loop_of_commands_needs_no_more_memory_the_longer_it_runs(follow: Follow) -> None:
    tracker = follow("\n".join(loop(500)))
    assert len(tracker.tasks.processes) <= 42
    assert len(tracker.tasks.by_tid) <= 42
    assert len(tracker.tasks.processes[9].child_statuses) <= 42
    assert tracker.forgotten_processes == 501 - len(tracker.tasks.processes)
    assert not tracker.owners


def test_who_failed_on_a_socket_is_remembered() -> None:
    """The child was refused first; five hundred others came and went before the job failed."""
    refused = child(
        99, 0.5, "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>",
        'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16)'
        " = -1 ECONNREFUSED (Connection refused) <0.0001>", status=7,
    )  # fmt: skip
    lines = [*refused, *loop(500), "9 9.0 exit_group(7) = ?", "9 9.1 +++ exited with 7 +++"]
    analysis = told(lines)
    assert 99 in analysis.evidence.processes
    assert analysis.evidence.owners[99] == 99
    assert (analysis.verdict.cause, analysis.verdict.peer) == ("connect-refused", "192.0.2.7:80")
    assert any("no longer listed" in limit for limit in analysis.evidence.health.limits)


def test_connects_that_failed_alike_are_counted_and_the_first_and_last_are_kept() -> None:
    """Another failure in their midst stays."""
    tries = []
    for n in range(500):
        errno, host = ("EHOSTUNREACH (No route to host)", 8) if n == 250 else ("ECONNREFUSED (Connection refused)", 7)
        tries += [
            f"9 {1 + n * 0.01} socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>",
            f"9 {1.001 + n * 0.01} connect(3, {{sa_family=AF_INET, sin_port=htons(80), "
            f'sin_addr=inet_addr("192.0.2.{host}")}}, 16) = -1 {errno} <0.0001>',
            f"9 {1.002 + n * 0.01} close(3) = 0 <0.0001>",
        ]
    lines = [*tries, "9 9.0 exit_group(7) = ?", "9 9.1 +++ exited with 7 +++"]
    analysis = told(lines)
    assert len(analysis.evidence.sockets) == 32 + 64 + 1
    assert {"S1", "S251", "S500"} <= set(analysis.evidence.sockets)
    counts = {f.cause: f.count for f in analysis.findings}
    assert counts == {"connect-refused": 499, "retry-storm": 499, "unreachable": 1}
    assert analysis.findings[0].lines[-1].line == len(lines) - 3


def test_a_parent_stays_while_a_child_of_it_lives(follow: Follow) -> None:
    """A subshell has ended, and what it started in the background goes on."""
    tracker = follow(
        "\n".join([f"9 0.1 {FORK % 50}", f"50 0.2 {FORK % 51}", "50 0.3 exit_group(0) = ?", "50 0.4 +++ exited with 0 +++"])
        + "\n" + "\n".join([*loop(500), '51 9.0 write(1, "late", 4) = 4 <0.0001>'])
    )  # fmt: skip
    assert tracker.tasks.processes[51].parent == 50
    assert 50 in tracker.tasks.processes


def test_of_many_sockets_that_are_never_used_the_oldest_lose_their_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay, and one that is used then is followed as before."""
    monkeypatch.setattr(forgetting, "_UNUSED", 10)
    lines = [f"7 {n}.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = {n} <0.0001>" for n in range(3, 33)]
    address = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}'
    lines.append(f"7 90.0 connect(4, {address}, 16) = -1 ECONNREFUSED (Connection refused) <0.0001>")
    lines += ["7 91.0 exit_group(1) = ?", "7 92.0 +++ exited with 1 +++"]
    analysis = analyze([Input("log", [line.encode() + b"\n" for line in lines])])
    sockets = analysis.evidence.sockets
    assert [len(socket.timeline) for socket in sockets.values()] == [0, 1, *[0] * 18, *[1] * 10]
    assert sockets["S1"].dropped_events == 1
    assert (analysis.verdict.cause, analysis.verdict.peer) == ("connect-refused", "192.0.2.7:80")
