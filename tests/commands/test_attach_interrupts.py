"""`systrace attach` ends no job: where its coming fails a call that the program may not repeat, it does not come."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from systrace.calls.numbers import name_of
from systrace.tracers.waiting import tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="the tests are being traced themselves"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing"),
]
CALLS = {
    "epoll": ("epoll_wait", "epoll_pwait"),
    "epoll-loop": ("epoll_wait", "epoll_pwait"),
    "rcvtimeo": ("recvfrom",),
    "sigtimedwait": ("rt_sigtimedwait",),
    "semop": ("semop", "semtimedop"),
}
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """interrupted.c."""
    made = tmp_path_factory.mktemp("interrupted") / "interrupted"
    subprocess.run(["gcc", "-o", made, Path(__file__).with_name("interrupted.c")], check=True)
    return made


@pytest.fixture
def start(program: Path) -> Iterator[Start]:
    """Start it with its words; it is blocked then."""
    started: list[subprocess.Popen[str]] = []

    def blocked(kind: str, *signals: str) -> subprocess.Popen[str]:
        command = [str(program), kind, *signals]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        while call_of(process.pid) not in CALLS[kind]:
            assert process.poll() is None
            time.sleep(0.01)
        return process

    yield blocked
    for process in started:
        process.kill()
        out, _err = process.communicate()
        if "semop" in out:
            subprocess.run(["ipcrm", "-s", out.split()[-1]], check=False, stderr=subprocess.DEVNULL)


def call_of(pid: int) -> str:
    """What it is blocked in."""
    word = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    return name_of(int(word), os.uname().machine) if word.isdigit() else ""


def attach(*words: object) -> subprocess.CompletedProcess[str]:
    """For a moment, as JSON."""
    command = [sys.executable, "-m", "systrace", "attach", "--for", "0.3", "--format", "json", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("kind", ["epoll", "rcvtimeo", "sigtimedwait", "semop"])
def test_it_is_not_traced_and_the_look_is_the_report(start: Start, tmp_path: Path, kind: str) -> None:
    process, saved = start(kind), tmp_path / "saved"
    done = attach(process.pid, "--save", saved)
    report = json.loads(done.stdout)
    passive = json.loads(attach(process.pid, "--passive").stdout)
    assert report["verdict"]["outcome"] == passive["verdict"]["outcome"]
    assert report["findings"][0]["variant"] == passive["findings"][0]["variant"]
    assert done.returncode == 0
    (why,) = [line for line in done.stderr.splitlines() if "EINTR" in line]
    assert why.startswith(f"systrace: not traced: interrupted[{process.pid}]: {call_of(process.pid)}")
    assert why.endswith("; --force traces all the same")
    assert f"nothing was traced: {saved} is not written" in done.stderr
    assert not saved.exists()
    assert process.poll() is None


@pytest.mark.parametrize("handled", ["ALRM", "TERM"])
def test_a_handler_that_ends_the_wait_is_no_proof(start: Start, handled: str) -> None:
    """alarm(2) as the limit of semop, SIGTERM to stop: there EINTR is the reason to give up."""
    process = start("semop", handled)
    assert "not traced: " in attach(process.pid).stderr
    assert process.poll() is None


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_a_program_that_goes_on_after_its_handler_is_traced(start: Start, tracer: str) -> None:
    process = start("epoll-loop", "CHLD")
    done = attach(process.pid, "--tracer", tracer)
    assert (
        "will fail with EINTR (it is never restarted); its handler of SIGCHLD interrupts it likewise\n" in done.stderr
    )
    assert "tracing 1 process" in done.stderr
    assert "being attached to" not in done.stdout
    assert process.poll() is None


def test_python_repeats_its_calls() -> None:
    source = "import select\ne = select.epoll()\nprint(flush=True)\ne.poll()"
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while call_of(process.pid) not in CALLS["epoll"]:
            time.sleep(0.01)
        done = attach(process.pid)
        assert "; Python repeats it\n" in done.stderr
        assert "tracing 1 process" in done.stderr
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
@pytest.mark.parametrize("kind", ["epoll", "semop"])
def test_forced_to_it_says_whose_doing_the_end_was(start: Start, kind: str, tracer: str) -> None:
    process = start(kind)
    call = call_of(process.pid)
    done = attach(process.pid, "--force", "--tracer", tracer)
    verdict = json.loads(done.stdout)["verdict"]
    assert process.wait(10) == 3
    assert verdict["outcome"] == "inconclusive"
    assert (
        f"ended with exit status 3 as soon as the tracer's coming had ended its {call} with EINTR"
        in verdict["headline"]
    )
    assert f"interrupted[{process.pid}] blocked" in verdict["headline"]  # what it had waited for


def test_of_several_the_others_are_traced(start: Start) -> None:
    first, second = start("semop"), start("epoll-loop", "CHLD")
    done = attach(first.pid, second.pid)
    assert f"not traced: interrupted[{first.pid}]" in done.stderr
    assert "tracing 1 process" in done.stderr
    assert (first.poll(), second.poll()) == (None, None)
