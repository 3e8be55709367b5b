"""Processes of another PID namespace (containers): the numbers shown are those that its owner outside can use."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.capture.process_tree import descendants

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a PID namespace needs root"),
]
SYSTRACE = [sys.executable, "-m", "systrace"]
JOB = """
import subprocess, sys
print("ready", flush=True)
sys.stdin.readline()
for code in (3, 4):
    subprocess.run(["/bin/sh", "-c", f"/bin/true; exit {code}"])
"""
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc"]


@pytest.fixture
def inside() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """unshare(1) and the process that is number 1 inside."""
    words = [*UNSHARE, sys.executable, "-c", JOB]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process, descendants(process.pid)[0].pid
        process.kill()


def judged(trace: Path) -> list[dict[str, object]]:
    """The processes of a recording's report."""
    done = subprocess.run([*SYSTRACE, "parse", "--format", "json", trace], capture_output=True, check=False)
    found = json.loads(done.stdout)["processes"]
    assert isinstance(found, list)
    return found


def check(shells: list[dict[str, object]], parent: int) -> None:
    """Two shells with both numbers, the right parent and status; nobody is there twice."""
    assert [(each["exit_code"], each["parent"]) for each in shells] == [(3, parent), (4, parent)]
    assert all(each["pid"] != each["ns_pid"] and isinstance(each["ns_pid"], int) for each in shells)
    assert all(1 < int(str(each["ns_pid"])) < 20 for each in shells)


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_attach(inside: tuple[subprocess.Popen[bytes], int], tracer: str, tmp_path: Path) -> None:
    outside, pid = inside
    trace = tmp_path / "trace"
    words = [*SYSTRACE, "attach", str(pid), "--tracer", tracer, "--save", str(trace)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as attach:
        assert attach.stderr is not None
        said = b""
        while b"; Ctrl-C ends it" not in said:
            said += attach.stderr.readline()
        assert b"process %d is 1 in its PID namespace (a container)" % pid in said
        assert outside.stdin is not None
        outside.stdin.write(b"go\n")
        outside.stdin.close()
        attach.communicate(timeout=60)
    processes = judged(trace)
    first = next(each for each in processes if each["pid"] == pid)
    assert first["ns_pid"] == 1
    check([each for each in processes if each["command"] == "sh"], pid)
    assert len(processes) == len({each["pid"] for each in processes}) == 5  # it, two shells, two of `true`


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_run(tracer: str, tmp_path: Path) -> None:
    """A job that makes a namespace itself; `--live` says both numbers."""
    trace, live = tmp_path / "trace", tmp_path / "live"
    words = [*SYSTRACE, "run", "--tracer", tracer, "--save", str(trace), "--live", str(live), "--", *UNSHARE]
    subprocess.run([*words, sys.executable, "-c", JOB], input=b"go\n", capture_output=True, check=True)
    processes = judged(trace)
    shells = [each for each in processes if str(each["argv"]).startswith("['/bin/sh'")]
    parent = shells[0]["parent"]
    assert isinstance(parent, int)
    check(shells, parent)
    for each in shells:
        assert f"starts process {each['pid']} ({each['ns_pid']} in its PID namespace)" in live.read_text()


def test_passive_says_both(inside: tuple[subprocess.Popen[bytes], int]) -> None:
    _outside, pid = inside
    done = subprocess.run([*SYSTRACE, "attach", str(pid), "--passive"], capture_output=True, check=False, text=True)
    assert f"process {pid} is 1 in its PID namespace" in done.stderr
    assert f"[{pid}]" in done.stdout


def test_here_nothing_is_said() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        while Path(f"/proc/{process.pid}/syscall").read_text().split()[0] == "running":
            select.select([], [], [], 0.01)
        words = [*SYSTRACE, "attach", str(process.pid), "--passive"]
        done = subprocess.run(words, capture_output=True, check=False, text=True)
        process.kill()
    assert "namespace" not in done.stderr
