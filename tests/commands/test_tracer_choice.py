"""`--tracer auto`: what costs the job least is taken, and said; each tracer leads to the same report."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.tracers import TRACERS

USABLE = [name for name in sorted(TRACERS, key=lambda name: TRACERS[name].rank) if TRACERS[name].unavailable() is None]
pytestmark = [pytest.mark.real, pytest.mark.skipif(len(USABLE) < 2, reason="there is nothing to choose from")]
JOB = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])))"


@pytest.fixture
def closed() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """systrace, without a tracer in its settings."""
    variables = {name: value for name, value in os.environ.items() if name != "SYSTRACE_TRACER"} | environment
    return subprocess.run(
        [sys.executable, "-m", "systrace", *words], capture_output=True, text=True, check=False, env=variables
    )


def head(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text().split("\n")[0].removeprefix("# systrace: "))
    return found


@pytest.mark.parametrize("asked", [(), ("--tracer", "auto")])
def test_the_cheapest_is_taken_and_the_recording_names_it(asked: tuple[str, ...], tmp_path: Path) -> None:
    recording = tmp_path / "job.strace"
    done = run("run", *asked, "--save", str(recording), "--", "/bin/sh", "-c", "echo out; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert "is used instead" not in done.stderr
    facts = head(recording)
    assert facts["tracer"] == USABLE[0]
    better = sorted(TRACERS, key=lambda name: TRACERS[name].rank)[: -len(USABLE)] if len(USABLE) < len(TRACERS) else []
    assert len(facts.get("not_taken", [])) == len(better)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", USABLE)
def test_each_leads_to_the_same_verdict(name: str, closed: int, tmp_path: Path) -> None:
    report, recording = tmp_path / "report", tmp_path / "job.strace"
    words = ["--tracer", name, "--save", str(recording), "--report", str(report)]
    done = run("run", *words, "--", sys.executable, "-c", JOB, str(closed))
    assert done.returncode == 1
    assert "ConnectionRefusedError" in done.stderr
    text = " ".join(report.read_text().split())
    assert f"connect to 127.0.0.1:{closed} was refused at once" in text
    assert "[connect-refused; proven]" in text
    assert head(recording)["tracer"] == name
    assert "connect-refused" in run("parse", str(recording)).stdout


@pytest.mark.parametrize("name", USABLE)
def test_each_attaches_and_lets_go(name: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = (
            f"import socket; s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'x'); print(s.recv(9))"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
            peer = server.accept()[0]
            assert peer.recv(1) == b"x"
            recording = tmp_path / "job.strace"
            done = run("attach", str(process.pid), "--tracer", name, "--for", "1s", "--save", str(recording))
            assert done.returncode == 1, done.stderr
            assert "[hung-read" in done.stdout
            peer.sendall(b"answer")
            peer.close()
            assert process.communicate(timeout=30)[0] == "b'answer'\n"
    assert head(recording)["tracer"] == name
    assert "recvfrom(" in recording.read_text()


def test_an_unknown_one_names_those_that_there_are() -> None:
    done = run("run", "--tracer", "gdb", "--", "/bin/true")
    assert done.returncode == 2
    assert "there is no tracer 'gdb': choose from auto, ebpf, embedded, strace" in done.stderr


def test_doctor_says_which_and_why() -> None:
    (first,) = [json.loads(line) for line in run("doctor", "--json").stdout.split("\n") if '"tracer"' in line][:1]
    assert first["found"].startswith(USABLE[0])
