"""`parse --jobs`: what several processes read comes as one would give it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.commands.reading.side_by_side import side_by_side
from systrace.errors import SystraceError

LINES = (
    '9 1700000001.000000 execve("/bin/job", ["job"], 0x7f /* 1 var */) = 0 <0.000100>\n'
    "9 1700000001.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>\n"
    '9 1700000001.200000 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.%d")}, 16)'
    " = %s <0.000010>\n"
    "9 1700000002.000000 exit_group(%d) = ?\n9 1700000002.000100 +++ exited with %d +++\n"
)


@pytest.fixture
def logs(tmp_path: Path) -> list[str]:
    """Some failed, some fine, one that is no log."""
    for number in range(12):
        failed = number % 3 == 0
        result = "-1 ECONNREFUSED (Connection refused)" if failed else "0"
        (tmp_path / f"{number:02}.strace").write_text(LINES % (number, result, failed, failed))
    (tmp_path / "05.txt").write_text("Dear diary,\n" * 9)
    return [str(path) for path in sorted(tmp_path.iterdir())]


@pytest.mark.parametrize("options", [[], ["--each"], ["--format", "json"]], ids=["overview", "reports", "json"])
def test_the_same_as_by_one_process(logs: list[str], options: list[str]) -> None:
    def parse(jobs: int) -> tuple[int, bytes, bytes]:
        command = [sys.executable, "-m", "systrace", "parse", "--jobs", str(jobs), *options, *logs]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert parse(3) == parse(1)
    assert parse(1)[0] == 2


def test_results_come_in_order_and_with_one_process_when_asked() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        done.append(item)
        return item * item

    results = side_by_side(work, [1, 2, 3], 1)
    assert done == []
    assert list(results) == [1, 4, 9]
    assert list(side_by_side(work, list(range(20)), 3)) == [n * n for n in range(20)]
    assert done == [1, 2, 3]


def test_a_process_that_is_killed_is_said() -> None:
    def work(_item: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with pytest.raises(SystraceError, match="was killed"):
        list(side_by_side(work, [1, 2], 2))
