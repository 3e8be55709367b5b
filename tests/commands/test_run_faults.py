"""One system call of ours fails while a job runs: scripts/sweep_faults, at some of the calls."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.tracers.waiting import tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(400),
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing"),
]
SCRIPT = Path(__file__).parents[2] / "scripts" / "sweep_faults"
STEPS = {"open": 41, "write": 4, "fchmod": 1, "pipe": 4, "fork": 3, "mkdir": 1, "rename": 1}


@pytest.mark.parametrize("call", STEPS)
@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_whatever_fails_the_job_does_not(tracer: str, call: str) -> None:
    words = [sys.executable, str(SCRIPT), "--tracer", tracer, "--call", call, "--step", str(STEPS[call])]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr
    calls, failed, harm = map(int, done.stdout.splitlines()[1].split()[2:5])
    assert calls >= failed > 0
    assert harm == 0
