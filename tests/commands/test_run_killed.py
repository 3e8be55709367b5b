"""One of our processes is killed while a job runs: scripts/kill_everyone, a few times."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.tracers import TRACERS
from systrace.tracers.waiting import tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(400),
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="an ordinary user's job is killed with its tracer where Yama forbids more"
    ),
]
SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_everyone"
RUNS = 6
WHOM = [
    (tracer, victim)
    for tracer in ("strace", "embedded")
    for victim in ("systrace", "keeper", "spooler", "analyst", "watcher", "tracer", "launcher")
    if (tracer, victim) != ("embedded", "launcher")
]
if TRACERS["ebpf"].unavailable() is None:
    WHOM += [("ebpf", victim) for victim in ("systrace", "spooler", "tracer")]


@pytest.mark.parametrize(("tracer", "victim"), WHOM)
def test_whoever_is_killed_the_job_goes_on(tracer: str, victim: str) -> None:
    words = [sys.executable, str(SCRIPT), "--runs", str(RUNS), "--tracer", tracer, "--victim", victim]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr
    _head, figures = done.stdout.splitlines()
    assert figures.split()[:2] == [tracer, victim]
    killed, missed, harm = map(int, figures.split()[2:5])
    assert (killed + missed, harm) == (RUNS, 0)
    assert killed > 0
