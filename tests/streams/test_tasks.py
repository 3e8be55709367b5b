"""Who is whose child, also where the log shows it late; many threads take time in proportion."""

from __future__ import annotations

import re
import time

import pytest

from systrace.model import Input
from systrace.pipeline import analyze


def parents(text: str) -> dict[int, int | None]:
    """pid -> parent; stamps are written short."""
    analysis = analyze(
        [
            Input(
                "log",
                re.sub(r"(?m)^(\d+) (\d)\.(\d) ", r"\1 170000000\2.\g<3>00000 ", text)
                .encode()
                .splitlines(keepends=True),
            )
        ]
    )
    return {process.pid: process.parent for process in analysis.evidence.processes.values()}


def test_trap_27_a_child_before_its_creation_is_of_who_forks() -> None:
    """A new number during a fork is its child; after the fork has returned it is nobody's."""
    forks = "7 1.0 close(1) = 0\n7 1.1 fork( <unfinished ...>\n8 1.2 close(1) = 0\n7 1.3 <... fork resumed>) = 8\n"
    assert parents(forks + "9 1.4 close(1) = 0\n") == {7: None, 8: 7, 9: None}


def test_of_two_that_fork_the_later_one_is_taken() -> None:
    """Until the results say which child is whose."""
    text = (
        "7 1.0 fork( <unfinished ...>\n8 1.1 close(1) = 0\n7 1.2 <... fork resumed>) = 8\n7 1.3 fork( <unfinished ...>\n"
        "8 1.4 fork( <unfinished ...>\n9 1.5 close(1) = 0\n8 1.6 <... fork resumed>) = 9\n7 1.7 <... fork resumed>) = 10\n"
    )
    assert parents(text) == {7: None, 8: 7, 9: 8, 10: 7}


def test_the_result_of_a_fork_outranks_the_guess() -> None:
    text = (
        "7 1.0 close(1) = 0\n8 1.1 close(1) = 0\n7 1.2 fork( <unfinished ...>\n8 1.3 fork( <unfinished ...>\n"
        "9 1.4 close(1) = 0\n7 1.5 <... fork resumed>) = 9\n10 1.6 close(1) = 0\n8 1.7 <... fork resumed>) = 10\n"
    )
    assert parents(text) == {7: None, 8: None, 9: 7, 10: 8}


def commands(text: str) -> dict[int, tuple[str, int | None, int | None]]:
    """pid -> command, parent, exit status; stamps are written short."""
    lines = re.sub(r"(?m)^(\d+) (\d)\.(\d) ", r"\1 170000000\2.\g<3>00000 ", text).encode().splitlines(keepends=True)
    processes = analyze([Input("log", lines)]).evidence.processes.values()
    return {process.pid: (process.command, process.parent, process.exit_code) for process in processes}


_SHELL = '7 1.0 execve("/bin/sh", ["sh", "-c", "true; x"], 0x1 /* 2 vars */) = 0\n'
_TRUE = (
    '8 1.2 execve("/bin/true", ["true"], 0x1 /* 2 vars */) = 0\n8 1.3 exit_group(0) = ?\n8 1.4 +++ exited with 0 +++\n'
)


def test_a_child_that_ended_before_its_fork_returned_is_not_made_anew() -> None:
    """vfork(2) returns when the child has executed its program, and on a busy machine after that has ended."""
    text = f"{_SHELL}7 1.1 vfork( <unfinished ...>\n{_TRUE}7 1.5 <... vfork resumed>) = 8\n"
    assert commands(text) == {7: ("sh", None, None), 8: ("true", 7, 0)}


def test_a_number_that_comes_back_is_another_process() -> None:
    text = f"{_SHELL}7 1.1 vfork( <unfinished ...>\n{_TRUE}7 1.5 <... vfork resumed>) = 8\n7 1.6 fork() = 8\n"
    assert commands(text)[8] == ("sh", 7, None)


def test_many_threads_take_time_in_proportion() -> None:
    """A new number is not looked for among all the others."""

    def seconds(count: int) -> float:
        lines = [b"%d 1700000000.000000 close(3) = 0 <0.000001>\n" % (n + 1) for n in range(count)]
        began = time.process_time()
        analyze([Input("log", lines)])
        return time.process_time() - began

    assert min(seconds(16_000) / seconds(4_000) for _ in range(3)) < 8  # 4 in proportion, 16 with every pair


_SOCKET = "9 1.0 socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 5<TCP:[77]> <0.0001>\n" \
    '9 1.1 connect(5<TCP:[77]>, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.0001>\n' \
    '9 1.2 write(5<TCP:[192.0.2.10:40000->192.0.2.7:80]>, "Q\\n", 2) = 2 <0.0001>\n'  # fmt: skip
_FORK = "9 0.5 clone(child_stack=NULL, flags=SIGCHLD) = 99 <0.0001>\n"


def users(text: str) -> list[tuple[set[int], int]]:
    """(threads, number of TCP sockets) of all processes that were traced."""
    lines = re.sub(r"(?m)^(\d+) (\d)\.(\d) ", r"\1 170000000\2.\g<3>00000 ", text).encode().splitlines(keepends=True)
    evidence = analyze([Input("log", lines)]).evidence
    tcp = [s for s in evidence.sockets.values() if s.type == "stream"]
    return [
        (tids, len(tcp))
        for p in evidence.processes.values()
        if (tids := {tid for tid, pid in evidence.owners.items() if pid == p.pid and tid != 99})
    ]


def test_threads_that_were_there_before_the_log_are_known_by_their_connections() -> None:
    """The head of the log is missing, and with it who began whom. A connection that was opened in it, and that another task
    uses under its number, is shared by them: both are threads of one process, and so are those that they are joined with.
    """
    read = '10 1.3 read(5<TCP:[192.0.2.10:40000->192.0.2.7:80]>, "A\\n", 64) = 2 <0.0001>\n'
    assert users(_FORK + _SOCKET + read) == [({9, 10}, 1)]
    assert users(_SOCKET + read) == [({9, 10}, 1)]
    other = (
        _SOCKET.replace("9 1.", "11 1.")
        .replace("5<", "6<")
        .replace("= 5", "= 6")
        .replace("77", "78")
        .replace("40000", "40001")
    )
    both = other + '10 1.4 read(6<TCP:[192.0.2.10:40001->192.0.2.7:80]>, "B\\n", 64) = 2 <0.0001>\n'
    assert users(_FORK + _SOCKET + read + both) == [({9, 10, 11}, 2)]


def test_another_connection_under_the_same_number_joins_nobody() -> None:
    read = '10 1.3 read(5<TCP:[192.0.2.10:40002->192.0.2.7:80]>, "A\\n", 64) = 2 <0.0001>\n'
    assert users(_FORK + _SOCKET + read) == [({9}, 2), ({10}, 2)]


@pytest.mark.parametrize("ended", ["", "8 1.5 exit(0) = ?\n8 1.6 +++ exited with 0 +++\n"])
def test_a_thread_whose_lines_came_before_its_creation_is_no_process(ended: str) -> None:
    """What it opened is its process's while it lives, and its own end is not the process's status."""
    text = (
        "7 1.0 close(1) = 0\n8 1.2 socket(AF_INET, SOCK_STREAM, 0) = 5\n8 1.3 close(4) = 0\n" + ended + "7 1.1 "
        "clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD}, 88) = 8\n7 1.7 close(5) = 0\n"
        "7 1.8 exit_group(1) = ?\n7 1.9 +++ exited with 1 +++\n"
    )
    lines = re.sub(r"(?m)^(\d+) (\d)\.(\d) ", r"\1 170000000\2.\g<3>00000 ", text).encode().splitlines(keepends=True)
    evidence = analyze([Input("log", lines)]).evidence
    assert {process.pid: process.exit_code for process in evidence.processes.values()} == {7: 1}
    (opened,) = [socket for socket in evidence.sockets.values() if socket.kind == "socket"]
    assert opened.closed_by == ("exit" if ended else "close")
