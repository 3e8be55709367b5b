"""Whoever kills the tracer kills nobody else: the guard takes the job over, all of it, in time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from systrace.calls import MAKERS
from systrace.capture import guard
from systrace.capture.guard import alive, held_back, tracer_lives
from systrace.capture.recording import Recording
from systrace.capture.spool import Spool
from systrace.outputs import place
from systrace.tracers import TRACERS, Capture, Request, embedded
from systrace.tracers.heir import permitted
from systrace.tracers.waiting import pidfd, status_field, tracer_of

CALLS = MAKERS | frozenset(
    "socket connect read write close openat pipe2 dup2 wait4 sendto recvfrom poll execve clone".split()
)
PTRACE_SYSCALL, TRACESYSGOOD = 24, 1  # linux/ptrace.h
needs_rights = pytest.mark.skipif(not permitted(), reason="kernel.yama.ptrace_scope lets nobody take a job over")
here = pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children")


@dataclass
class Guarded:
    """A job under a tracer, with a guard."""

    capture: Capture
    spool: Spool
    recording: Recording

    def kill_tracer(self) -> None:
        """And wait until somebody else has the job."""
        os.kill(self.capture.tracer_pid, signal.SIGKILL)
        while tracer_of(self.capture.pid) in (0, self.capture.tracer_pid) and alive(self.capture.pid):
            pass


@contextlib.contextmanager
def guarded(name: str, command: list[str], directory: Path) -> Iterator[Guarded]:
    """As `run` starts it."""
    reason = TRACERS[name].unavailable()
    if reason:
        pytest.skip(reason)
    recording = Recording.create(place(directory / "t.strace"), {"command": command})
    spool = Spool(recording.fifo, recording.descriptor, None, recording.directory)
    try:
        request = Request(output=recording.fifo, syscalls=CALLS, heir=spool.heir)
        with TRACERS[name].run(command, request) as capture:
            spool.opened()
            yield Guarded(capture, spool, recording)
    finally:
        spool.close()
        recording.close()


def fifos(directory: Path, *names: str) -> list[Path]:
    made = [directory / name for name in names]
    for path in made:
        os.mkfifo(path)
    return made


BUSY = """
import os, sys, threading
results = []
def work():
    for _ in range(2000):
        reader, writer = os.pipe()
        os.write(writer, b"x")
        results.append(os.read(reader, 1) == b"x")
        os.close(reader)
        os.close(writer)
pid = os.fork()
workers = [threading.Thread(target=work) for _ in range(3)]
for each in workers: each.start()
if pid == 0:
    for each in workers: each.join()
    os._exit(len(results) != 6000 or not all(results))
print("busy", flush=True)
for each in workers: each.join()
if os.fork() == 0:
    os.execv("/bin/sh", ["sh", "-c", "read line < /etc/passwd && test -n \\"$line\\""])
ends = sorted(os.wait()[1] for _ in range(2))
os.write(2, repr((len(results), all(results), ends)).encode())
sys.exit(40 + (len(results) == 6000 and all(results)) + (ends == [0, 0]))
"""


@pytest.mark.real
@here
@needs_rights
@pytest.mark.parametrize("name", ["strace", "embedded"])
@pytest.mark.parametrize("turn", range(5))
def test_threads_and_children_at_work_notice_nothing(name: str, turn: int, tmp_path: Path) -> None:
    """Each of their calls depends on the tracer that dies, and none of them fails."""
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    try:
        with guarded(name, [sys.executable, "-I", "-S", "-c", BUSY], tmp_path) as job:
            os.dup2(saved, 1)
            assert os.read(reader, 5) == b"busy\n"
            job.kill_tracer()
            assert job.capture.wait(60) == 42
            assert "the recording stops there" in (job.capture.fault() or "")
            assert job.spool.heir.hear() == "the job goes on untraced"
            assert job.spool.finish().fault == ""
            job.recording.end({"exit_status": 42})
            *_lines, last = job.recording.path.read_bytes().splitlines()
            assert last.startswith(b"# systrace: ")
    finally:
        os.dup2(saved, 1)
        for each in (reader, writer, saved):
            os.close(each)


@pytest.mark.real
@here
@needs_rights
@pytest.mark.parametrize("name", ["strace", "embedded"])
@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143)])
def test_how_the_job_ends_is_known(name: str, script: str, status: int, tmp_path: Path) -> None:
    """The embedded worker was its parent; who has taken it over says how it ended."""
    ready, go = fifos(tmp_path, "ready", "go")
    job = ["/bin/sh", "-c", f"echo $$ > {ready}; read x < {go}; {script}"]
    with guarded(name, job, tmp_path) as run:
        assert int(ready.read_text()) == run.capture.pid
        run.kill_tracer()
        go.write_text("now\n")
        assert run.capture.wait(60) == status


@pytest.mark.real
@here
@needs_rights
@pytest.mark.parametrize("name", ["strace", "embedded"])
def test_signals_and_stops_go_on(name: str, tmp_path: Path) -> None:
    """The guard passes on what it stops for: a handler runs, a stopped job stays stopped until it is continued."""
    ready, seen = fifos(tmp_path, "ready", "seen")
    job = ["/bin/sh", "-c", f"trap 'echo term > {seen}; exit 5' TERM; echo $$ > {ready}; while :; do sleep 0.05; done"]
    with guarded(name, job, tmp_path) as run:
        ready.read_text()
        run.kill_tracer()
        os.kill(run.capture.pid, signal.SIGSTOP)
        while (status_field(run.capture.pid, "State") or " ")[0] not in "Tt":
            pass
        assert run.capture.wait(0.2) is None
        os.kill(run.capture.pid, signal.SIGCONT)
        run.capture.signal(signal.SIGTERM)
        assert seen.read_text() == "term\n"
        assert run.capture.wait(60) == 5


ZOMBIES = """
import ctypes, os, sys, threading, time
if os.fork() == 0: os._exit(3)
if os.fork() == 0:
    threading.Thread(target=time.sleep, args=(5,)).start()
    ctypes.CDLL(None).pthread_exit(None)
time.sleep(0.1)
with open(sys.argv[1], "w") as ready: ready.write("ready")
with open(sys.argv[2]) as go: go.read()
begun = time.monotonic()
for _ in range(100): os.close(os.open("/dev/null", os.O_RDONLY))
sys.exit(7 if time.monotonic() - begun < 5 else 8)
"""


@pytest.mark.real
@here
@needs_rights
@pytest.mark.parametrize("name", ["strace", "embedded"])
def test_the_dead_are_not_waited_for(name: str, tmp_path: Path) -> None:
    """Children that nobody has asked for cannot be taken over; those who can be do not stand still meanwhile."""
    ready, go = fifos(tmp_path, "ready", "go")
    with guarded(name, [sys.executable, "-I", "-S", "-c", ZOMBIES, str(ready), str(go)], tmp_path) as run:
        ready.read_text()
        run.kill_tracer()
        go.write_text("now\n")
        assert run.capture.wait(60) == 7
        assert run.spool.heir.hear() == "the job goes on untraced"


@pytest.mark.real
@here
@needs_rights
@pytest.mark.parametrize("name", ["strace", "embedded"])
def test_a_tracer_that_has_done_its_work_is_no_loss(name: str, tmp_path: Path) -> None:
    with guarded(name, ["/bin/sh", "-c", "exit 7"], tmp_path) as run:
        assert run.capture.wait(60) == 7
        assert run.capture.fault() is None
        assert run.spool.heir.hear() == ""


@pytest.mark.real
@here
def test_without_a_guard_the_embedded_job_is_killed_with_its_tracer(tmp_path: Path) -> None:
    """It could not go on: the filter makes its calls fail."""
    if TRACERS["embedded"].unavailable():
        pytest.skip(str(TRACERS["embedded"].unavailable()))
    with TRACERS["embedded"].run(["/bin/sleep", "1000"], Request(tmp_path / "t", CALLS)) as capture:
        os.kill(capture.tracer_pid, signal.SIGKILL)
        assert capture.wait(60) == 137
        assert "the job was killed with it" in (capture.fault() or "")


@pytest.mark.real
@here
def test_a_call_that_ends_with_its_tracer_goes_on(tmp_path: Path) -> None:
    """Its stop bears the mark of the tracer that is gone, which is no signal: passing it on is refused (EIO)."""
    reader, answer = os.pipe()
    with subprocess.Popen(["sleep", "60"]) as stranger, subprocess.Popen(["cat"], stdin=subprocess.PIPE) as job:
        watching = guard.Guard(job.pid, stranger.pid, 0, reader, answer)
        assert watching._ptrace(guard.PTRACE_SEIZE, job.pid, None, TRACESYSGOOD) == 0
        watching._ptrace(guard.PTRACE_INTERRUPT, job.pid, None, None)
        os.waitpid(job.pid, guard.WALL)
        watching._ptrace(PTRACE_SYSCALL, job.pid, None, None)
        _pid, status = os.waitpid(job.pid, guard.WALL)
        assert os.WSTOPSIG(status) == signal.SIGTRAP | guard.SYSCALL_STOP
        watching._at_stop(job.pid, os.WSTOPSIG(status), status >> 16)
        assert job.stdin is not None
        job.stdin.close()
        _pid, status = os.waitpid(job.pid, guard.WALL)
        assert os.waitstatus_to_exitcode(status) == 0
        stranger.kill()
    os.close(reader)
    os.close(answer)


# -------------------------------------------------------------------------------------------------------- who is where


def test_states() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        descriptor = pidfd(process.pid)
        assert descriptor is not None
        assert tracer_lives(descriptor)
        process.kill()
        process.wait()
        assert not tracer_lives(descriptor)
        os.close(descriptor)
    assert not alive(process.pid)
    assert alive(os.getpid())


def test_who_is_held_back_is_let_go_again() -> None:
    """Processors and priorities are what they were, whoever was allowed to change them."""
    with subprocess.Popen(["sleep", "60"]) as task, subprocess.Popen(["sleep", "60"]) as tracer:
        before = [os.sched_getaffinity(pid) for pid in (0, task.pid)]
        policy = os.sched_getscheduler(0)
        with held_back([task.pid, 4194303], tracer.pid):
            assert os.sched_getaffinity(task.pid)
        assert [os.sched_getaffinity(pid) for pid in (0, task.pid)] == before
        assert os.sched_getscheduler(0) == policy
        with held_back([], tracer.pid):
            assert os.sched_getscheduler(0) == policy
        for each in (task, tracer):
            each.kill()


# ------------------------------------------------------------------------------- killed while a call is made for us

LENT = """
import os, socket, sys
for turn in range(int(sys.argv[1])):
    pairs = [socket.socketpair() for _ in range(30)]
    for one, other in pairs:
        assert os.write(other.fileno(), b"word") == 4
        assert os.read(one.fileno(), 4) == b"word"
    for one, other in pairs:
        one.close()
        other.close()
sys.exit(7)
"""
# The worker kills itself at the COUNTth time that FUNCTION is called, before or after what it does.
SUICIDE = """
import os, signal
from systrace.tracers.embedded_worker import inject, lending, registers, requests
def deadly(real, count, after):
    calls = 0
    def call(*arguments):
        nonlocal calls
        calls += inject.lending._HEAD.unpack_from(lending._RECORD)[0] != 0
        if calls == count and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments)
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call
MODULE.FUNCTION = deadly(MODULE.FUNCTION, COUNT, AFTER)
"""


@needs_rights
@here
@pytest.mark.skipif(not guard.can_come_first(), reason="one processor, or no right to real-time scheduling")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])  # mmap, seccomp, munmap, and the next mmap
@pytest.mark.parametrize("function", ["registers.put", "inject._next_stop", "registers.put_back"])
def test_registers_are_given_back(
    function: str, count: int, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the tracer is killed in a call that it makes in the job's name, the job does not notice."""
    module, _dot, name = function.partition(".")
    kill = SUICIDE.replace("MODULE", module).replace("FUNCTION", name).replace("COUNT", str(count))
    monkeypatch.setattr(embedded, "_WORKER", kill.replace("AFTER", str(after)) + embedded._WORKER)
    command = [sys.executable, "-c", LENT, "20"]
    with guarded("embedded", command, tmp_path) as job:
        assert job.spool.heir is not None
        assert job.spool.heir.mends
        assert job.capture.wait(60) == 7
        fault = job.capture.fault()
    assert fault is not None
    assert "was killed by signal 9" in fault


AT_THE_END = """
import os, signal
from systrace.tracers.embedded_worker import requests
def look(real=requests.wait):
    if os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOWAIT).si_code in (os.CLD_EXITED, os.CLD_KILLED):
        os.kill(os.getpid(), signal.SIGKILL)
    return real()
requests.wait = look
"""


REAPED = """
import os, signal
from systrace.tracers.embedded_worker import __main__ as worker
worker.Worker._on_exit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""


@needs_rights
@here
@pytest.mark.parametrize("kill", [AT_THE_END, REAPED], ids=["seen", "reaped"])
@pytest.mark.parametrize(("ending", "status"), [("exit 7", 7), ("kill -TERM $$", 143)])
def test_the_end_that_the_tracer_did_not_report(
    ending: str, status: int, kill: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is killed when the job has ended, and before it can say so."""
    monkeypatch.setattr(embedded, "_WORKER", kill + embedded._WORKER)
    with guarded("embedded", ["/bin/sh", "-c", ending], tmp_path) as job:
        assert job.capture.wait(60) == status
        fault = job.capture.fault()
    assert fault is not None
    assert "was killed by signal 9" in fault
