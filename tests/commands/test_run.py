"""`systrace run` with real jobs under real strace, through the command line."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from systrace.tracers.waiting import status_field, tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]
SYSTRACE = [sys.executable, "-m", "systrace"]
RUN = [*SYSTRACE, "run"]


def run(*words: str | Path, **more: object) -> subprocess.CompletedProcess[bytes]:
    """Run systrace to its end."""
    return subprocess.run([*RUN, *words], capture_output=True, timeout=60, check=False, **more)  # type: ignore[call-overload,no-any-return]


def python(code: str) -> list[str]:
    """A job in Python."""
    return ["--", sys.executable, "-I", "-S", "-c", code]


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """Where a job says that it is ready."""
    path = tmp_path / "ready"
    os.mkfifo(path)
    return path


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts systrace in a group of its own; nothing of it survives the test."""
    made: list[subprocess.Popen[bytes]] = []

    def start(*words: str | Path, **more: object) -> subprocess.Popen[bytes]:
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True} | more
        made.append(subprocess.Popen([*RUN, *words], **settings))  # type: ignore[call-overload]
        return made[-1]

    yield start
    for process in made:
        for number in (signal.SIGKILL,):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                continue
        process.communicate()


REFUSED = """
import socket
s = socket.socket()
try: s.connect(("127.0.0.1", {port}))
except OSError: pass
"""


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A loopback port that nobody listens on and nobody gets."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_status_is_the_jobs(status: int) -> None:
    done = run("--", "sh", "-c", f"echo out; echo err >&2; exit {status}")
    assert done.returncode == status
    assert done.stdout == b"out\n"
    assert done.stderr.startswith(b"err\n")


def test_one_line_when_healthy() -> None:
    done = run("--", "true")
    assert done.returncode == 0
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1


def test_quiet_if_healthy() -> None:
    done = run("--quiet-if-healthy", "--", "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "USR1"])
def test_death_by_signal(name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    assert run("--", "sh", "-c", f"kill -{name} $$").returncode == 128 + number


def test_verdict_status(closed_port: int) -> None:
    job = python(REFUSED.format(port=closed_port) + "import os; os._exit(9)")
    assert run(*job).returncode == 9
    assert run("--verdict-status", *job).returncode == 1
    assert run("--verdict-status", "--", "true").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--save", "/no/such/dir/x", "--strict", "--", "true"], b"cannot write"),
        (["--report", "/no/such/dir/x", "--strict", "--", "true"], b"cannot write"),
        (["--live", "/no/such/dir/x", "--strict", "--", "true"], b"cannot write"),
        (["--save-dir", "/no/such/dir/x", "--strict", "--", "true"], b"cannot make"),
        (["--save", "/tmp/x", "--save-dir", "/tmp", "--", "true"], b"choose one"),
        (["--keep", "some", "--", "true"], b"--keep some: write a number"),
        (["--timeout", "30x", "--", "true"], b"30x is no duration"),
        (["--string-limit", "1", "--", "true"], b"at least 64 bytes"),
        (["--format", "yaml", "--", "true"], b"report format"),
        (["--max-size", "many", "--", "true"], b"is no size"),
        (["--keepalive", "1,2", "--", "true"], b"IDLE,INTERVAL,COUNT"),
        (["--tracer", "dtrace", "--", "true"], b"no tracer"),
    ],
)
def test_status_2_and_one_line_when_nothing_was_started(words: list[str], said: bytes) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("command", "said", "status"),
    [
        ("no-such-program-4711", "command not found", 127),
        ("/no/such/program", "No such file", 127),
        ("/etc/passwd/x", "Not a directory", 127),
        ("/", "Permission denied", 126),
        ("/etc/passwd", "Permission denied", 126),
    ],
)
@pytest.mark.parametrize("more", [[], ["--strict"], ["--tracer", "embedded"]])
def test_a_command_that_cannot_be_started(command: str, said: str, status: int, more: list[str]) -> None:
    """As env(1), nice(1) and every shell have it."""
    done = run(*more, "--", command)
    assert (done.returncode, done.stdout) == (status, b"")
    assert (
        done.stderr.decode() == f"systrace: {command}: {said}\n"
        if said != "No such file"
        else said.encode() in done.stderr
    )
    assert done.stderr.count(b"\n") == 1


def test_environment_directory_input_and_descriptors(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "odd-name": "x", "EMPTY": ""}
    reader, writer = os.pipe()
    code = f"import os; print(input(), os.getcwd()); os.write({writer}, open('/proc/self/environ', 'rb').read())"
    done = run(*python(code), input=b"typed\n", env=environment, cwd=tmp_path, pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        got = pipe.read()
    assert done.stdout == b"typed " + os.fsencode(tmp_path) + b"\n"
    assert got.split(b"\0")[:-1] == [os.fsencode(f"{name}={value}") for name, value in environment.items()]


def test_saved_recording_gives_the_same_report(tmp_path: Path, closed_port: int) -> None:
    saved, report = tmp_path / "x.strace.gz", tmp_path / "report.json"
    job = python(REFUSED.format(port=closed_port))
    assert run("--save", saved, "--report", report, "--format", "json", *job).stderr == b""
    parsed = subprocess.run([*SYSTRACE, "parse", "--format", "json", saved], capture_output=True, check=False)
    assert parsed.stdout == report.read_bytes()
    found = json.loads(report.read_bytes())
    assert [finding["cause"] for finding in found["findings"]] != []
    assert found["source"]["command"] == job[1:]
    for path in (saved, report):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_deep_tree_and_children_that_outlive_it(tmp_path: Path) -> None:
    saved, pid_file = tmp_path / "t", tmp_path / "pid"
    script = f"(setsid sleep 60 </dev/null >/dev/null 2>&1 & echo $! > {pid_file}); echo deep; exit 5"
    for level in range(10):
        path = tmp_path / f"level{level}.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        script = f"{path}; exit $?"
    done = run("--save", saved, "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (5, b"deep\n")
    assert len(re.findall(r"\+\+\+ exited with 5", saved.read_text())) == 11
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_for_systrace_reaches_the_job(
    started: Callable[..., subprocess.Popen[bytes]], fifo: Path, number: signal.Signals
) -> None:
    code = f"""
import signal, sys
import time
seen = []
signal.signal({int(number)}, lambda *_: seen.append(1))
open({str(fifo)!r}, "w").close()
while not seen: time.sleep(0.02)
print("got it", flush=True)
sys.exit(6)
"""
    process = started(*python(code))
    assert fifo.read_bytes() == b""
    process.send_signal(number)
    out, _err = process.communicate(timeout=60)
    assert (process.returncode, out) == (6, b"got it\n")


def test_a_signal_for_the_group_arrives_once(started: Callable[..., subprocess.Popen[bytes]], fifo: Path) -> None:
    code = f"""
import signal, sys, time
count = 0
def handler(*_):
    global count
    count += 1
signal.signal(signal.SIGTERM, handler)
open({str(fifo)!r}, "w").close()
while not count: time.sleep(0.02)
end = time.monotonic() + 1
while time.monotonic() < end: time.sleep(0.05)
print(count, flush=True)
"""
    process = started(*python(code))
    assert fifo.read_bytes() == b""
    os.killpg(process.pid, signal.SIGTERM)
    out, _err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"1\n")


def _terminal(words: list[str]) -> tuple[int, int]:
    """(process id, terminal) of systrace as the leader of a session on a terminal of its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(RUN[0], [*RUN, *words])
    return pid, terminal


def _read_until(terminal: int, word: bytes) -> bytes:
    text = b""
    while word not in text:
        text += os.read(terminal, 4096)
    return text


@pytest.mark.parametrize(("key", "status"), [(b"\x03", 130), (b"\x1c", 131)])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_the_terminals_keys(key: bytes, status: int) -> None:
    pid, terminal = _terminal(
        python("import signal; signal.signal(3, 0); print('re' + 'ady', flush=True); signal.pause()")
    )
    _read_until(terminal, b"ready")
    os.write(terminal, key)
    _pid, ended = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended) in (status, 1 if key == b"\x03" else status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_ctrl_c_comes_once_and_a_new_window_size_is_told() -> None:
    code = """
import signal, sys, os, time
seen = []
for number in (signal.SIGINT, signal.SIGWINCH): signal.signal(number, lambda n, _: seen.append(n))
print("re" + "ady", os.isatty(0), os.tcgetpgrp(0) == os.getpgrp(), flush=True)
while signal.SIGWINCH not in seen: time.sleep(0.02)
print("size", os.get_terminal_size(0).columns, flush=True)
while signal.SIGINT not in seen: time.sleep(0.02)
time.sleep(0.5)
sys.exit(seen.count(signal.SIGINT))
"""
    pid, terminal = _terminal(python(code))
    assert b"ready True True" in _read_until(terminal, b"\n")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 99, 0, 0))
    assert b"size 99" in _read_until(terminal, b"size 99")
    os.write(terminal, b"\x03")
    _pid, ended = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_lost_terminal_hangs_up_the_job(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"""
import signal, os
import time
seen = []
signal.signal(signal.SIGHUP, lambda *_: seen.append(1))
print("re" + "ady", flush=True)
while not seen: time.sleep(0.02)
open({str(log)!r}, "w").write("hup")
"""
    pid, terminal = _terminal(["--report", str(tmp_path / "report"), *python(code)])
    _read_until(terminal, b"ready")
    os.close(terminal)
    os.waitpid(pid, 0)
    assert log.read_text() == "hup"


def test_stop_and_continue(started: Callable[..., subprocess.Popen[bytes]], fifo: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    process = started("--", "sh", "-c", f"echo $$ > {fifo}; read x < {go}; exit 4")
    pid = int(fifo.read_text())
    os.killpg(process.pid, signal.SIGSTOP)
    while not (status_field(pid, "State") or "").startswith(("T", "t")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGCONT)
    go.write_text("now\n")
    process.communicate(timeout=60)
    assert process.returncode == 4


def test_timeout_bounds_the_recording_not_the_job(tmp_path: Path) -> None:
    saved = tmp_path / "t"
    done = run("--timeout", "0.5", "--save", saved, "--", "sh", "-c", "sleep 1.5; echo later; exit 3")
    assert (done.returncode, done.stdout) == (3, b"later\n")
    assert b"--timeout" in done.stderr
    assert "write(1" not in saved.read_text()


def test_max_size_bounds_the_recording(tmp_path: Path) -> None:
    saved = tmp_path / "t"
    done = run(
        "--max-size", "20k", "--save", saved, "--", "sh", "-c", "for i in 1 2 3 4; do cat /etc/services; done; exit 3"
    )
    assert done.returncode == 3
    assert b"limit of 20480 bytes" in done.stderr
    assert saved.stat().st_size < 20480 + 1000
    assert '"exit_status": 3' in saved.read_text().splitlines()[-1]


def test_live_events_in_words(tmp_path: Path, closed_port: int) -> None:
    live = tmp_path / "live"
    run("--live", live, *python(REFUSED.format(port=closed_port)))
    assert f"connects to 127.0.0.1:{closed_port}: ECONNREFUSED" in live.read_text()


def test_live_to_an_inherited_descriptor_that_nobody_reads() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    code = "import socket\nfor _ in range(3000): socket.socket().close()\nprint('done')"
    done = run("--live", str(writer), *python(code), pass_fds=(writer,))
    os.close(writer)
    os.close(reader)
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_keepalive_on_each_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"""
import socket, time
s = socket.create_connection(("127.0.0.1", {server.getsockname()[1]}))
end = time.monotonic() + 20
while not s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) and time.monotonic() < end: time.sleep(0.02)
print([s.getsockopt(*which) for which in ((1, 9), (6, 4), (6, 5), (6, 6))])
"""
        done = run("--keepalive", "61,16,5", "--", sys.executable, "-c", code)
    assert done.stdout == b"[1, 61, 16, 5]\n"


def test_a_burst_of_short_children(tmp_path: Path) -> None:
    saved = tmp_path / "t"
    done = run("--save", saved, "--", "sh", "-c", "i=0; while [ $i -lt 2000 ]; do (exit 3); i=$((i+1)); done")
    assert done.returncode == 0
    assert saved.read_text().count("+++ exited with 3 +++") == 2000


@pytest.mark.skipif(os.geteuid() != 0, reason="making a set-uid program needs root")
def test_exec_of_a_set_uid_program(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    program = tmp_path / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    os.chown(program, 65534, 65534)
    program.chmod(0o4755)
    assert run("--", program, "-u").stdout == b"0\n"  # no_new_privs: under a filter no program gains rights
    assert run("--no-seccomp", "--", program, "-u").stdout == b"65534\n"


def test_a_32_bit_program(tmp_path: Path) -> None:
    source = """
    static int sys(int n, int a, const void *b) {
        int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b) : "memory"); return r; }
    void _start(void) {
        unsigned call[3] = {2, 1, 0};
        unsigned char address[16] = {2, 0, 0, 1, 127, 0, 0, 1};
        int fd = sys(102, 1, call);
        unsigned connect[3] = {fd, (unsigned)address, 16};
        sys(102, 3, connect);
        sys(1, 3, 0); }
    """
    program = tmp_path / "job32"
    flags = ["-m32", "-nostdlib", "-static", "-fno-stack-protector", "-x", "c", "-"]
    try:
        built = subprocess.run(["gcc", *flags, "-o", program], input=source.encode(), capture_output=True, check=False)
        works = built.returncode == 0 and subprocess.run([program], check=False).returncode == 3
    except OSError:
        works = False
    if not works:
        pytest.skip("the machine builds or runs no 32-bit programs")
    saved = tmp_path / "t"
    assert run("--save", saved, "--", program).returncode == 3
    assert re.search(r"connect\(\d.*sin_port=htons\(1\).* ECONNREFUSED", saved.read_text())


def test_strace_killed(started: Callable[..., subprocess.Popen[bytes]], fifo: Path, tmp_path: Path) -> None:
    saved, go = tmp_path / "t", tmp_path / "go"
    os.mkfifo(go)
    code = f"""
import os, sys
open({str(fifo)!r}, "w").write(str(os.getpid()))
open({str(go)!r}).read()
sys.exit(0 if os.system("test $(cat /etc/passwd | wc -l) -gt 1") else 1)
"""
    process = started("--save", saved, *python(code))
    pid = int(fifo.read_text())
    tracer = tracer_of(pid)
    with go.open("wb"):
        while not (status_field(pid, "State") or "").startswith("S"):
            time.sleep(0.005)
        os.kill(tracer, signal.SIGKILL)
        while tracer_of(pid) in (0, tracer):
            time.sleep(0.005)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"capture is incomplete" in err
    assert b"ended before the job" in err
    assert "execve(" in saved.read_text()


def test_systrace_killed(started: Callable[..., subprocess.Popen[bytes]], fifo: Path, tmp_path: Path) -> None:
    """The job and its recording go on."""
    saved, go, end = tmp_path / "t.gz", tmp_path / "go", tmp_path / "end"
    os.mkfifo(go)
    os.mkfifo(end)
    process = started("--save", saved, "--", "sh", "-c", f"echo $$ > {fifo}; read x < {go}; echo fine > {end}")
    assert fifo.read_text()
    process.kill()
    process.wait()
    go.write_text("now\n")
    assert end.read_text() == "fine\n"
    (part,) = tmp_path.glob(f"t.gz.{process.pid}.part")
    while "+++ exited with 0 +++" not in part.read_text():
        time.sleep(0.02)
    parsed = subprocess.run([*SYSTRACE, "parse", "--format", "json", part], capture_output=True, check=False)
    assert json.loads(parsed.stdout)["health"]["unparsed"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_disk_full_while_recording(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], check=True)
    try:
        saved = small / "t"
        done = run(
            "--save",
            saved,
            "--",
            "sh",
            "-c",
            "for i in 1 2 3 4 5 6 7 8; do (while read line; do :; done) < /etc/services; done; exit 4",
        )
        assert done.returncode == 4
        assert b"disk full" in done.stderr
        assert '"exit_status": 4' in saved.read_text().splitlines()[-1]
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    run("--", "true", env=environment)
    assert list(tmp_path.iterdir()) == []
