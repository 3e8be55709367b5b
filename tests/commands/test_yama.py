"""Under Yama (Ubuntu, Debian): who may trace what, what is said where it is refused, and that `run` works.

Few kernels of test machines have it; scripts/arm64 boots one that has.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.conftest import User

SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
SYSTRACE = [sys.executable, "-m", "systrace"]
TRACERS = ["strace", "embedded"]
ONLY_A_PARENT = (
    "kernel.yama.ptrace_scope is 1, so only a parent may trace: sudo systrace {command} {pid}, "
    "or until the next boot: sudo sysctl kernel.yama.ptrace_scope=0"
)
ONLY_ROOT = "kernel.yama.ptrace_scope is 2, so only root may trace: sudo systrace {command} {pid}"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not SCOPE.exists(), reason="this kernel has no Yama"),
    pytest.mark.skipif(os.geteuid() != 0, reason="setting Yama's scope needs root"),
    pytest.mark.skipif(not shutil.which("setpriv") or not shutil.which("unshare"), reason="util-linux is missing"),
]
Scope = Callable[[int], None]


@pytest.fixture
def scope() -> Iterator[Scope]:
    """Set kernel.yama.ptrace_scope for one test."""
    before = SCOPE.read_text()

    def set_to(number: int) -> None:
        try:
            SCOPE.write_text(str(number))
        except OSError as error:  # 3 stays; a container may not write
            pytest.skip(f"Yama's scope cannot be set: {error.strerror}")

    yield set_to
    if SCOPE.read_text() != before:
        SCOPE.write_text(before)


def words_of(done: subprocess.CompletedProcess[str]) -> str:
    """All that was said, in one line; shown when the test fails (or with -s)."""
    sys.stdout.write(f"[{done.returncode}] {done.stdout}{done.stderr}")
    return " ".join(f"{done.stdout} {done.stderr}".split())


def test_without_restriction_his_own_process_is_traced(user: User, hung: int, scope: Scope) -> None:
    scope(0)
    for tracer in TRACERS:
        done = user.systrace("attach", hung, "--for", "0.5", "--tracer", tracer)
        assert done.returncode == 1, words_of(done)
        assert "cannot trace" not in words_of(done)


@pytest.mark.parametrize(("number", "reason"), [(1, ONLY_A_PARENT), (2, ONLY_ROOT)])
@pytest.mark.parametrize("tracer", TRACERS)
def test_his_own_process_that_is_no_child_is_refused_with_what_grants_it(
    user: User, hung: int, scope: Scope, number: int, reason: str, tracer: str
) -> None:
    scope(number)
    done = user.systrace("attach", hung, "--tracer", tracer)
    said = words_of(done)
    assert done.returncode == 2
    assert done.stdout == ""
    first, last = done.stderr.splitlines()
    assert first.startswith("systrace: python3")
    assert "sleeps in wait_woken: TCP or a terminal: what it waits for may not be read" in first
    why = reason.format(command="attach", pid=hung)
    assert last.startswith(f"systrace: cannot trace: process {hung} (python3"), said
    assert last.endswith(f"): {why}; --passive tells the little that may be seen without that")


@pytest.mark.parametrize(("number", "reason"), [(1, ONLY_A_PARENT), (2, ONLY_ROOT)])
def test_what_may_be_seen_is_still_shown(
    user: User, hung: int, server: int, scope: Scope, number: int, reason: str
) -> None:
    """Descriptors, kernel functions and the tables of sockets are no secret of one's own processes."""
    scope(number)
    done = user.systrace("attach", hung, "--passive")
    said = words_of(done)
    assert done.returncode == 0
    assert done.stdout.startswith("NOT CLEAR: ")
    assert "sleeps in wait_woken: TCP or a terminal: what it waits for may not be read" in said
    assert reason.format(command="attach", pid=hung) in said
    assert f" to 127.0.0.1:{server} (silent for " in said


@pytest.mark.parametrize(("number", "reason"), [(1, ONLY_A_PARENT), (2, ONLY_ROOT)])
def test_keepalive_is_refused_in_the_same_words(user: User, hung: int, scope: Scope, number: int, reason: str) -> None:
    scope(number)
    done = user.systrace("keepalive", hung)
    said = words_of(done)
    assert done.returncode == 2
    assert reason.format(command="keepalive", pid=hung) in said


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_job_of_his_runs_and_is_judged_under_scope_1(user: User, scope: Scope, tracer: str) -> None:
    """strace traces its own parent there, and has to be let."""
    scope(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        job = f'{user.python} -c "{code}" 2>/dev/null; echo on; exit 3'
        done = user.systrace("run", "--tracer", tracer, "--", "sh", "-c", job)
    said = words_of(done)
    assert (done.returncode, done.stdout) == (3, "on\n"), said
    assert f"127.0.0.1:{port}" in said
    assert "incomplete" not in said


@pytest.mark.parametrize("tracer", TRACERS)
def test_keepalive_of_a_job_of_his_under_scope_1(user: User, server: int, scope: Scope, tracer: str) -> None:
    """systrace is an ancestor of the job, so it may reach its sockets."""
    scope(1)
    code = (
        "import socket, time\n"
        f"s = socket.create_connection(('127.0.0.1', {server}))\n"
        "end = time.monotonic() + 60\n"
        "while not s.getsockopt(1, 9) and time.monotonic() < end: time.sleep(0.1)\n"
        "print(s.getsockopt(1, 9), s.getsockopt(6, 4))\n"
    )
    done = user.systrace("run", "--tracer", tracer, "--keepalive", "61,16,5", "--", user.python, "-c", code)
    assert done.stdout == "1 61\n", words_of(done)


@pytest.mark.parametrize("tracer", TRACERS)
def test_scope_2_forbids_an_ordinary_users_job_to_be_traced(user: User, scope: Scope, tracer: str) -> None:
    scope(2)
    done = user.systrace("run", "--tracer", tracer, "--", "touch", user.home / "ran")
    said = words_of(done)
    assert done.returncode == 2
    assert "kernel.yama.ptrace_scope is 2" in said
    assert "sudo" in said
    assert not (user.home / "ran").exists()


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("number", [1, 2])
def test_root_may(hung: int, scope: Scope, number: int, tracer: str) -> None:
    scope(number)
    words = [*SYSTRACE, "attach", str(hung), "--for", "0.5", "--tracer", tracer]
    done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=120)
    assert done.returncode == 1, words_of(done)
    assert "recvfrom" in done.stderr


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (1, "run works; attach to a process already running is refused"),
        (2, "only root may trace"),
    ],
)
def test_doctor_says_it(user: User, scope: Scope, number: int, says: str) -> None:
    scope(number)
    said = words_of(user.systrace("doctor"))
    assert f"kernel.yama.ptrace_scope {number}" in said
    assert says in said


@pytest.mark.spoils
@pytest.mark.skipif(not os.environ.get("SYSTRACE_DISPOSABLE"), reason="scope 3 stays until the next boot")
def test_scope_3_forbids_it_to_root_too(user: User, hung: int) -> None:
    SCOPE.write_text("3")
    everybody = "kernel.yama.ptrace_scope is 3"
    for tracer in TRACERS:
        for words in (["attach", str(hung)], ["run", "--", "true"]):
            command = [*SYSTRACE, words[0], "--tracer", tracer, *words[1:]]
            done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=120)
            said = words_of(done)
            assert done.returncode == 2, (tracer, words)
            assert everybody in said, (tracer, words)
            assert "until the next boot" in said, (tracer, words)
            assert "sudo" not in said, (tracer, words)  # it would not help
    his = words_of(user.systrace("attach", hung))
    assert everybody in his
    assert "sudo" not in his
    passive = subprocess.run([*SYSTRACE, "attach", str(hung), "--passive"], capture_output=True, check=False, text=True)
    assert passive.returncode == 0, words_of(passive)
    assert everybody in words_of(passive)
    doctor = subprocess.run([*SYSTRACE, "doctor"], capture_output=True, check=False, text=True)
    assert doctor.returncode == 1, words_of(doctor)
    assert "no process can be traced until the next boot" in words_of(doctor)
