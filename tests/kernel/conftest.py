"""Really hung processes, and waiting until they really hang."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from systrace.kernel import procfs

VICTIM = Path(__file__).parent / "victims" / "hang.py"


# What libc calls where the kernel has only the newer of two calls (aarch64).
YOUNG = {"poll": "ppoll", "select": "pselect6", "epoll_wait": "epoll_pwait", "pause": "ppoll"}


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
    from systrace.calls.numbers import name_of

    current = procfs.syscall_of(pid, tid)
    stat = procfs.stat_of(pid, tid)
    if isinstance(current, str) or stat is None or stat.state not in "SD":
        return False
    return name_of(current[0], procfs.machine_of(pid)) in (call, YOUNG.get(call))


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


class Lab:
    """client 10.78.N.2 - router - server 10.78.N+128.2 in three network namespaces, NAT where a test asks for it."""

    def __init__(self, number: int) -> None:
        self.names = {role: f"krn-{role}{number}" for role in ("client", "router", "server")}
        self.inner, self.outer = f"10.78.{number}", f"10.78.{number + 128}"
        self.server = f"{self.outer}.2"
        self._processes: list[subprocess.Popen[str]] = []
        for name in self.names.values():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for role, subnet in (("client", self.inner), ("server", self.outer)):
            run("ip", "-n", self.names["router"], "link", "add", f"to-{role}", "type", "veth", "peer", "eth0",
                "netns", self.names[role])  # fmt: skip
            for name, device, host in ((self.names["router"], f"to-{role}", 1), (self.names[role], "eth0", 2)):
                run("ip", "-n", name, "address", "add", f"{subnet}.{host}/24", "dev", device)
                run("ip", "-n", name, "link", "set", device, "up")
            run("ip", "-n", self.names[role], "route", "add", "default", "via", f"{subnet}.1")
        self.at("router", "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def at(self, role: str, *command: str) -> str:
        """Run a command there to its end."""
        return run("ip", "netns", "exec", self.names[role], *command)

    def inside(self, role: str) -> tuple[str, ...]:
        """The prefix that starts a command there (`ip netns exec` replaces itself by the command: same pid)."""
        return ("ip", "netns", "exec", self.names[role])

    def close(self) -> None:
        """Remove the namespaces."""
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def run(*command: str) -> str:
    """A command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A network of our own; numbers differ between test processes."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 100 + 1
    for role in ("client", "router", "server"):
        subprocess.run(["ip", "netns", "delete", f"krn-{role}{number}"], check=False, capture_output=True)
    made = Lab(number)
    yield made
    made.close()
