"""Where nobody may be traced (containers, hardened kernels) the job runs, exactly once, and one line says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.calls.numbers import name_of
from systrace.tracers.waiting import tracer_of
from tests.commands.conftest import User
from tests.commands.jobs import SYSTRACE, WITHOUT_EBPF, parsed, unharmed

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]
REFUSING = [sys.executable, str(Path(__file__).with_name("refusing.py"))]
NUMBERS = {name_of(number, os.uname().machine): str(number) for number in range(460)}
TIMES = 12  # in a row: what is left to chance would show


def refused(call: str, *options: str | Path, log: Path) -> subprocess.CompletedProcess[bytes]:
    """`run` where the kernel refuses a call."""
    job = ["--", "sh", "-c", f"echo begin >> {log}; echo out; echo err >&2; echo end >> {log}; exit 7"]
    words = [*WITHOUT_EBPF, *REFUSING, NUMBERS[call], *SYSTRACE, "run", *options, *job]
    return subprocess.run(words, capture_output=True, check=False, timeout=100)


@pytest.mark.parametrize("tracer", [[], ["--tracer", "strace"], ["--tracer", "embedded"]], ids=" ".join)
def test_ptrace_is_refused(tracer: list[str], tmp_path: Path) -> None:
    for turn in range(TIMES if not tracer else 3):
        log = tmp_path / f"log{turn}"
        done = refused("ptrace", *tracer, log=log)
        said = unharmed(done, out=b"out\n")
        assert said[-1].endswith(": the job runs without being traced")
        assert "SYS_PTRACE" in said[-1]
        assert len(said) <= 2, said
        assert log.read_text() == "begin\nend\n"


def test_ptrace_is_refused_and_nothing_else_was_wanted(tmp_path: Path) -> None:
    done = refused("ptrace", "--strict", log=tmp_path / "log")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert not (tmp_path / "log").exists()


def test_what_was_to_be_saved_is_not_left_half(tmp_path: Path) -> None:
    done = refused("ptrace", "--save", tmp_path / "t.gz", "--report", tmp_path / "r", log=tmp_path / "log")
    unharmed(done, out=b"out\n")
    assert {path.name for path in tmp_path.iterdir()} == {"log"}


@pytest.mark.parametrize("call", ["seccomp", "pidfd_open", "pidfd_send_signal", "splice", "sched_setscheduler"])
@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_other_calls_that_a_container_may_refuse(call: str, tracer: str, tmp_path: Path) -> None:
    """Something may be slower, or said: it is recorded, or it runs unrecorded, in no case twice or not at all."""
    log = tmp_path / "log"
    done = refused(call, "--tracer", tracer, "--save", tmp_path / "t.gz", log=log)
    unharmed(done, out=b"out\n")
    assert log.read_text() == "begin\nend\n"
    if (tmp_path / "t.gz").exists():
        assert '"exit_code":7' in parsed(tmp_path / "t.gz")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="a second user needs root and util-linux")
def test_an_ordinary_user_where_ptrace_is_refused(user: User) -> None:
    """The filter is put in place by him, and his systrace has no rights at all."""
    log = user.home / "log"
    words = [user.python, Path(__file__).with_name("refusing.py").read_text(), NUMBERS["ptrace"]]
    script = user.home / "refusing.py"
    script.write_text(str(words[1]))
    script.chmod(0o644)
    process = user.start(
        user.python, script, NUMBERS["ptrace"], user.python, "-m", "systrace", "run", "--",
        "sh", "-c", f"echo begin >> {log}; echo out; exit 7",
    )  # fmt: skip
    out, err = process.communicate(timeout=90)
    assert (process.returncode, out) == (7, "out\n"), err
    assert "the job runs without being traced" in err
    assert log.read_text() == "begin\n"
