"""A short run of `scripts/stress_tracers` under every tracer, and that it would find what is lost."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from systrace.tracers import TRACERS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "stress_tracers"
SECONDS = 12
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the job looks into registers of x86-64"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
]
LOSSES = {  # what to take out of a recording -> what is said of it
    "a connect": (rb"(?m)^.* connect\(.* = 0 <.*\n", rb"\d+ connections, \d+ are recorded"),
    "an answer": (rb'"R[0-9a-f]{16}', rb"connection [0-9a-f]{16}: \{"),
    "an end": (rb"(?m)^.*\+\+\+ exited with [1-9]\d* \+\+\+\n", rb"the end of process \d+, status \d+"),
    "a beginning": (rb"(?m)^.*<unfinished \.\.\.>\n", rb"resumed calls without a beginning"),
}


def script() -> ModuleType:
    """The script as a module."""
    loader = importlib.machinery.SourceFileLoader("stress_tracers", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def stress(folder: Path, tracer: str, seconds: int) -> subprocess.CompletedProcess[str]:
    """Run it."""
    why = TRACERS[tracer].unavailable()
    if why:
        pytest.skip(f"{tracer}: {why}")
    words = [
        "nice",
        "-n",
        "19",
        sys.executable,
        str(SCRIPT),
        "--tracer",
        tracer,
        "--seconds",
        str(seconds),
        "--keep",
        str(folder),
    ]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("tracer", TRACERS)
def test_nothing_is_lost_and_nothing_is_changed(tracer: str, tmp_path: Path) -> None:
    """Thousands of connections, hundreds of processes."""
    done = stress(tmp_path, tracer, SECONDS)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "all well" in done.stdout


def test_a_loss_is_found(tmp_path: Path) -> None:
    """One line of each kind taken out of a recording that was whole."""
    assert stress(tmp_path, "embedded", 1).returncode == 0
    module, log, whole = script(), tmp_path / "embedded.log", (tmp_path / "embedded.strace").read_bytes()
    assert module.check(tmp_path / "embedded.strace", log, {}) == []
    for name, (pattern, words) in LOSSES.items():
        damaged = tmp_path / "damaged"
        damaged.write_bytes(re.sub(pattern, b"", whole, count=1))
        assert damaged.stat().st_size < len(whole), name
        assert any(re.search(words.decode(), each) for each in module.check(damaged, log, {})), name


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        ("mov [rcx+80], r13", "mov [rcx+80], r14"),  # a register that comes back as another
        ("give(fd, text, 18);", "text[5] ^= 1; give(fd, text, 18);"),  # a byte of an answer
        ("_exit(5);", "_exit(6);"),  # a status
    ],
)
def test_a_change_is_found_by_the_job(call: str, instead: str, tmp_path: Path) -> None:
    """It ends at once, and not well."""
    source = (SCRIPT.parent / "stress" / "job.c").read_text()
    assert call in source
    (tmp_path / "job.c").write_text(source.replace(call, instead, 1))
    subprocess.run(["gcc", "-pthread", "-o", tmp_path / "job", tmp_path / "job.c"], check=True)
    done = subprocess.run([tmp_path / "job", "20", "1", tmp_path / "log"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-9, "")
    assert done.stderr.startswith("stress: line ")
