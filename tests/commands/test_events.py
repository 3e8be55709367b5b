"""`systrace events`: every call of a log as NDJSON."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from systrace.reporters.shapes.schema import schema

CALLS = (
    '9 1700000100.000000 execve("./job.sh", ["./job.sh"], 0x7ff /* 6 vars */) = 0 <0.000100>\n'
    "9 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>\n"
    '9 1700000100.200000 connect(3, {sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("192.0.2.10")}, 16) '
    "= -1 ECONNREFUSED (Connection refused) <0.001000>\n"
    "9 1700000100.300000 getpid() = 9 <0.000010>\n"
    "9 1700000100.350000 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=7} ---\n"
    '9 1700000100.400000 read(0, "\\303\xff", 9) = 2 <0.000010>\n'
    "9 1700000100.500000 wait4(-1,  <unfinished ...>\n"
    "9 1700000100.600000 +++ killed by SIGKILL +++\n"
).encode("latin-1")


def events(*words: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "systrace", "events", *map(str, words)], input=stdin, capture_output=True, timeout=60
    )


def test_all_calls_in_order_and_nothing_else() -> None:
    done = events("-", stdin=CALLS)
    assert (done.returncode, done.stderr) == (0, b"")
    calls = [json.loads(line) for line in done.stdout.splitlines()]
    for call in calls:
        Draft202012Validator(schema("events")).validate(call)
    assert [(call["line"], call["syscall"], call["outcome"]) for call in calls] == [
        (1, "execve", "returned"),
        (2, "socket", "returned"),
        (3, "connect", "returned"),
        (4, "getpid", "returned"),
        (6, "read", "returned"),
        (7, "wait4", "unfinished"),
    ]
    assert calls[2]["peer"] == "192.0.2.10:5432"
    assert calls[4]["args"] == '0, "\\303\\xff", 9'


def test_network() -> None:
    done = events("--network", "-", stdin=CALLS)
    assert [json.loads(line)["syscall"] for line in done.stdout.splitlines()] == ["socket", "connect"]


def test_no_pid_column_is_null() -> None:
    (call,) = map(json.loads, events("-", stdin=b"close(3) = 0\n").stdout.splitlines())
    assert (call["tid"], call["time"], call["duration"]) == (None, None, None)


def test_several_files_are_named(tmp_path: Path) -> None:
    for name in ("a.strace", "b.strace"):
        (tmp_path / name).write_bytes(b"9 1700000100.000000 close(3) = 0\n")
    done = events(tmp_path / "a.strace", tmp_path / "b.strace")
    assert [Path(json.loads(line)["file"]).name for line in done.stdout.splitlines()] == ["a.strace", "b.strace"]


def test_bad_input_is_named_and_the_rest_is_printed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"Dear \x1b[2Jall\n")
    (tmp_path / "log.strace").write_bytes(CALLS)
    done = events(tmp_path / "notes.txt", tmp_path / "none", tmp_path / "log.strace")
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 6
    assert len(done.stderr.splitlines()) == 2
    assert b'it begins with "Dear \\x1b[2Jall"' in done.stderr
    assert b"\x1b" not in done.stderr


def test_calls_leave_at_once_and_ctrl_c_ends() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "systrace", "events", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as job:
        assert job.stdin is not None
        assert job.stdout is not None
        assert job.stderr is not None
        job.stdin.write(CALLS * 10)  # more than the lines looked at for wrappers
        job.stdin.flush()
        assert json.loads(job.stdout.readline())["syscall"] == "execve"
        job.send_signal(signal.SIGINT)
        rest, err = job.stdout.read(), job.stderr.read()
        assert (job.wait(30), err) == (0, b"")
        assert len(rest.splitlines()) >= 50


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "log.strace"
    path.write_bytes(CALLS * 5000)
    with subprocess.Popen(
        [sys.executable, "-m", "systrace", "events", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as job:
        assert job.stdout is not None
        assert job.stderr is not None
        job.stdout.readline()
        job.stdout.close()
        assert job.stderr.read() == b""
    assert job.returncode == 128 + signal.SIGPIPE


@pytest.mark.real
def test_a_real_log_has_every_call_that_strace_counted(tmp_path: Path) -> None:
    log = tmp_path / "log.strace"
    command = ["strace", "-f", "-ttt", "-T", "-o", str(log), "sh", "-c", "ls / >/dev/null; true | cat"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    begun = sum(
        b"(" in line and b"resumed>" not in line and b" --- " not in line and b" +++ " not in line
        for line in log.read_bytes().splitlines()
    )
    done = events(log)
    assert len(done.stdout.splitlines()) == begun
