from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from systrace.tracers import launching
from systrace.tracers.waiting import status_field


def test_a_launcher_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """strace hangs, or the machine does: after a while there is no tracer, which is no harm to the job."""
    monkeypatch.setattr(launching, "START_SECONDS", 0.05)
    for said, tracer in ((b"", (0, b"")), (b"47", (0, b"")), (b"4711 ", (4711, b"")), (b"4711 -24", (4711, b"-24"))):
        reader, writer = os.pipe()
        os.write(writer, said)
        with os.fdopen(reader, "rb", buffering=0) as report:
            assert launching.first_word(report) == tracer
        os.close(writer)


@pytest.mark.real
def test_who_is_given_up_is_ended_with_its_tracer(tmp_path: Path) -> None:
    """A traced process that was killed is nobody's before its tracer has seen it: one that hangs must not keep us."""
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    words = ["strace", "-DD", "-f", "-o", str(tmp_path / "fifo"), "sh", "-c", "while :; do (exit 3); done"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as job:
        while status_field(job.pid, "Name") != "sh" or not (status_field(job.pid, "State") or "").startswith("t"):
            assert job.poll() is None
        launching.give_up(job)
        assert job.returncode == -signal.SIGKILL
    os.close(reader)
