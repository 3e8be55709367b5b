"""The embedded tracer on running processes: it takes all threads, and leaves no trace behind."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.errors import CaptureError
from systrace.tracers import Request, embedded
from systrace.tracers.embedded import Embedded, EmbeddedCapture, refused
from systrace.tracers.waiting import Running
from tests.tracers.embedded_job import REAL, python
from tests.tracers.successor import whoever

pytestmark = REAL
_WANTED = "read write close socket connect recvfrom sendto poll ppoll nanosleep clock_nanosleep execve clone"
WANTED = frozenset(_WANTED.split())


@contextlib.contextmanager
def target(text: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs `text`; it prints a line when it is ready, and ends at the end of its input."""
    words = python(text)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            with contextlib.suppress(OSError):
                process.send_signal(signal.SIGCONT)
                process.kill()


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def until(condition: object, capture: EmbeddedCapture | None = None) -> None:
    """Poll what the kernel shows: no event tells of it."""
    assert callable(condition)
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        if capture is None:
            select.select([], [], [], 0.01)
        else:
            capture.wait(0.01)


def tasks_of(pid: int) -> list[str]:
    return [path.name for path in Path(f"/proc/{pid}/task").iterdir()]


def settled(process: subprocess.Popen[bytes]) -> None:
    """The process waits in a call, as do all its threads."""
    until(lambda: all(_blocked(process.pid, tid) for tid in tasks_of(process.pid)))


def _blocked(pid: int, tid: str) -> bool:
    return Path(f"/proc/{pid}/task/{tid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def answer(process: subprocess.Popen[bytes]) -> bytes:
    """What the process prints after its input ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    return process.stdout.read()


ECHO = """
    import os, select, socket, sys, threading
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    other, _ = server.accept()
    def receive():
        while data := client.recv(100):
            pass
    thread = threading.Thread(target=receive)
    thread.start()
    threading.Thread(target=select.poll().poll, args=(500_000,), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin.buffer:
        other.sendall(line)
    other.close()
    thread.join()
    print("unharmed", flush=True)
"""


def test_all_threads_are_traced_and_let_go(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with target(ECHO) as process:
        settled(process)
        assert process.stdin is not None
        stdin = process.stdin
        with Embedded().attach([Running.of(process.pid)], Request(trace, WANTED)) as capture:
            assert capture.pid == process.pid
            tasks = tasks_of(process.pid)
            assert len(tasks) == 3
            for tid in tasks:
                assert status(int(tid))["TracerPid"] == str(capture.tracer_pid)

            def heard() -> (
                bool
            ):  # a call that returns at the very moment that the tracer comes is not seen: say it again
                stdin.write(b"hello\n")
                stdin.flush()
                capture.wait(0.2)
                return "sendto(" in trace.read_text() and ", 100, 0, NULL, NULL) = 6" in trace.read_text()

            until(heard, capture)
            assert capture.wait(0.3) is None
        for tid in tasks:
            assert status(int(tid))["TracerPid"] == "0"
        assert answer(process) == b"unharmed\n"
        assert process.wait(30) == 0
    text = trace.read_text()
    assert re.search(r'(read\(0<pipe:\[\d+\]>, |<... read resumed>)"hello\\n", \d+\) = 6 <', text)
    # sockets older than the trace come with both ends, local first
    match = re.search(r"recvfrom\(4<TCP:\[(127[\d.:]+)->(127[\d.:]+)\]>, ", text)
    assert match
    assert '"hello\\n", 100, 0, NULL, NULL) = 6' in text
    sent = re.escape(f'sendto(5<TCP:[{match[2]}->{match[1]}]>, "hello\\n", 6, 0, NULL, 0')
    assert re.search(rf"{sent}(\) = 6| <unfinished \.\.\.>\n)", text)  # a busy machine makes it last
    assert len(re.findall(r"<(?:unfinished|detached) \.\.\.>$", text, re.MULTILINE)) >= 3
    # where the kernel has no poll(2), libc calls ppoll, which is restarted under its own name
    assert "restart_syscall(<... resuming interrupted poll ...> <unfinished ...>" in text or " ppoll([], 0, {" in text


def test_children_made_later_are_traced_and_let_go_too(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = """
        import os, subprocess, sys
        print("ready", flush=True)
        sys.stdin.buffer.raw.read(1)
        child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
        sys.stdin.buffer.raw.read()
        child.stdin.close()
        print(child.wait(), flush=True)
    """
    with target(job) as process:
        settled(process)
        assert process.stdin is not None
        with Embedded().attach([Running.of(process.pid)], Request(trace, WANTED)) as capture:
            process.stdin.write(b"x")
            process.stdin.flush()
            until(lambda: 'execve("/bin/cat", ["/bin/cat"]' in trace.read_text(), capture)
        assert answer(process) == b"0\n"
        assert process.wait(30) == 0


def test_when_the_tracer_is_killed_the_process_goes_on_untraced(tmp_path: Path) -> None:
    with target(ECHO) as process:
        settled(process)
        with Embedded().attach([Running.of(process.pid)], Request(tmp_path / "trace", WANTED)) as capture:
            os.kill(capture.tracer_pid, signal.SIGKILL)
            assert capture.wait(30) == 0
            assert "goes on untraced" in str(capture.fault())
        until(lambda: status(process.pid)["TracerPid"] == "0")
        assert answer(process) == b"unharmed\n"
        assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_tracer_lets_the_process_go(number: int, tmp_path: Path) -> None:
    with target(ECHO) as process:
        settled(process)
        with Embedded().attach([Running.of(process.pid)], Request(tmp_path / "trace", WANTED)) as capture:
            os.kill(capture.tracer_pid, number)
            assert capture.wait(30) == 0
            assert capture.fault() is None
        assert answer(process) == b"unharmed\n"
        assert process.wait(30) == 0


def test_a_stopped_process_stays_stopped(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with target(ECHO) as process:
        settled(process)
        process.send_signal(signal.SIGSTOP)
        until(lambda: status(process.pid)["State"].startswith("T"))
        with Embedded().attach([Running.of(process.pid)], Request(trace, WANTED)) as capture:
            until(lambda: "--- stopped by SIGSTOP ---" in trace.read_text(), capture)
        until(lambda: status(process.pid)["TracerPid"] == "0")
        assert status(process.pid)["State"].startswith("T")
        process.send_signal(signal.SIGCONT)
        assert answer(process) == b"unharmed\n"
        assert process.wait(30) == 0


def test_stop_and_continue_under_the_tracer(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with target(ECHO) as process:
        settled(process)
        with Embedded().attach([Running.of(process.pid)], Request(trace, WANTED)) as capture:
            process.send_signal(signal.SIGSTOP)
            until(lambda: trace.read_text().count("--- stopped by SIGSTOP ---") == 3, capture)
            assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
            process.send_signal(signal.SIGCONT)
            until(lambda: "--- SIGCONT {" in trace.read_text(), capture)
            assert answer(process) == b"unharmed\n"
            assert capture.wait(30) == 0
    assert process.returncode == 0
    assert re.search(rf"^{process.pid} [\d.]+ \+\+\+ exited with 0 \+\+\+$", trace.read_text(), re.MULTILINE)


def test_a_signal_in_flight_at_detach_is_not_lost(tmp_path: Path) -> None:
    # Counted as they come: Python calls its handler once for two of them, where the first came just before read(2) began.
    job = """
        import os, signal, sys
        seen, heard = os.pipe()
        os.set_blocking(heard, False)
        signal.set_wakeup_fd(heard)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        print("ready", flush=True)
        sys.stdin.buffer.raw.read()
        print(len(os.read(seen, 100)), flush=True)
    """
    with target(job) as process:
        for count in range(5):
            settled(process)
            with Embedded().attach([Running.of(process.pid)], Request(tmp_path / f"trace{count}", WANTED)) as capture:
                process.send_signal(signal.SIGUSR1)
                capture.stop()
        until(lambda: status(process.pid)["TracerPid"] == "0")
        settled(process)
        assert int(answer(process)) == 5


def test_a_busy_machine_is_not_taken_for_an_uninterruptible_sleep(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "ATTACH_SECONDS", 0.001)  # no worker begins as fast as that
    with Embedded().attach([Running.of(sleeper.pid)], Request(tmp_path / "trace", WANTED)) as capture:
        assert capture.pid == sleeper.pid
    monkeypatch.setattr(embedded, "START_SECONDS", 0.0)
    assert "the tracer has not begun within 0 s" in refusal(sleeper.pid, tmp_path)


# ------------------------------------------------------------------------------------------------------------- refusals


def refusal(pid: int, tmp_path: Path) -> str:
    with pytest.raises(CaptureError) as caught, Embedded().attach([whoever(pid)], Request(tmp_path / "trace")):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_such_process(tmp_path: Path) -> None:
    assert refusal(4_194_000, tmp_path) == "there is no process 4194000"


@pytest.mark.skipif(not Path("/proc/2/status").exists(), reason="a pid namespace without kernel threads")
def test_kernel_threads_are_refused(tmp_path: Path) -> None:
    assert refusal(2, tmp_path) == (
        "cannot attach to process 2 (kthreadd): it is a thread of the kernel and makes no system calls"
    )


def test_zombies_are_refused(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        until(lambda: status(process.pid)["State"].startswith("Z"))
        said = refusal(process.pid, tmp_path)
    assert f"it has ended, its parent {os.getpid()} has not asked for its status (zombie)" in said


def test_a_process_that_has_a_tracer_is_refused(tmp_path: Path) -> None:
    request = Request(tmp_path / "first", WANTED)
    with target(ECHO) as process, Embedded().attach([Running.of(process.pid)], request) as capture:
        assert f"process {capture.tracer_pid} (python" in refusal(process.pid, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_processes_of_other_users_are_refused() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(writer, refused(os.getppid(), "Operation not permitted").encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as said:
        assert "it belongs to user 0; run systrace as that user or as root" in said.read()
    os.waitpid(pid, 0)
