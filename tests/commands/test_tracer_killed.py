"""A tracer that is killed while its job waits: the recording stops there, and the wait was no hang."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

JOB = """
import os, socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall(b"?")
print(os.getpid(), flush=True)
client.recv(10)
"""


def _tracer_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("TracerPid:")[1].split()[0])


@pytest.mark.real
@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_the_wait_that_the_recording_stops_in_is_no_hang(tracer: str, tmp_path: Path) -> None:
    saved = tmp_path / "job.strace"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [
            sys.executable,
            "-m",
            "systrace",
            "run",
            "--tracer",
            tracer,
            "--format",
            "json",
            "--save",
            str(saved),
        ]
        command += ["--", sys.executable, "-c", JOB, str(listener.getsockname()[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            connection, _peer = listener.accept()
            with connection:
                connection.recv(1)
                assert run.stdout is not None
                pid = int(run.stdout.readline())
                (growing,) = tmp_path.glob("job.strace.*.part")
                while "recvfrom(" not in growing.read_text().splitlines()[-1]:
                    time.sleep(0.01)
                killed = _tracer_of(pid)
                os.kill(killed, signal.SIGKILL)
                while Path(f"/proc/{killed}").exists() and _tracer_of(pid) == killed:
                    time.sleep(0.01)
                connection.sendall(b"!")
                _out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    complaint, report = err.splitlines()[-2:]
    assert "the recording stops there" in complaint
    verdict = json.loads(report)["verdict"]
    assert verdict["outcome"] == "inconclusive"
    assert "The recording stops before the job did" in verdict["headline"]
    assert "the job ended with status 0" in verdict["headline"]
    parsed = subprocess.run(
        [sys.executable, "-m", "systrace", "parse", "--format", "json", saved], capture_output=True, timeout=60
    )
    assert json.loads(parsed.stdout)["verdict"] == verdict
