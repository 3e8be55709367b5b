from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from systrace.calls import LIVES
from systrace.capture.recording import Recording
from systrace.capture.spool import Spool
from systrace.errors import CaptureError, UsageError
from systrace.outputs import place
from systrace.tracers import TRACERS, Described, Request, Tracer
from systrace.tracers.strace import Strace, StraceAttach, options, version
from systrace.tracers.waiting import tracer_of
from tests.tracers.successor import whoever

WANTED = Request(output=Path("x"), syscalls=frozenset({"connect", "read"}), string_limit=777)


@pytest.mark.parametrize(
    ("installed", "has", "has_not"),
    [
        ((4, 8), ["-f", "-y", "-ttt", "-T", "trace=network,desc,process"], ["--seccomp-bpf", "?"]),
        ((4, 17), ["-ttt", "?connect", "?execve"], ["--seccomp-bpf", "--syscall-times"]),
        ((5, 2), ["-ttt"], ["--seccomp-bpf"]),
        ((5, 3), ["-ttt", "--seccomp-bpf"], ["--absolute"]),
        ((5, 6), ["--absolute-timestamps=format:unix,precision:ns", "--syscall-times=ns"], ["-ttt", "-T "]),
        ((6, 1), ["--seccomp-bpf", "-s 777", "-y"], ["-yy", "--always-show-pid", "-qq"]),
        ((6, 9), ["--always-show-pid"], ["--color"]),
        ((7, 2), ["--always-show-pid", "--color=never"], ["-yy"]),
    ],
)
def test_options_follow_the_version(installed: tuple[int, int], has: list[str], has_not: list[str]) -> None:
    text = " ".join(options(installed, WANTED))
    assert all(word in text for word in has)
    assert not any(word in text for word in has_not)


def test_no_filter_where_it_cannot_work() -> None:
    assert "--seccomp-bpf" not in options((6, 1), WANTED, attach=True)
    everything = options((6, 1), Request(output=Path("x")))
    assert "--seccomp-bpf" not in everything
    assert "-e" not in everything


def test_what_tells_processes_apart_is_always_recorded() -> None:
    listed = options((6, 1), WANTED)[-1]
    assert all(f"?{name}" in listed for name in LIVES)


@pytest.mark.real
def test_the_installed_strace_takes_the_options(tmp_path: Path) -> None:
    words = options(version("strace"), WANTED)
    done = subprocess.run(["strace", *words, "-o", tmp_path / "t", "true"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_it_is_registered_and_describes_itself() -> None:
    tracer: Tracer = TRACERS["strace"]
    assert tracer.unavailable() is None
    assert isinstance(tracer, Described)
    facts = json.loads(json.dumps(tracer.describe(WANTED)))
    assert re.fullmatch(r"\d+\.\d+", facts["strace_version"])
    assert "777" in facts["strace_options"]


def test_missing_strace_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in (Strace().unavailable() or "")


def test_old_strace_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "strace"
    program.write_text("#!/bin/sh\necho 'strace -- version 4.5.20'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "4.5" in (Strace().unavailable() or "")


@pytest.mark.real
@pytest.mark.parametrize("seccomp", [True, False])
def test_the_recording_is_the_jobs_alone(start: Callable[..., Any], seccomp: bool) -> None:
    done = start(["/bin/sh", "-c", "exit 3"], seccomp=seccomp, argv0="myname").finish()
    assert done.status == 3
    lines = [line for line in done.text.splitlines() if not line.startswith("#")]
    assert re.match(r'\d+ +\d+\.\d{9} execve\("/bin/sh", \["myname", "-c", "exit 3"\]', lines[0])
    assert "launch.py" not in done.text
    assert lines[-1].endswith("+++ exited with 3 +++")
    assert done.spooled.ended
    assert done.fault is None


@pytest.mark.real
def test_death_by_signal_is_128_and_the_number(start: Callable[..., Any]) -> None:
    assert start(["/bin/sh", "-c", "kill -9 $$"]).finish().status == 137


@pytest.mark.real
def test_signals_reach_the_job(start: Callable[..., Any], python: list[str], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    code = f"import signal; open({str(ready)!r}, 'w').close(); signal.pause()"
    going = start([*python, code])
    ready.open("rb").close()
    going.capture.signal(signal.SIGTERM)
    assert going.finish().status == 128 + signal.SIGTERM


def _state(python: list[str]) -> list[str]:
    code = (
        "import os, json; s = dict(l.split(':', 1) for l in open('/proc/self/status') if l[:3] == 'Sig' and l[:4] != 'SigQ');"
        "print(json.dumps([s, sorted(os.listdir('/proc/self/fd')), os.getcwd(), os.getpgrp(), os.getsid(0),"
        "os.umask(0o22),"
        "open('/proc/self/environ').read(), os.getppid()]), flush=True)"
    )
    return [*python, code]


_HARNESS = """
import sys, os, json
from pathlib import Path
from typing import Any
from systrace.tracers import Request
from systrace.tracers.strace import Strace
from systrace.capture.spool import Spool
from systrace.capture.recording import Recording
recording = Recording.create(None, {})
spool = Spool(recording.fifo, recording.descriptor, None, recording.directory)
with Strace().run(sys.argv[1:], Request(output=recording.fifo, syscalls=frozenset(["read"]))) as capture:
    status = capture.wait()
spool.finish()
recording.close()
sys.exit(status)
"""


@pytest.mark.real
def test_the_job_is_started_as_if_we_were_not_there(python: list[str], tmp_path: Path) -> None:
    """Descriptors, signals, environment to the byte, directory, group, session, mask: as without systrace."""
    environment = {"A": "1", "b.c": "odd", "LC_ALL": "C", "PATH": os.environ["PATH"], "E": ""}
    reader, writer = os.pipe()
    locked = (tmp_path / "lock").open("w")
    with locked:
        os.dup2(locked.fileno(), 30, inheritable=True)
        results = []
        for command in (_state(python), [sys.executable, "-c", _HARNESS, *_state(python)]):
            done = subprocess.run(
                command,
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=writer,
                stdin=reader,
                pass_fds=(30,),
                start_new_session=False,
                umask=0o077,
                check=True,
            )
            results.append(json.loads(done.stdout))
        os.close(30)
    os.close(reader)
    os.close(writer)
    bare, traced = results
    assert bare[-1] == os.getpid()
    assert traced[:-1] == bare[:-1]


_OPENS = """
import fcntl, os, resource, subprocess, sys
first, last, soft = map(int, sys.argv[1:4])
for number in range(first, last):
    file = os.open(sys.argv[4], os.O_RDWR | os.O_CREAT)
    os.lseek(file, number, 0)
    if file != number:
        os.dup2(file, number)
        os.close(file)
    os.set_inheritable(number, True)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.execv(sys.argv[5], sys.argv[5:])
"""
_POSITIONS = "import os\nprint([os.lseek(n, 0, 1) for n in range(int(os.sys.argv[1]), int(os.sys.argv[2]))])"


@pytest.mark.real
@pytest.mark.parametrize(
    ("first", "last", "soft"),
    [(10, 259, 1024), (10, 260, 1024), (10, 1010, 1024), (1000, 1024, 1024), (60, 70, 64), (10, 2600, 4096)],
    ids=["one message", "one more", "nearly all of the limit", "to the limit", "above the limit", "many messages"],
)
def test_however_many_descriptors_the_job_gets_them_all(tmp_path: Path, first: int, last: int, soft: int) -> None:
    """Each under its own number: a file's position tells which it was."""
    opens = [sys.executable, "-I", "-c", _OPENS, str(first), str(last), str(soft), str(tmp_path / "f"), sys.executable]
    job = [sys.executable, "-I", "-c", _POSITIONS, str(first), str(last)]
    done = subprocess.run([*opens, "-c", _HARNESS, *job], capture_output=True, timeout=60, check=False, text=True)
    assert done.stdout == f"{list(range(first, last))}\n", done.stderr


@pytest.mark.real
def test_descriptors_that_cannot_be_had_are_no_job_without_them(tmp_path: Path) -> None:
    """Above the hard limit nobody can place them: better no job than one that lacks its lock or its log."""
    opens = _OPENS.replace("resource.getrlimit(resource.RLIMIT_NOFILE)[1]))", "soft))")
    words = [sys.executable, "-I", "-c", opens, "60", "70", "64", str(tmp_path / "f"), sys.executable, "-c", _HARNESS]
    done = subprocess.run([*words, "touch", str(tmp_path / "ran")], capture_output=True, timeout=60, check=False)
    assert b"open descriptors: Bad file descriptor (see ulimit -n)" in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.real
def test_strace_keeps_no_descriptor_of_the_job(tmp_path: Path, python: list[str]) -> None:
    """A daemon that closes its own is enough: `| cat` ends with the job, although strace stays with the daemon."""
    pid_file = tmp_path / "pid"
    code = (
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid(); [os.close(n) for n in (0, 1, 2)]\n"
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", _HARNESS, *python, code],
        capture_output=True,
        timeout=30,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert (done.stdout, done.stderr) == (b"", b"")
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.mark.real
def test_what_cannot_be_executed_is_a_usage_error(start: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        start([str(tmp_path / "nothing")])
    with pytest.raises(UsageError, match="Permission denied"):
        start([str(tmp_path)])


@pytest.mark.real
def test_more_arguments_than_the_kernel_takes(start: Callable[..., Any]) -> None:
    """strace's own words come on top of the job's: that is no verdict on the job, which may still be started without."""
    with pytest.raises(CaptureError, match="strace cannot be started: Argument list too long"):
        start(["/bin/true", *["x" * 100_000] * 100])


@pytest.mark.real
def test_a_script_without_interpreter_line_runs_as_in_a_shell(start: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "job"
    script.write_text("exit $1\n")
    script.chmod(0o755)
    assert start([str(script), "7"]).finish().status == 7


@pytest.mark.real
def test_a_traced_systrace_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        ["strace", "-f", "-o", tmp_path / "outer", sys.executable, "-c", _HARNESS, "true"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"CaptureError: systrace is itself being traced" in done.stderr


@contextmanager
def _attached(pids: list[int], path: Path) -> Iterator[tuple[StraceAttach, Recording, Spool]]:
    recording = Recording.create(place(path), {})
    spool = Spool(recording.fifo, recording.descriptor, None, recording.directory)
    try:
        request = Request(output=recording.fifo, syscalls=frozenset({"read", "write"}))
        with Strace().attach([whoever(pid) for pid in pids], request) as capture:
            yield capture, recording, spool
    finally:
        spool.close()
        recording.close()


@pytest.mark.real
def test_attach_and_let_go(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    path = tmp_path / "t"
    with _attached([sleeper.pid], path) as (capture, recording, spool):
        assert tracer_of(sleeper.pid) == capture.tracer_pid
        assert capture.wait(0.01) is None
        assert sleeper.stdin is not None
        sleeper.stdin.write(b"hello\n")
        sleeper.stdin.flush()
        while b"hello" not in recording.path.read_bytes():
            assert capture.wait(0.02) is None
        capture.stop()
        assert spool.finish().ended
        assert capture.fault() is None
    assert tracer_of(sleeper.pid) == 0
    assert sleeper.poll() is None


@pytest.mark.real
def test_the_attached_process_ends(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with _attached([sleeper.pid], tmp_path / "t") as (capture, recording, spool):
        sleeper.kill()
        assert capture.wait(20) == 0
        assert spool.finish().ended
        assert "+++ killed by SIGKILL +++" in recording.path.read_text()


@pytest.mark.real
def test_attach_refusals_say_why(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with (
        _attached([sleeper.pid], tmp_path / "t"),
        pytest.raises(CaptureError, match=r"process \d+ \(strace\) traces it"),
        _attached([sleeper.pid], tmp_path / "u"),
    ):
        pass
    with pytest.raises(CaptureError, match="there is no process 4194303"), _attached([4194303], tmp_path / "v"):
        pass


@pytest.mark.real
def test_a_killed_strace_lets_the_attached_process_go(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with _attached([sleeper.pid], tmp_path / "t") as (capture, _recording, spool):
        os.kill(capture.tracer_pid, signal.SIGKILL)
        assert capture.wait(20) == 0
        assert spool.finish().ended
        assert "was killed" in (capture.fault() or "")
    assert sleeper.poll() is None
