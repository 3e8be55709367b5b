"""The whole way for an ordinary user: run, attach, keepalive, and what he is told of processes that are not his."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.conftest import NOBODY, User

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="becoming an ordinary user needs root"),
    pytest.mark.skipif(not shutil.which("setpriv") or not shutil.which("unshare"), reason="util-linux is missing"),
]


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_a_job_of_his_is_recorded_and_judged(user: User, closed: int, tracer: str) -> None:
    job = f"id -u; {user.python} -c 'import socket; socket.create_connection((\"127.0.0.1\", {closed}))' 2>/dev/null; exit 3"
    saved = user.home / "job.strace.gz"
    done = user.systrace("run", "--tracer", tracer, "--save", saved, "--", "sh", "-c", job)
    assert (done.returncode, done.stdout) == (3, f"{NOBODY}\n"), done.stderr
    assert f"127.0.0.1:{closed}" in done.stderr
    assert "refused" in done.stderr
    assert "incomplete" not in done.stderr
    assert (stat.S_IMODE(saved.stat().st_mode), saved.stat().st_uid) == (0o600, NOBODY)
    read = user.systrace("parse", "--format", "json", saved)
    assert json.loads(read.stdout)["verdict"]["cause"] == "connect-refused"


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_a_set_uid_program_in_his_job_runs_without_its_rights(user: User, tracer: str) -> None:
    """As under any tracer without privileges (ptrace(2), execve(2)); the job goes on."""
    program = user.home / "id"
    shutil.copy(shutil.which("id") or "", program)
    program.chmod(0o4755)  # root's
    done = user.systrace("run", "--tracer", tracer, "--", "sh", "-c", f"{program} -u; echo on")
    assert (done.returncode, done.stdout) == (0, f"{NOBODY}\non\n")


def test_what_a_process_of_his_waits_for_is_seen_without_touching_it(user: User, hung: int, server: int) -> None:
    done = user.systrace("attach", hung, "--passive")
    assert f"127.0.0.1:{server}" in done.stdout
    assert "no keepalive" in done.stdout


@pytest.mark.skipif(
    Path("/proc/sys/kernel/yama/ptrace_scope").exists()
    and Path("/proc/sys/kernel/yama/ptrace_scope").read_text() != "0\n",
    reason="Yama forbids it here",
)
@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_a_process_of_his_is_traced(user: User, hung: int, server: int, tracer: str) -> None:
    done = user.systrace("attach", hung, "--for", "0.5", "--tracer", tracer, "--format", "json")
    verdict = json.loads(done.stdout)["verdict"]
    assert (verdict["cause"], verdict["peer"]) == ("hung-read", f"127.0.0.1:{server}")


def test_keepalive_for_a_connection_of_his(user: User, hung: int) -> None:
    done = user.systrace("keepalive", hung, "--idle", "61")
    assert done.returncode == 0
    assert "keepalive off" in done.stdout
    assert "=> after 61 s" in done.stdout


@pytest.mark.parametrize(
    "words", [("attach",), ("attach", "--passive"), ("attach", "--tracer", "embedded"), ("keepalive",)]
)
def test_a_process_of_roots_is_refused_with_what_grants_it(user: User, words: tuple[str, ...]) -> None:
    with subprocess.Popen(["sleep", "60"]) as target:
        done = user.systrace(*words, target.pid)
        target.kill()
    said = done.stdout + done.stderr
    assert "belongs to user root: run as that user (sudo -u root" in " ".join(said.split())
    assert f"sudo systrace {words[0]} {target.pid}" in " ".join(said.split())
    assert done.returncode == 2
    assert ("systrace: not looked at: " in done.stderr) == ("--passive" in words)
    assert (f"process {target.pid}" in done.stdout) == ("--passive" in words)  # the little that may be seen


def test_doctor_tells_him_what_he_may_not(user: User) -> None:
    done = user.systrace("doctor")
    assert done.returncode in (0, 1)
    assert "CAP_SYS_PTRACE" in done.stdout
