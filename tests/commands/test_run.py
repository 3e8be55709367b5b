"""`systrace run` with real jobs under real strace, through the command line."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from systrace.tracers.waiting import status_field, tracer_of
from tests.commands.jobs import SYSTRACE, python, run

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]


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
    assert b"recording is incomplete" in err
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


@pytest.mark.parametrize(("options", "zone"), [((), "+0900"), (("--utc",), "UTC")])
def test_times_are_this_machine_s_or_utc(options: tuple[str, ...], zone: str) -> None:
    done = run(*options, "--", "sh", "-c", "exit 3", env=os.environ | {"TZ": "XXX-9", "COLUMNS": "200"})
    assert f" {zone}, exit status 3" in done.stderr.decode().splitlines()[0]


@pytest.mark.parametrize("save", [True, False])
def test_where_the_recording_is(save: bool, tmp_path: Path) -> None:
    """Named for the next command, though it has that name only after the report."""
    saved = tmp_path / "t.gz"
    refused = 'import socket; socket.create_connection(("127.0.0.1", 1))'
    options: list[str | Path] = ["--save", saved] if save else []
    done = run(*options, *python(refused), env=os.environ | {"COLUMNS": "300"})
    said = done.stderr.decode()
    assert (
        f"More: systrace follow {saved} --socket S1, systrace check {saved}, systrace explain connect-refused" in said
    ) == save
    assert ("Not saved: add --save FILE" in said) != save
    assert saved.exists() == save
