"""`systrace attach` to several processes, by name, and to one that is still to come: through the command line."""

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

from systrace.capture import targets
from systrace.errors import CaptureError, UsageError
from systrace.kernel import naming
from systrace.tracers.waiting import status_field, tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="the tests are being traced themselves"),
]
SYSTRACE = [sys.executable, "-m", "systrace"]
HUNG = """
import os, socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
if os.fork() == 0:
    client.sendall(b"x")
os.write(1, b"up\\n")
client.recv(10)
"""


def asleep(pid: int) -> None:
    while not (status_field(pid, "State") or "").startswith("S"):
        time.sleep(0.01)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A script whose processes hang in recv(2), a parent and its child."""
    path = tmp_path / f"hung_job_{os.getpid()}.py"
    path.write_text(HUNG)
    return path


def start(job: Path) -> subprocess.Popen[bytes]:
    """Run it, in a process group of its own, until all of it hangs."""
    process = subprocess.Popen([sys.executable, job], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    if [process.stdout.readline() for _ in range(2)] != [b"up\n"] * 2:
        end(process)
        pytest.fail("the job has not come up")
    for pid in family(process.pid):
        asleep(pid)
    return process


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def two(job: Path) -> Iterator[list[int]]:
    """Two runs of the job."""
    runs = [start(job), start(job)]
    yield [run.pid for run in runs]
    for run in runs:
        end(run)


def attach(*words: object) -> subprocess.CompletedProcess[str]:
    command = [*SYSTRACE, "attach", *map(str, words)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)


def words_of(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_several_are_traced_together_into_one_report(two: list[int], job: Path, tmp_path: Path, tracer: str) -> None:
    saved = tmp_path / "t"
    done = attach("--name", job.name, "--for", "500ms", "--tracer", tracer, "--format", "json", "--save", saved)
    assert done.returncode in (0, 1), done.stderr
    first, second, under_way = done.stderr.splitlines()
    for line, pid in zip((first, second), sorted(two), strict=True):
        assert line.startswith(f"systrace: {pid} ({job.name}): ")
        assert "recvfrom" in line
    assert under_way == "systrace: tracing 4 processes for 0.5 s; Ctrl-C ends it earlier"
    report = json.loads(done.stdout)
    members = {member for pid in two for member in family(pid)}
    assert {process["pid"] for process in report["processes"]} == members
    assert report["health"]["unparsed"] == 0
    assert {line.split()[0] for line in saved.read_text().splitlines() if "recvfrom(" in line} == set(map(str, members))
    head = json.loads(saved.read_text().partition("\n")[0].removeprefix("# systrace: "))
    assert sorted(head["attached"]) == sorted(two)
    assert not any(tracer_of(member) for member in members)


def test_who_is_named_twice_or_as_a_child_is_traced_once(two: list[int], job: Path, tmp_path: Path) -> None:
    saved = tmp_path / "t"
    child = family(two[0])[1]
    done = attach(child, two[0], two[0], "--name", job.name, "--for", "0.5", "--save", saved)
    assert done.returncode in (0, 1), done.stderr
    assert f"systrace: {child} ({job.name})" in done.stderr
    assert "tracing 4 processes for 0.5 s" in done.stderr
    text = saved.read_text()
    snapshots = [json.loads(line[12:])["snapshot"] for line in text.splitlines() if '{"snapshot"' in line]
    looked = [each["pid"] for snapshot in snapshots for each in snapshot.get("processes", [])]
    assert sorted(looked) == sorted(member for pid in two for member in family(pid))
    calls = [line for line in text.splitlines() if line.startswith(f"{child} ")]
    assert len([line for line in calls if "recvfrom(" in line]) == 1, calls


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_the_tracing_goes_on_until_the_last_has_ended(job: Path, tmp_path: Path, tracer: str) -> None:
    saved = tmp_path / "t"
    runs = [start(job), start(job)]
    last = family(runs[1].pid)
    command = [*SYSTRACE, "attach", *(str(run.pid) for run in runs), "--tracer", tracer, "--save", str(saved)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"Ctrl-C ends it" not in process.stderr.readline():
            assert process.poll() is None
        (part,) = tmp_path.glob(f"t.{process.pid}.part")
        end(runs[0])
        while f"{runs[0].pid} " not in "".join(
            line for line in part.read_text().splitlines(keepends=True) if "+++ killed by SIGKILL" in line
        ):
            assert process.poll() is None
        assert tracer_of(last[0]) != 0  # the first is gone, the second still traced
        end(runs[1])
        _out, err = process.communicate(timeout=60)
    assert process.returncode in (0, 1)
    assert b"incomplete" not in err
    killed = {line.split()[0] for line in saved.read_text().splitlines() if "+++ killed by SIGKILL" in line}
    assert {str(runs[0].pid), str(runs[1].pid)} <= killed
    assert json.loads(saved.read_text().splitlines()[-1].removeprefix("# systrace: "))["ended"] is True


def test_passive_reports_on_each(two: list[int]) -> None:
    time.sleep(1.1)  # a wait that has only begun tells nothing
    done = attach(*two, "--passive")
    assert done.stderr == ""
    assert done.returncode == 0  # they have not hung for long
    heads = [line for line in done.stdout.splitlines() if line.startswith("== ")]
    assert [head.split()[1] for head in heads] == list(map(str, two))
    assert done.stdout.count("DEGRADED: ") == 2
    assert done.stdout.count("One look at the kernel's tables") == 2
    found = [json.loads(line) for line in attach(*two, "--passive", "--format", "json").stdout.splitlines()]
    assert [each["source"]["files"] for each in found] == [[f"process {pid}"] for pid in two]
    assert not any(tracer_of(pid) for pid in two)
    os.kill(two[1], signal.SIGSTOP)
    os.waitid(os.P_PID, two[1], os.WSTOPPED | os.WNOWAIT)
    assert attach(*two, "--passive").returncode == 1  # the worse of them counts


def test_who_is_gone_or_stands_still_is_named_and_the_others_are_traced(two: list[int], job: Path) -> None:
    os.kill(two[0], signal.SIGSTOP)
    os.waitid(os.P_PID, two[0], os.WSTOPPED | os.WNOWAIT)
    done = attach(4194303, *two, "--for", "0.3")
    os.kill(two[0], signal.SIGCONT)
    assert "systrace: there is no process 4194303\n" in done.stderr
    assert f"systrace: {two[0]} ({job.name})" in done.stderr
    assert "not traced: it is stopped or frozen, and makes no call until it goes on\n" in done.stderr
    assert "tracing 2 processes" in done.stderr
    assert done.returncode == 1
    gone = attach(4194302, 4194303)
    assert (gone.returncode, gone.stdout) == (2, "")
    assert gone.stderr == "systrace: there is no process 4194302; there is no process 4194303\n"


def test_a_process_that_another_traces_is_left_to_it(two: list[int], tmp_path: Path) -> None:
    with subprocess.Popen(["strace", "-q", "-o", tmp_path / "t", "-p", str(two[0])]) as strace:
        while tracer_of(two[0]) != strace.pid:
            time.sleep(0.01)
        done = attach(*two, "--for", "0.3")
        assert tracer_of(two[0]) == strace.pid
        strace.terminate()
    assert f"process {strace.pid} (strace) traces it already" in done.stderr
    assert "tracing 2 processes" in done.stderr
    assert done.returncode in (0, 1)


def test_nobody_of_that_name() -> None:
    done = attach("--name", "no_such_\x1b[2J_job")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "systrace: no process is called no_such_\\x1b[2J_job\n"


def test_too_many_of_that_name(two: list[int], job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "MOST", 1)
    with pytest.raises(
        CaptureError, match=r"2 processes are called hung_job_.*, and at most 1 are traced: name some by PID"
    ):
        targets.chosen((), (job.name,))


@pytest.mark.parametrize(
    ("pids", "names", "wait_for", "said"),
    [
        ((), (), None, "which process"),
        ((1,), (), "x", "works only without"),
        ((), ("x",), "x", "works only without"),
        ((), ("",), None, "an empty name"),
        ((), (), " ", "an empty name"),
    ],
)
def test_whom_must_be_said_in_one_way(
    pids: tuple[int, ...], names: tuple[str, ...], wait_for: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        targets.check(pids, names, wait_for)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="becoming an ordinary user needs root")
def test_other_peoples_processes_are_left_out_and_counted(job: Path) -> None:
    """Of root without its capabilities, one process is its own and one another's."""
    other_name = f"stranger{os.getpid()}"
    job.write_text("import sys; print('up', flush=True); sys.stdin.read()")
    sleep = shutil.which("sleep")
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    words = [*drop, *SYSTRACE, "attach", "--passive", "--name"]
    with (
        subprocess.Popen([*drop, sys.executable, job], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as own,
        subprocess.Popen([other_name, "600"], executable=sleep, user=65534, group=65534, extra_groups=[]) as other,
    ):
        assert own.stdout is not None
        assert own.stdout.readline() == b"up\n"
        done = subprocess.run([*words, other_name], capture_output=True, check=False, text=True)
        both = subprocess.run([*words, f"*{os.getpid()}*"], capture_output=True, check=False, text=True)
        own.kill()
        other.kill()
    assert both.returncode == 0
    assert both.stderr.splitlines()[0] == (
        f"systrace: 1 process called *{os.getpid()}* left out: you may not look at them (run as root)"
    )
    assert f"/proc/{own.pid}/" in both.stdout
    assert done.returncode == 2
    assert done.stderr == (
        f"systrace: no process is called {other_name} that you may look at (1 process of others: run as root)\n"
    )


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_a_process_that_comes_is_traced_at_once(job: Path, two: list[int], tracer: str) -> None:
    command = [*SYSTRACE, "attach", "--wait-for", job.name, "--for", "400ms", "--tracer", tracer, "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        there = process.stderr.readline()
        assert all(f"process {pid} (python" in there for pid in two)
        assert process.stderr.readline() == f"systrace: waiting for a process called {job.name}; Ctrl-C ends it\n"
        run = start(job)
        out, err = process.communicate(timeout=60)
        end(run)
    assert process.returncode in (0, 1), err
    assert f"systrace: process {run.pid} (python" in err
    assert " for 0.4 s; Ctrl-C ends it earlier" in err
    assert run.pid in {each["pid"] for each in json.loads(out)["processes"]}
    assert not set(two) & {each["pid"] for each in json.loads(out)["processes"]}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_kill_end_the_waiting(tmp_path: Path, number: signal.Signals) -> None:
    report = tmp_path / "report"
    command = [*SYSTRACE, "attach", "--wait-for", "no_such_job", "--report", str(report)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"waiting for" in process.stderr.readline()
        while not int(status_field(process.pid, "SigCgt") or "0", 16) >> (number - 1) & 1:
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (128 + number, b"", b"")
    assert list(tmp_path.iterdir()) == []


def test_a_tracer_that_cannot_work_is_said_before_the_waiting() -> None:
    done = attach("--wait-for", "no_such_job", "--tracer", "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("systrace: there is no tracer 'none'")


def test_waiting_costs_next_to_nothing() -> None:
    """At most a part of the time is spent on looking, however many processes there are."""
    rounds = naming._rounds()
    for _ in range(3):
        next(rounds)
    used, began = time.process_time(), time.monotonic()
    for _ in range(40):
        for pid in next(rounds):
            naming.names_of(pid)
    assert (time.process_time() - used) / (time.monotonic() - began) < 0.25
