"""`run --check`, `attach --check`: after a failure the network is asked about the peer, and the answer is kept."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

SYSTRACE = [sys.executable, "-m", "systrace"]
REFUSED = "exec 3<>/dev/tcp/127.0.0.1/1"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SYSTRACE, *map(str, words)], capture_output=True, text=True, check=False, timeout=100)


def test_what_the_network_says_is_in_report_and_recording(tmp_path: Path) -> None:
    recording, report = tmp_path / "job.strace.gz", tmp_path / "r.json"
    done = run("run", "--check", "--save", recording, "--output", report, "--", "bash", "-c", REFUSED)
    assert done.returncode == 1
    first = json.loads(report.read_text())["findings"][0]
    assert first["cause"] == "connect-refused"
    assert "Probed by systrace check" in first["summary"]
    assert not any(step.startswith("nc ") for step in first["next_steps"])
    again = json.loads(run("parse", "--format", "json", recording).stdout)
    assert again["findings"][0]["summary"] == first["summary"]


def test_nobody_is_asked_about_a_job_that_is_well(tmp_path: Path) -> None:
    """Nor about one that failed by itself."""
    met: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, address = server.accept()
                except OSError:
                    return
                met.append(address)
                peer.sendall(b"well\n")
                peer.close()

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        talk = f"exec 3<>/dev/tcp/127.0.0.1/{port}; read -u 3 x; exec 3>&-; "
        for status in (0, 3):
            recording = tmp_path / f"{status}.strace"
            done = run("run", "--check", "--save", recording, "--", "bash", "-c", f"{talk} exit {status}")
            assert done.returncode == status
            assert "observation" not in recording.read_text()
        server.shutdown(socket.SHUT_RDWR)
    assert len(met) == 2


@pytest.mark.real
def test_attach_too(tmp_path: Path) -> None:
    client = """
import socket, time
s = socket.create_connection(("127.0.0.1", PORT)); print("up", flush=True)
while True:
    time.sleep(0.2)
    try: socket.create_connection(("127.0.0.1", 1))
    except OSError as error: last = error
"""
    recording, report = tmp_path / "job.strace", tmp_path / "r.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = client.replace("PORT", str(server.getsockname()[1]))
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as job:
            assert job.stdout is not None
            job.stdout.readline()
            done = run("attach", str(job.pid), "--for", "2", "--check", "--save", recording, "--output", report)
            job.kill()
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(report.read_text())
    assert any(finding["cause"] == "connect-refused" for finding in told["findings"])
    assert '"observation"' in recording.read_text()
