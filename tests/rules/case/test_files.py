"""Whose answer a process read from a file: the one who wrote it last, through copies and new names."""

from __future__ import annotations

import pytest

from systrace.model import Input, Verdict
from systrace.pipeline import analyze

_STAMP = 1700000000


def step(pid: int, at: int, command: str, *lines: str, status: int = 0) -> list[str]:
    """A child of process 7 that runs from second `at` on."""
    clone = f"clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD) = {pid} <0.001>"
    exec_ = f'execve("/usr/bin/{command}", ["{command}"], 0x1 /* 2 vars */) = 0 <0.001>'
    return [
        f"7 {_STAMP + at}.000000 {clone}",
        f"{pid} {_STAMP + at}.010000 {exec_}",
        *(f"{pid} {_STAMP + at}.{20 + number}0000 {line}" for number, line in enumerate(lines)),
        f"{pid} {_STAMP + at}.800000 exit_group({status}) = ?",
        f"{pid} {_STAMP + at}.810000 +++ exited with {status} +++",
        f"7 {_STAMP + at}.820000 wait4(-1, [{{WIFEXITED(s) && WEXITSTATUS(s) == {status}}}], 0, NULL) = {pid} <0.001>",
    ]


def fetch(host: str, body: str, path: str, *, noted: bool = True) -> list[str]:
    """The calls of a curl(1) that saves what it gets; noted: as `strace -y` prints them."""
    folder, file = ("</srv>", f"</srv/{path}>") if noted else ("", "")
    answer = f"HTTP/1.1 200 OK\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}"
    length = len(answer) - answer.count("\\r\\n") * 2
    return [
        "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 5 <0.001>",
        f'connect(5, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("{host}")}}, 16) = 0 <0.001>',
        'sendto(5, "GET /rows HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 31, 0, NULL, 0) = 31 <0.001>',
        f'recvfrom(5, "{answer}", 9000, 0, NULL, NULL) = {length} <0.001>',
        "close(5) = 0 <0.001>",
        f'openat(AT_FDCWD{folder}, "{path}", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 6{file} <0.001>',
        f'write(6{file}, "{body}", {len(body)}) = {len(body)} <0.001>',
        f"close(6{file}) = 0 <0.001>",
    ]


def load(path: str) -> list[str]:
    """The calls of a program that dies of the file."""
    words = "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)\\n"
    return [
        f'openat(AT_FDCWD</srv>, "{path}", O_RDONLY) = 3</srv/{path}> <0.001>',
        f'write(2<pipe:[9]>, "{words}", {len(words) - 1}) = {len(words) - 1} <0.001>',
    ]


def judged(*steps: list[str], status: int = 1) -> Verdict:
    """The verdict of a shell that made these steps and ended with the status of the last."""
    first = f'7 {_STAMP}.000000 execve("/bin/bash", ["bash", "job.sh"], 0x1 /* 2 vars */) = 0 <0.001>'
    last = [f"7 {_STAMP + 90}.000000 exit_group({status}) = ?", f"7 {_STAMP + 90}.100000 +++ exited with {status} +++"]
    text = "\n".join([first, *(line for each in steps for line in each), *last, ""])
    return analyze([Input("log", text.encode().splitlines(keepends=True))]).verdict


PAGE = "<html><title>Sign in</title></html>"
ROWS = '{\\"rows\\": []}'
MOVES = {
    "as it is": [],
    "renamed": [step(10, 6, "mv", 'rename("/srv/a.json.part", "/srv/a.json") = 0 <0.001>')],
    "renameat2": [
        step(10, 6, "mv", 'renameat2(AT_FDCWD</srv>, "a.json.part", AT_FDCWD</srv>, "a.json", 0) = 0 <0.001>')
    ],
    "copied": [
        step(
            10,
            6,
            "cp",
            'openat(AT_FDCWD</srv>, "a.json.part", O_RDONLY) = 3</srv/a.json.part> <0.001>',
            'openat(AT_FDCWD</srv>, "a.json", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 4</srv/a.json> <0.001>',
        )
    ],
}


@pytest.mark.parametrize("how", MOVES)
def test_the_first_step_s_page_is_found_and_the_later_server_is_not_accused(how: str) -> None:
    saved = "a.json.part" if MOVES[how] else "a.json"
    verdict = judged(
        step(8, 1, "curl", *fetch("203.0.113.10", PAGE, saved)),
        step(9, 3, "curl", *fetch("203.0.113.11", ROWS, "b.json")),
        *MOVES[how],
        step(11, 60, "load", *load("a.json"), status=1),
    )
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("failed", "html-instead-of-json", "203.0.113.10:80")


def test_the_last_writer_counts() -> None:
    """The page was there before; the file that was read is the second step's."""
    verdict = judged(
        step(8, 1, "curl", *fetch("203.0.113.10", ROWS, "a.json")),
        step(9, 3, "curl", *fetch("203.0.113.11", PAGE, "a.json")),
        step(11, 60, "load", *load("a.json"), status=1),
    )
    assert (verdict.cause, verdict.peer) == ("html-instead-of-json", "203.0.113.11:80")


def test_a_file_that_nobody_in_the_log_wrote_accuses_nobody() -> None:
    verdict = judged(
        step(8, 1, "curl", *fetch("203.0.113.10", PAGE, "a.json")),
        step(9, 2, "true"),
        step(11, 60, "load", *load("old.json"), status=1),
    )
    assert verdict.peer is None


def test_copies_in_a_circle_end() -> None:
    turns = [
        step(20 + n, 6 + n, "mv", f'rename("/srv/{"ab"[n % 2]}", "/srv/{"ab"[1 - n % 2]}") = 0 <0.001>')
        for n in range(20)
    ]
    assert judged(*turns, step(50, 60, "load", *load("a"), status=1)).outcome in ("failed", "inconclusive")


def test_a_short_path_is_the_same_file_as_the_whole_one() -> None:
    """Without `-y` the log does not name the folder in which curl made it."""
    verdict = judged(
        step(8, 1, "curl", *fetch("203.0.113.10", PAGE, "a.json", noted=False)),
        step(9, 3, "curl", *fetch("203.0.113.11", ROWS, "b.json", noted=False)),
        step(11, 60, "load", 'openat(AT_FDCWD, "/srv/a.json", O_RDONLY) = 3 <0.001>', load("a.json")[1], status=1),
    )
    assert verdict.peer == "203.0.113.10:80"
