"""Really hung processes, and waiting until they really hang."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from systrace.kernel import procfs

VICTIM = Path(__file__).parent / "victims" / "hang.py"


class Victim:
    """A process that hangs on purpose."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid
        self.words = self.line().split()[1:]  # what the victim says about itself after "ready"

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def settle(self, call: str, pid: int | None = None) -> None:
        """Return once a thread of it (or of `pid`) is asleep in that call."""
        pid = pid or self.pid
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if any(_blocked_in(pid, tid, call) for tid in procfs.task_ids(pid)):
                return
            time.sleep(0.01)  # the kernel offers no event for "has gone to sleep"
        raise AssertionError(f"{pid} never blocked in {call}")


def _blocked_in(pid: int, tid: int, call: str) -> bool:
    from systrace.kernel.syscall_names import name_of

    current = procfs.syscall_of(pid, tid)
    stat = procfs.stat_of(pid, tid)
    if isinstance(current, str) or stat is None or stat.state not in "SD":
        return False
    return name_of(current[0], procfs.machine_of(pid)) == call


Hang = Callable[..., Victim]
Until = Callable[..., None]


@pytest.fixture
def until() -> Until:
    """`until(condition)`: poll the kernel for something it sends no event for."""

    def wait(condition: Callable[[], bool], pause: float = 0.02, limit: float = 30) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(pause)

    return wait


@pytest.fixture
def hang() -> Iterator[Hang]:
    """`hang("recv", *arguments, prefix=[...])`: start a victim; all are killed afterwards with their children."""
    started: list[subprocess.Popen[str]] = []

    def start(kind: str, *arguments: object, prefix: tuple[str, ...] = ()) -> Victim:
        process = subprocess.Popen(
            [*prefix, sys.executable, str(VICTIM), kind, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return Victim(process)

    yield start
    for process in started:
        for pid in reversed(procfs.tree(process.pid)):
            subprocess.run(["kill", "-KILL", str(pid)], check=False, stderr=subprocess.DEVNULL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
