"""Runs a job bare and under tracers, in one world of servers, and says where the tracers disagree."""

import contextlib
import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from systrace.tracers import TRACERS
from tests.lab.network import DNS, SERVER, Lab, drop_syn, reject
from tests.lab.recording import ENVIRONMENT, LIMIT
from tests.lab.seen import Seen, seen
from tests.lab.servers import running
from tests.lab.story import LAST_BYTE

# The world: one server of each behaviour, each on a port of its own, and ports where faults are.
SERVERS = (
    "good",
    "html",
    "silent",
    "closing",
    "resetting",
    "short-body",
    "echo",
    "reading",
    "not-reading",
    "large",
    "counting",
)
PORTS = {name: 80 + place for place, name in enumerate(SERVERS)}
NOBODY, DROPPED, REJECTED = 70, 71, 72


def url(server: str, path: str = "rows") -> str:
    """Where a server of this behaviour is."""
    return f"http://{SERVER}:{PORTS[server]}/{path}"


def peer(server: str | int) -> str:
    """The address of a server as reports name it."""
    return f"{SERVER}:{server if isinstance(server, int) else PORTS[server]}"


@contextlib.contextmanager
def world() -> Iterator[Lab]:
    """The lab with all servers and faults."""
    with Lab() as lab, contextlib.ExitStack() as servers:
        for name, port in PORTS.items():
            servers.enter_context(running(lab.server, name, SERVER, port))
        servers.enter_context(running(lab.server, "name-server", DNS, 53, LAST_BYTE))
        drop_syn(lab, DROPPED)
        reject(lab, REJECTED)
        yield lab


@dataclass(frozen=True, slots=True)
class Job:
    """A command, and what `systrace run` must say of it under every tracer.

    `cause` and `peer` are the verdict's. `options` are `run`'s. `own_ptrace`: what it does is impossible, or goes another
    way, for who is traced by ptrace(2), so that output and verdict are those of the table under other tracers only. `loose`:
    threads or loops use a socket in both directions at once, in an order that is the scheduler's. `slack`: bytes more or less
    that a buffer takes, which is the kernel's choice.
    """

    command: list[str]
    cause: str
    peer: str | None
    options: tuple[str, ...] = ()
    own_ptrace: bool = False
    loose: bool = False
    slack: int = 0


def job(
    name: str,
    command: list[str],
    cause: str = "healthy",
    peer: str | None = None,
    *,
    options: tuple[str, ...] = (),
    own_ptrace: bool = False,
    loose: bool = False,
    slack: int = 0,
    needs: tuple[str, ...] = (),
) -> Any:
    """A row of a table; skipped where the machine lacks the program. `needs`: a command that succeeds where it can run."""
    program = command[0]
    lacks = shutil.which(program, path=ENVIRONMENT["PATH"]) is None and "/" not in program
    without = bool(needs) and not works(*needs)
    reason = f"{program} is not installed" if lacks else f"{' '.join(needs)} fails: not installed"
    marks = [pytest.mark.skipif(lacks or without, reason=reason)]
    return pytest.param(Job(command, cause, peer, options, own_ptrace, loose, slack), id=name, marks=marks)


@functools.cache
def works(*command: str) -> bool:
    """Whether the machine has this."""
    try:
        return not subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False).returncode
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job did, as its caller sees it."""

    status: int
    output: str
    words: str


@dataclass(frozen=True, slots=True)
class Traced:
    """What a tracer made of it."""

    outcome: Outcome
    verdict: tuple[Any, ...]  # outcome, cause, peer, and each (cause, peer) accused
    seen: Seen


def bare(lab: Lab, wanted: Job, folder: Path) -> Outcome:
    """The job without any tracer."""
    done = subprocess.run(
        lab.client.command(*wanted.command),
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=LIMIT,
    )
    status = 128 - done.returncode if done.returncode < 0 else done.returncode  # as a shell would say
    return Outcome(status, _steady(done.stdout), _steady(done.stderr))


def traced(lab: Lab, wanted: Job, tracer: str, folder: Path, scratch: Path) -> Traced:
    """The job, in its own `folder`, under `systrace run --tracer`; report and recording go to `scratch`."""
    report, recording = scratch / f"{tracer}.json", scratch / f"{tracer}.strace"
    run = [sys.executable, "-m", "systrace", "run", "--tracer", tracer, "--show-secrets", *wanted.options]
    run += ["--format", "json", "--report", str(report), "--save", str(recording), "--"]
    outcome = bare(lab, Job([*run, *wanted.command], "", None), folder)
    found = json.loads(report.read_text())
    verdict = found["verdict"]
    accused = {(each["cause"], _steady(each["peer"] or "")) for each in found["findings"] if each["severity"] != "info"}
    said = (verdict["outcome"], verdict["cause"], _steady(verdict["peer"] or "") or None, sorted(accused))
    return Traced(outcome, said, seen(recording))


def _steady(text: str) -> str:
    """Without what differs from run to run: measured times, ports of the kernel's choice."""
    return re.sub(
        r"\b\d+ (?=ms\b|milliseconds)|(?<=:)(?:32[7-9]\d\d|(?:3[3-9]|[4-6]\d)\d{3})\b|(?<=strace: )Process \d+",
        "N",
        text,
    )


def tracers() -> dict[str, str]:
    """Each tracer, and why it can't be used here; empty when it can."""
    return {name: TRACERS[name].unavailable() or "" for name in TRACERS}


@functools.cache
def stops_the_job(tracer: str) -> bool:
    """Whether it works by ptrace(2): what the job itself finds in /proc tells."""
    words = ["grep", "TracerPid", "/proc/self/status"]
    run = [sys.executable, "-m", "systrace", "run", "--tracer", tracer, "--report", "/dev/null", "--", *words]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()[1]) != 0
