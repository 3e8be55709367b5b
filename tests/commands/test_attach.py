"""`systrace attach` to really hung processes, through the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.tracers.waiting import status_field, tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="the tests are being traced themselves"),
]
SYSTRACE = [sys.executable, "-m", "systrace"]
HUNG = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
child = os.fork()
if child == 0:
    sys.stdin.buffer.read()
    os._exit(0)
print(child, flush=True)
client.recv(10)
os.wait()
"""


@pytest.fixture
def hung() -> Iterator[subprocess.Popen[bytes]]:
    """A process in recv(2) on a connection of its own, with a child that waits for standard input."""
    with subprocess.Popen([sys.executable, "-I", "-c", HUNG], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for pid in (process.pid, int(process.stdout.readline())):
            while not (status_field(pid, "State") or "").startswith("S"):
                time.sleep(0.01)
        yield process
        process.kill()


def attach(*words: object) -> subprocess.CompletedProcess[str]:
    """Run `systrace attach` to its end."""
    command = [*SYSTRACE, "attach", *map(str, words)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)


def test_passive_says_what_it_waits_for_and_touches_nothing(hung: subprocess.Popen[bytes]) -> None:
    before = Path(f"/proc/{hung.pid}/status").read_text()
    done = attach(hung.pid, "--passive")
    assert f"/proc/{hung.pid}/task/{hung.pid}/syscall" in done.stdout
    assert "\nOne look at the kernel's tables: nothing was stopped, no call was traced.\n" in done.stdout
    assert "recvfrom" in done.stdout
    assert "127.0.0.1" in done.stdout
    assert done.stderr == ""
    after = Path(f"/proc/{hung.pid}/status").read_text()
    switches = "voluntary_ctxt_switches"
    assert [line for line in before.splitlines() if switches in line] == [
        line for line in after.splitlines() if switches in line
    ]


def test_passive_as_json(hung: subprocess.Popen[bytes]) -> None:
    found = json.loads(attach(hung.pid, "--passive", "--format", "json").stdout)
    assert found["schema"] == "systrace-report/1"
    assert "recvfrom" in found["verdict"]["headline"]
    assert found["findings"][0]["evidence"]


def test_what_has_ended_is_neither_well_nor_ill() -> None:
    with subprocess.Popen(["true"]) as dead:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        found = json.loads(attach(dead.pid, "--passive", "--format", "json").stdout)
    assert found["verdict"]["outcome"] == "inconclusive"
    assert "has ended and waits for its parent" in found["verdict"]["headline"]


def test_a_stopped_process_is_not_traced_until_it_goes_on(hung: subprocess.Popen[bytes]) -> None:
    hung.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, hung.pid, os.WSTOPPED | os.WNOWAIT)
    done = attach(hung.pid, "--for", "60")
    assert done.returncode == 1
    assert "not traced: it is stopped or frozen, and makes no call until it goes on" in done.stderr
    assert done.stdout.startswith("HUNG: ")
    assert "is stopped by a signal" in done.stdout
    assert f"kill -CONT {hung.pid}" in done.stdout


def test_verdict_first_then_the_trace_with_the_snapshot_at_its_head(
    hung: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    saved, report = tmp_path / "a.strace.xz", tmp_path / "report.json"
    done = attach(hung.pid, "--for", "0.5", "--save", saved, "--report", report, "--format", "json")
    assert done.returncode in (0, 1)
    assert "recvfrom" in done.stderr.splitlines()[0]
    assert "tracing 2 processes for 0.5 s" in done.stderr
    assert "incomplete" not in done.stderr
    parsed = subprocess.run([*SYSTRACE, "parse", "--format", "json", saved], capture_output=True, check=False)
    assert parsed.stdout == report.read_bytes()
    text = subprocess.run(["xz", "-dc", saved], capture_output=True, check=True, text=True).stdout
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert f'"attached": {hung.pid}' in head[0]
    assert '"snapshot"' in head[1]
    assert "recvfrom(4" in text
    assert "read(0" in text
    assert "<detached ...>" in text
    assert saved.stat().st_mode & 0o777 == 0o600
    assert hung.poll() is None
    assert tracer_of(hung.pid) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_tracing_with_a_report(hung: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with subprocess.Popen(
        [*SYSTRACE, "attach", str(hung.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        while b"Ctrl-C ends it" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode in (0, 1)
    assert b"Read " in out
    assert err == b""
    assert tracer_of(hung.pid) == 0
    assert hung.poll() is None


def test_the_target_exits_during_attach(hung: subprocess.Popen[bytes], tmp_path: Path) -> None:
    saved = tmp_path / "t"
    with subprocess.Popen(
        [*SYSTRACE, "attach", str(hung.pid), "--save", saved], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while tracer_of(hung.pid) == 0:
            assert process.poll() is None
            time.sleep(0.01)
        hung.kill()
        process.communicate(timeout=60)
    assert process.returncode in (0, 1)
    assert "+++ killed by SIGKILL +++" in saved.read_text()


def test_a_killed_systrace_lets_the_process_go(hung: subprocess.Popen[bytes], tmp_path: Path) -> None:
    saved = tmp_path / "t"
    with subprocess.Popen(
        [*SYSTRACE, "attach", str(hung.pid), "--save", saved], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        while b"Ctrl-C ends it" not in process.stderr.readline():
            assert process.poll() is None
        process.kill()
        process.communicate(timeout=60)
    while tracer_of(hung.pid):
        time.sleep(0.01)
    assert hung.poll() is None
    (part,) = tmp_path.glob(f"t.{process.pid}.part")
    calls = ["not read yet"]
    while not all("<detached ...>" in call or "<unfinished ...>" in call for call in calls):
        time.sleep(0.01)
        calls = [line for line in part.read_text().splitlines() if not line.startswith("#")]  # none, if it was quick


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_a_killed_tracer_is_told_and_the_process_goes_on(
    hung: subprocess.Popen[bytes], tmp_path: Path, tracer: str
) -> None:
    saved = tmp_path / "t"
    command = [*SYSTRACE, "attach", str(hung.pid), "--save", str(saved), "--tracer", tracer]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "Ctrl-C ends it" not in process.stderr.readline():
            assert process.poll() is None
        killed = tracer_of(hung.pid)
        os.kill(killed, signal.SIGKILL)
        _out, err = process.communicate(timeout=60)
    assert f"[{killed}] was killed" in err
    assert "the recording is incomplete: " in err
    footer = json.loads(saved.read_text().splitlines()[-1].removeprefix("# systrace: "))
    assert footer["ended"] is False
    assert f"[{killed}] was killed" in footer["fault"]
    assert hung.poll() is None


def test_a_process_that_is_not_there() -> None:
    done = attach(4194303)
    assert done.returncode == 2
    assert "4194303" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_traced_process_is_refused_after_its_verdict(hung: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with subprocess.Popen(["strace", "-q", "-o", tmp_path / "t", "-p", str(hung.pid)]) as strace:
        while tracer_of(hung.pid) != strace.pid:
            time.sleep(0.01)
        done = attach(hung.pid)
        strace.terminate()
    assert done.returncode == 2
    assert "recvfrom" in done.stderr
    assert f"process {strace.pid} (strace) traces it already" in done.stderr


def test_a_zombie_is_refused_and_its_parent_named() -> None:
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        passive, traced = attach(zombie.pid, "--passive"), attach(zombie.pid)
    assert passive.returncode == 0
    assert f"waits for its parent {os.getpid()} to collect its status" in " ".join(passive.stdout.split())
    assert traced.returncode == 2
    assert f"process {zombie.pid} (true) has ended" in traced.stderr
    assert "--passive" not in traced.stderr  # it has said all there is


def test_a_process_without_its_first_thread_is_refused_and_can_be_looked_at() -> None:
    script = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"
    with subprocess.Popen([sys.executable, "-c", f"{script}; ctypes.CDLL(None).pthread_exit(None)"]) as process:
        while not (status_field(process.pid, "State") or "").startswith("Z"):
            time.sleep(0.01)
        passive, traced = attach(process.pid, "--passive"), attach(process.pid)
        process.kill()
    assert "no tracer can attach to a process by another one; --passive reports what can be seen" in traced.stderr
    assert "it sleeps on purpose" in " ".join(passive.stdout.split())


@pytest.mark.skipif(not Path("/proc/2/status").exists(), reason="a pid namespace without kernel threads")
def test_a_kernel_thread_is_refused() -> None:
    done = attach(2)
    assert done.returncode == 2
    assert "cannot trace: process 2 (kthreadd) is a kernel thread: it makes no system calls" in done.stderr
    assert "--passive" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="giving up a capability needs root")
def test_another_users_process_is_refused_with_what_grants_it() -> None:
    with subprocess.Popen(["sleep", "60"], user=65534, group=65534, extra_groups=[]) as target:
        command = ["setpriv", "--bounding-set=-sys_ptrace", *SYSTRACE, "attach", str(target.pid)]
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
        target.kill()
    assert done.returncode == 2
    assert "cannot trace: " in done.stderr
    assert "sudo" in done.stderr or "SYS_PTRACE" in done.stderr
    assert "; --passive tells the little that may be seen without that\n" in done.stderr
    assert "Traceback" not in done.stderr
