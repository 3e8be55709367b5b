"""`systrace run --stall`: a job that waits too long is told of while it waits, one that works is left alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from systrace.tracers.waiting import tracer_of
from tests.commands.jobs import TRACERS, environment, python

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]

Start = Callable[..., "subprocess.Popen[bytes]"]
PATIENCE_S = 60  # until something that has to happen is given up
STALL_S = 3
WORK_S = 8
CLIENT = """
import socket, sys
peer = socket.create_connection(("127.0.0.1", PORT))
def ask():
    peer.sendall(b"?\\n")
    print("asked", flush=True)
    print("answered", peer.recv(10).decode(), flush=True)
"""
ASK = CLIENT + "ask()\n"
# The clock of the last line is compared with the moment at which a report is seen.
CLOCK = "import time; print(time.time(), flush=True)"


class Server:
    """Answers each line that it gets when it is told to, else never."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._asked, self._may_answer = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener:
            peer, _ = self._listener.accept()
        with peer:
            while peer.recv(10):
                self._asked.release()
                self._may_answer.acquire()
                peer.sendall(b"fine")

    def client(self, code: str) -> str:
        """A client's code with the port in it."""
        return code.replace("PORT", str(self.port))

    def await_question(self, process: subprocess.Popen[bytes]) -> None:
        """Until a client of this process waits for an answer."""
        until(lambda: self._asked.acquire(blocking=False) or process.poll() is not None, "a question")
        if process.poll() is not None:
            ended_early(process)

    def answer(self, after_s: float = 0) -> None:
        """Let it answer once, after so long."""
        threading.Timer(after_s, self._may_answer.release).start()


@pytest.fixture
def answering() -> Server:
    """One that answers when it is told to."""
    return Server()


def words(tracer: str, *options: object, report: Path) -> list[str]:
    """The command line of `systrace run` up to the job."""
    style = [] if "--format" in options else ["--format", "json"]
    return ["--tracer", tracer, *map(str, options), *style, "--report", str(report)]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def reported(path: Path) -> bool:
    """Whether a whole report is there."""
    try:
        return "verdict" in json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return False


def ended_early(process: subprocess.Popen[bytes]) -> NoReturn:
    """Say why."""
    _, err = process.communicate()
    pytest.fail(f"ended with {process.returncode} before it was to: {err.decode()[-2000:]}")


def awaited(path: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The report that comes while the job runs."""
    until(lambda: reported(path) or process.poll() is not None, f"a report in {path}")
    if process.poll() is not None:
        ended_early(process)
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def finished(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    """Status, output, errors."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert b"Traceback" not in err, err
    return process.returncode, out, err.decode()


def version(path: Path) -> tuple[object, ...]:
    """Changes whenever the file is written or replaced."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, path.read_bytes()


def runs(pid: int) -> bool:
    """Whether a process of this id is no corpse."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """All below a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *children(child)]
    return found


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_hung_job_is_told_of_while_it_hangs(started: Start, answering: Server, tracer: str, tmp_path: Path) -> None:
    """The report comes, the job does not notice, and waits on; its end is told as ever."""
    path = tmp_path / "report"
    process = started(*words(tracer, "--stall", STALL_S, report=path), *python(answering.client(ASK)))
    answering.await_question(process)
    began = time.monotonic()

    report = awaited(path, process)

    assert time.monotonic() - began > STALL_S - 1  # not at once
    assert report["verdict"]["cause"] == "hung-read", report["verdict"]["headline"]
    assert report["verdict"]["peer"] == f"127.0.0.1:{answering.port}"
    assert process.poll() is None
    answering.answer()
    status, out, _ = finished(process)
    assert (status, out) == (0, b"asked\nanswered fine\n")
    assert json.loads(path.read_text())["verdict"]["cause"] != "hung-read"


@pytest.mark.parametrize("tracer", TRACERS[1:])
def test_each_stall_is_told_of_once(started: Start, answering: Server, tracer: str, tmp_path: Path) -> None:
    """However long it lasts; the next one is another."""
    path = tmp_path / "report"
    code = answering.client(CLIENT + "ask(); ask()\n")
    process = started(*words(tracer, "--stall", STALL_S, report=path), *python(code))
    answering.await_question(process)
    awaited(path, process)
    time.sleep(0.5)  # whatever still belongs to it
    first = version(path)
    time.sleep(3 * STALL_S)
    assert version(path) == first
    assert process.poll() is None

    answering.answer()
    answering.await_question(process)
    until(lambda: version(path) != first or process.poll() is not None, "a report on the second stall")
    assert process.poll() is None
    assert awaited(path, process)["verdict"]["cause"] == "hung-read"
    answering.answer()
    assert finished(process)[:2] == (0, b"asked\nanswered fine\n" * 2)


@pytest.mark.parametrize("tracer", TRACERS[1:])
def test_without_the_option_nothing_is_told(started: Start, answering: Server, tracer: str, tmp_path: Path) -> None:
    """The report comes at the end."""
    path = tmp_path / "report"
    process = started(*words(tracer, report=path), *python(answering.client(ASK)))
    answering.await_question(process)
    time.sleep(STALL_S + 2)
    assert not path.exists()
    answering.answer()
    assert finished(process)[0] == 0
    assert reported(path)


@pytest.mark.parametrize("style", ["json", "table"])
@pytest.mark.parametrize("tracer", TRACERS)
def test_a_hung_job_is_ended(started: Start, answering: Server, tracer: str, style: str, tmp_path: Path) -> None:
    """By SIGTERM, all of it: the lock is free, the status the job's own, and the report says who did it."""
    path, lock, pid = tmp_path / "report", tmp_path / "lock", tmp_path / "pid"
    code = f'import os; open({str(pid)!r}, "w").write(str(os.getpid()))\n' + answering.client(ASK)
    options = words(tracer, "--stall", STALL_S, "--stall-kill", "--format", style, report=path)
    process = started(*options, "--", "flock", "-n", lock, *python(code)[1:])
    answering.await_question(process)
    assert subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 1  # it is taken

    status, out, _ = finished(process)

    assert (status, out) == (128 + signal.SIGTERM, b"asked\n")
    assert subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 0
    assert not runs(int(pid.read_text()))
    text = path.read_text()
    assert "--stall-kill" in text
    if style == "json":
        verdict = json.loads(text)["verdict"]
        assert verdict["cause"] == "hung-read", verdict["headline"]
        assert verdict["peer"] == f"127.0.0.1:{answering.port}"


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_job_that_ignores_it_is_killed(started: Start, answering: Server, tracer: str, tmp_path: Path) -> None:
    """After ten seconds, in which it could have ended in order."""
    path = tmp_path / "report"
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + answering.client(ASK)
    process = started(*words(tracer, "--stall", STALL_S, "--stall-kill", report=path), *python(code))
    answering.await_question(process)
    began = time.monotonic()
    status, out, _ = finished(process)
    assert (status, out) == (128 + signal.SIGKILL, b"asked\n")
    assert time.monotonic() - began > 10
    assert "--stall-kill" in path.read_text()
    assert json.loads(path.read_text())["verdict"]["cause"] == "hung-read"


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_job_that_ends_in_order_when_asked(started: Start, answering: Server, tracer: str, tmp_path: Path) -> None:
    """SIGTERM is a request: what the job makes of it is its own status."""
    path = tmp_path / "report"
    handler = 'import signal, sys\ndef leave(*_): print("bye", flush=True); sys.exit(9)\n'
    code = handler + "signal.signal(signal.SIGTERM, leave)\n" + answering.client(ASK)
    process = started(*words(tracer, "--stall", STALL_S, "--stall-kill", report=path), *python(code))
    answering.await_question(process)
    assert finished(process)[:2] == (9, b"asked\nbye\n")
    assert "--stall-kill" in path.read_text()


SLEEP = f"sleep {WORK_S}; exec {{python}} -c '{CLOCK}'"
BUSY = f"import time\nend = time.monotonic() + {WORK_S}\nwhile time.monotonic() < end: pass\n{CLOCK}\n"
CHILD = f"{{python}} -c '{BUSY}'; echo over >&2"
POLLING = CLIENT.replace("PORT))", "PORT), timeout=20)") + f"ask()\n{CLOCK}\n"
IDLE = f"""
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
peer, _ = listener.accept()
peer.sendall(peer.recv(10))
peer.close()
{CLOCK}
"""


def shell(script: str) -> list[str]:
    """A job for sh."""
    return ["--", "sh", "-c", script.replace("{python}", f"{sys.executable} -I -S")]


def seen_from(path: Path, over: threading.Event) -> Iterator[float]:
    """When a report was there, look by look, until it is over."""
    while not over.wait(0.05):
        try:
            if path.stat().st_size:
                yield time.time()
        except FileNotFoundError:
            pass


@pytest.mark.parametrize("tracer", TRACERS[:1])  # whoever traces, the look is the same
@pytest.mark.parametrize("kind", ["sleeping", "busy", "waiting-for-a-busy-child", "long-polling", "accepting"])
def test_a_job_that_has_not_stalled(started: Start, answering: Server, kind: str, tracer: str, tmp_path: Path) -> None:
    """Nothing is said of it, and --stall-kill does it no harm."""
    path, told = tmp_path / "report", tmp_path / "told"
    job = {
        "sleeping": shell(SLEEP),
        "busy": python(BUSY),
        "waiting-for-a-busy-child": shell(CHILD),
        "long-polling": python(answering.client(POLLING)),
        "accepting": python(IDLE),
    }[kind]
    options = words(tracer, "--stall", 2, "--stall-kill", "--on-stall", f"echo told >> {told}", report=path)
    process = started(*options, *job)
    over, seen = threading.Event(), list[float]()
    looker = threading.Thread(target=lambda: seen.extend(seen_from(path, over)))
    looker.start()
    expected = b""
    try:
        if kind == "long-polling":
            answering.await_question(process)
            answering.answer(WORK_S)
            expected = b"asked\nanswered fine\n"
        elif kind == "accepting":
            assert process.stdout is not None
            port = process.stdout.readline()
            time.sleep(WORK_S)
            with socket.create_connection(("127.0.0.1", int(port))) as peer:
                peer.sendall(b"hello")
                assert peer.recv(10) == b"hello"
        status, out, err = finished(process)
    finally:
        over.set()
        looker.join()
    assert status == 0, err
    *lines, clock = out.splitlines(keepends=True)
    assert b"".join(lines) == expected
    assert not [moment for moment in seen if moment < float(clock)]
    assert not told.exists()
    assert "--stall" not in err
    assert reported(path)
    assert err.count("over\n") == (kind == "waiting-for-a-busy-child")


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_command_is_run_for_a_stall(started: Start, answering: Server, tracer: str, tmp_path: Path) -> None:
    """As for a failure: the report is its input, the facts are in its environment; it is run while the job waits."""
    path, told = tmp_path / "report", tmp_path / "told"
    command = f"cat > {tmp_path}/in; env -0 > {tmp_path}/env; echo once >> {told}; echo said"
    options = words(tracer, "--stall", STALL_S, "--on-stall", command, "--job", "night", report=path)
    process = started(*options, *python(answering.client(ASK)), env=environment())
    answering.await_question(process)
    until(lambda: told.exists() or process.poll() is not None, "--on-stall")
    assert process.poll() is None

    report = json.loads((tmp_path / "in").read_text())
    assert report["verdict"]["cause"] == "hung-read", report["verdict"]["headline"]
    variables = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().split("\0")[:-1])
    assert variables["SYSTRACE_JOB"] == "night"
    assert variables["SYSTRACE_CAUSE"] == "hung-read"
    assert variables["SYSTRACE_PEER"] == f"127.0.0.1:{answering.port}"
    assert variables["SYSTRACE_OUTCOME"] == report["verdict"]["outcome"]
    assert variables["SYSTRACE_REPORT"] == str(path)
    assert {"SYSTRACE_STATUS", "SYSTRACE_RECORDING"} <= variables.keys()
    assert variables["SYSTRACE_STATUS"] == ""  # it has none yet
    answering.answer()
    status, out, err = finished(process)
    assert (status, out) == (0, b"asked\nanswered fine\n")  # what the command prints goes to standard error
    assert "said\n" in err
    assert told.read_text() == "once\n"


@pytest.mark.parametrize("tracer", TRACERS[1:])
def test_a_command_that_fails_or_hangs_does_the_job_no_harm(
    started: Start, answering: Server, tracer: str, tmp_path: Path
) -> None:
    """Whatever becomes of it: recording and job go on."""
    path, mark = tmp_path / "report", tmp_path / "began"
    command = f"touch {mark}; sleep 5; exit 3"
    options = words(tracer, "--stall", STALL_S, "--on-stall", command, report=path)
    process = started(*options, *python(answering.client(ASK)))
    answering.await_question(process)
    until(lambda: mark.exists() or process.poll() is not None, "--on-stall")
    answering.answer()
    assert process.stdout is not None
    assert process.stdout.readline() + process.stdout.readline() == b"asked\nanswered fine\n"
    assert finished(process)[0] == 0
    assert reported(path)


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_report_on_request(started: Start, answering: Server, tracer: str, tmp_path: Path) -> None:
    """SIGUSR1 asks systrace for a report of the moment. The job neither gets the signal nor stops."""
    path = tmp_path / "report"
    counting = "import signal\ncount = []\nsignal.signal(signal.SIGUSR1, lambda *_: count.append(1))\n"
    code = counting + answering.client(ASK) + "print(len(count), flush=True)\n"
    process = started(*words(tracer, report=path), *python(code))
    answering.await_question(process)
    assert not path.exists()
    pids = children(process.pid)
    process.send_signal(signal.SIGUSR1)

    report = awaited(path, process)

    assert report["verdict"]["outcome"]
    assert all(runs(pid) for pid in pids)
    first = version(path)
    process.send_signal(signal.SIGUSR1)
    until(lambda: version(path) != first or process.poll() is not None, "a second report")
    assert process.poll() is None
    answering.answer()
    assert finished(process)[:2] == (0, b"asked\nanswered fine\n0\n")
    assert reported(path)


@pytest.mark.parametrize("tracer", TRACERS[1:])
def test_a_job_that_dies_of_the_signal_lives_on(started: Start, answering: Server, tracer: str, tmp_path: Path) -> None:
    """As most would: the default action of SIGUSR1 is to end the process (signal(7))."""
    path = tmp_path / "report"
    process = started(*words(tracer, report=path), *python(answering.client(ASK)))
    answering.await_question(process)
    process.send_signal(signal.SIGUSR1)
    awaited(path, process)
    answering.answer()
    assert finished(process)[:2] == (0, b"asked\nanswered fine\n")
