"""Servers at rest, of which several processes hold one listener."""

from __future__ import annotations

import json
from typing import Any

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

NOW = 1_700_000_500.0


def judged(master_call: str, *calls: str) -> Analysis:
    """A master and two workers that share a listener and have a channel each to the master, as a look saw them; a trace."""
    threads: list[dict[str, Any]] = [{"pid": 40, "tid": 40, "call": master_call, "fds": []}]
    sockets: list[dict[str, Any]] = []
    for pid, channel in ((40, 5), (41, 6), (42, 7)):
        held = ["nginx[40]", "nginx[41]", "nginx[42]"]
        sockets += [
            {"pid": pid, "fd": 4, "inode": 1, "family": "inet", "type": "stream", "local": "127.0.0.1:81", "state": "listen"},
            {"pid": pid, "fd": channel, "inode": 10 + pid, "family": "unix", "type": "stream", "state": "established",
             "held_by": held, "last_word": ""},
        ]  # fmt: skip
    threads += [
        {"pid": pid, "tid": pid, "call": "epoll_wait", "fd": 9, "fds": [[channel, "r"], [4, "r"]]}
        for pid, channel in ((41, 6), (42, 7))
    ]
    common = {"state": "S", "since": NOW - 60}
    look: dict[str, Any] = {"pid": 40, "time": NOW, "version": 1}
    parts = [
        {
            "processes": [
                {"pid": pid, "ppid": 40 if pid > 40 else 1, "argv": ["nginx"], "name": "nginx"} for pid in (40, 41, 42)
            ]
        },
        {"threads": [{**common, **thread} for thread in threads]},
        {"sockets": sockets},
        {"epoll": [{"pid": pid, "fd": 9, "fds": [[channel, "r"], [4, "r"]]} for pid, channel in ((41, 6), (42, 7))]},
    ]
    lines = [
        json.dumps({"attached": 40, "start": NOW}),
        *(json.dumps({"snapshot": {**look, **part}}) for part in parts),
    ]
    text = [f"# systrace: {line}".encode() for line in lines]
    text += [
        f"{call.split()[0]} {NOW + 0.2 + n / 100:.6f} {call.partition(' ')[2]}".encode() for n, call in enumerate(calls)
    ]
    return analyze([Input("t", [*text, f"# systrace: {json.dumps({'end': NOW + 4, 'ended': False})}".encode()])])


EPOLLS = (
    "41 epoll_wait(9<anon_inode:[eventpoll]>,  <unfinished ...>",
    "42 epoll_wait(9<anon_inode:[eventpoll]>,  <detached ...>",
)


def test_workers_of_one_listener_and_their_master_are_at_rest() -> None:
    verdict = judged("rt_sigsuspend", *EPOLLS, "40 rt_sigsuspend([], 8 <unfinished ...>").verdict
    assert verdict.outcome == "healthy", verdict


def test_a_process_that_waits_for_a_lock_is_not_at_rest_for_its_listener() -> None:
    verdict = judged("flock", *EPOLLS, "40 flock(11, LOCK_EX <unfinished ...>").verdict
    assert (verdict.outcome, verdict.cause) == ("hung", "not-network")


WAIT = "{} {:.6f} pselect6(5, [3<socket:[{}]> 4<pipe:[{}]>], NULL, NULL, {{tv_sec=10, tv_nsec=0}}, NULL) {}"
ENDED, OPEN = "= 0 (Timeout) <10.000100>", "<detached ...>"


def workers(*inodes: int, said: str = "") -> Analysis:
    """Processes that strace -p met as each waited in select(2), and let go in the next one: no line says who it attached to."""
    lines = [said] if said else []
    lines += [WAIT.format(51 + n, NOW + n / 100, inode, 90 + n, ENDED) for n, inode in enumerate(inodes)]
    lines += [WAIT.format(51 + n, NOW + 10.01 + n / 100, inode, 90 + n, OPEN) for n, inode in enumerate(inodes)]
    return analyze([Input("t", [f"{line}\n".encode() for line in lines])])


def roles(analysis: Analysis) -> set[str]:
    return {socket.role for socket in analysis.evidence.sockets.values() if socket.kind == "socket"}


def test_several_processes_that_wait_for_one_socket_wait_for_clients() -> None:
    """Workers that were forked with one listener: who reads a connection is one."""
    analysis = workers(7, 7)
    assert roles(analysis) == {"listener"}
    assert (analysis.verdict.outcome, analysis.findings) == ("healthy", [])


def test_a_socket_of_ones_own_or_with_something_said_is_no_listener() -> None:
    own = workers(7, 8)
    assert roles(own) == {"unknown"}
    assert own.verdict.outcome == "hung"
    assert "listener" not in roles(
        workers(7, 7, said=f'51 {NOW - 1:.6f} read(3<socket:[7]>, "hello", 512) = 5 <0.000010>')
    )


def test_a_connection_that_two_processes_wait_for_is_none_either() -> None:
    """-yy says whom it goes to."""
    lines = [
        WAIT.format(51 + n, NOW + n / 100 + at, 7, 90 + n, end).replace(
            "socket:[7]", "TCP:[192.0.2.1:40000->192.0.2.9:80]"
        )
        for at, end in ((0, ENDED), (10.01, OPEN))
        for n in (0, 1)
    ]
    analysis = analyze([Input("t", [f"{line}\n".encode() for line in lines])])
    assert "listener" not in roles(analysis)
    assert analysis.verdict.peer == "192.0.2.9:80"
