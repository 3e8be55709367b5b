"""`systrace parse`: real processes, real logs, bad input."""

from __future__ import annotations

import gc
import gzip
import json
import os
import pty
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from systrace.commands.reading.analysis import analysis_of, without_calls
from systrace.commands.reading.side_by_side import side_by_side
from systrace.commands.reading.survey import row_of, survey
from systrace.model import Analysis
from systrace.outputs import place
from systrace.reporters.shapes.schema import schema
from systrace.sources.logs import Recording, recordings

REFUSED = (
    '9 1700000100.000000 execve("./job.sh", ["./job.sh"], 0x7ff /* 6 vars */) = 0 <0.0001>\n'
    "9 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>\n"
    '9 1700000100.200000 connect(3, {sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("192.0.2.10")}, 16) '
    "= -1 ECONNREFUSED (Connection refused) <0.001000>\n"
    "9 1700000100.300000 close(3) = 0 <0.000010>\n"
    "9 1700000100.400000 exit_group(1) = ?\n"
    "9 1700000100.500000 +++ exited with 1 +++\n"
)
FINE = (
    '9 1700000100.000000 execve("/bin/true", ["true"], 0x7ff /* 6 vars */) = 0 <0.0001>\n'
    "9 1700000100.500000 +++ exited with 0 +++\n"
)


def parse(*words: str | Path, stdin: bytes | None = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "systrace", "parse", *map(str, words)],
        input=stdin,
        capture_output=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "100", **environment},
    )


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    path = tmp_path / "refused.strace"
    path.write_text(REFUSED)
    return path


@pytest.fixture
def fine(tmp_path: Path) -> Path:
    path = tmp_path / "fine.strace"
    path.write_text(FINE)
    return path


def test_table_and_status(refused: Path, fine: Path) -> None:
    done = parse(refused)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.startswith(b"FAILED: ")
    done = parse(fine)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"HEALTHY: ")


def test_json_is_one_object_a_line(refused: Path, fine: Path) -> None:
    done = parse("--format", "json", refused, fine)
    assert done.returncode == 1
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [report["source"]["files"] for report in reports] == [[str(refused)], [str(fine)]]
    for report in reports:
        Draft202012Validator(schema("report")).validate(report)


def test_several_recordings_are_a_line_each(refused: Path, fine: Path) -> None:
    done = parse(refused, fine)
    assert (done.returncode, done.stderr) == (1, b"")
    _header, one, other, *counts = done.stdout.decode().splitlines()
    assert one.split()[:4] == ["FAILED", "connect-refused", "192.0.2.10:5432", "job.sh"]
    assert other.split()[:4] == ["HEALTHY", "-", "-", "true"]
    assert "2 recordings: 1 FAILED, 1 HEALTHY." in counts
    assert parse(fine, fine).returncode == 0


@pytest.mark.parametrize("option", ["--each", "--all", "--requests", "--socket=S1"])
def test_full_reports_of_several_have_a_heading_each(refused: Path, fine: Path, option: str) -> None:
    """What is asked for in full is no line of a table."""
    text = parse(option, refused, fine).stdout.decode()
    assert text.index(f"== {refused} ==") < text.index(f"== {fine} ==")
    assert option.startswith("--socket") or "FAILED: " in text


def test_what_cannot_be_read_is_a_line_of_the_overview(refused: Path, fine: Path, tmp_path: Path) -> None:
    """Its reason stands there, and standard error says that there is one; without any other it is as of one."""
    empty, notes = tmp_path / "empty", tmp_path / "notes"
    empty.touch()
    notes.write_text("Dear all,\n")
    done = parse(refused, empty, tmp_path / "gone", notes, fine)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 2
    assert [line[:8].strip() for line in lines[1:6]] == ["NOT READ", "FAILED", "NOT READ", "NOT READ", "HEALTHY"]
    assert lines[1] == f"NOT READ  {tmp_path}/gone: No such file or directory"
    assert lines[3] == f"NOT READ  {empty}: the log is empty"
    assert "5 recordings: 1 FAILED, 1 HEALTHY, 3 NOT READ." in lines
    assert done.stderr.startswith(b"systrace: 3 of 5 could not be read: ")
    assert done.stderr.count(b"\n") == 1
    none = parse(empty, notes)
    assert (none.returncode, none.stdout, none.stderr.count(b"\n")) == (2, b"", 2)


def test_the_overview_can_be_a_file(refused: Path, fine: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    assert parse(refused, fine, "--output", out).stdout == b""
    assert out.read_text().startswith("verdict ")
    assert parse(tmp_path / "a", "/dev/null", tmp_path / "b", "--output", out).returncode == 2


def test_of_many_recordings_one_is_held_at_a_time(tmp_path: Path) -> None:
    """When the next is read, nothing of the one before is alive."""
    paths = [str(tmp_path / f"{at}.strace") for at in range(4)]
    for path in paths:
        Path(path).write_text(REFUSED)
    found, complaints = recordings(paths)
    alive: list[tuple[int, int]] = []

    def analyse(recording: Recording) -> tuple[Analysis, str | None]:
        gc.collect()
        known = gc.get_objects()
        waiting = [each for each in known if isinstance(each, Recording) and each.name in paths]
        done = [each for each in known if isinstance(each, Analysis) and each.evidence.source.files[0] in paths]
        alive.append((len(waiting), len(done)))
        analysis = analysis_of(recording, bar=False)
        return analysis, without_calls(recording, analysis)

    rows = side_by_side(lambda recording: row_of(recording, analyse), found, 1)
    assert survey([[path] for path in paths], complaints, place(tmp_path / "out"), rows)
    assert alive == [(4, 0), (3, 0), (2, 0), (1, 0)]


def test_ff_siblings_are_one_recording(tmp_path: Path) -> None:
    for pid, text in (("9", REFUSED), ("10", FINE)):
        (tmp_path / f"log.{pid}").write_text(text.replace("9 17", "17"))
    done = parse("--format", "json", tmp_path)
    (report,) = map(json.loads, done.stdout.splitlines())
    assert {process["pid"] for process in report["processes"]} == {9, 10}


def test_socket(refused: Path) -> None:
    done = parse("--socket", "S1", refused)
    assert done.returncode == 1
    assert done.stdout.startswith(b"S1: inet stream, 192.0.2.10:5432")
    assert b"ECONNREFUSED" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--socket", "S9"], b"systrace: there is no socket S9: this log has S1\n"),
        (["--socket", "S1", "--format", "json"], b"systrace: --socket works only with --format table\n"),
        (["--format", "xml"], b"systrace: there is no report format 'xml': choose from "),
        (["--limits", "/nowhere.toml"], b"systrace: /nowhere.toml: "),
        (["--output", "/nowhere/report"], b"systrace: cannot write /nowhere/report: /nowhere: No such directory\n"),
    ],
)
def test_usage_errors_are_one_line(refused: Path, words: list[str], message: bytes) -> None:
    done = parse(*words, refused)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(message)
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("content", "quoted"),
    [
        (b"\nDear \x1b[2Jall,\nplease find\n", rb'"Dear \x1b[2Jall,"'),
        (b"int main() {\n  close(fd);\n  read(0, buf, 3);\n}\n", b'"int main() {"'),
        (b"\x7fELG\x02\x01\x00\xff" * 50, rb'"\x7fELG\x02\x01\x00\xff'),
        (b"sudo: strace: command not found\n", b'"sudo: strace: command not found"'),
    ],
)
def test_what_is_no_log_is_named_and_the_others_are_reported(
    tmp_path: Path, fine: Path, content: bytes, quoted: bytes
) -> None:
    path = tmp_path / "other.txt"
    path.write_bytes(content)
    done = parse("--format", "json", path, tmp_path / "missing", fine)
    assert done.returncode == 2
    missing, foreign = done.stderr.splitlines()
    assert missing == f"systrace: {tmp_path}/missing: No such file or directory".encode()
    assert foreign.startswith(f"systrace: {path}: this is no strace log; it begins with ".encode() + quoted)
    assert json.loads(done.stdout)["source"]["files"] == [str(fine)]


@pytest.mark.parametrize(
    ("content", "outcome"),
    [(b"", "inconclusive"), (b"strace: Process 7 attached\n", "inconclusive"), (b"recvfrom(4, \n", "hung")],
)
def test_nearly_empty_logs_are_logs(content: bytes, outcome: str) -> None:
    done = parse("--format", "json", "-", stdin=content)
    assert done.stderr.count(b"\n") == (outcome == "inconclusive")
    assert json.loads(done.stdout)["verdict"]["outcome"] == outcome


def test_standard_input_and_compression(refused: Path) -> None:
    plain = parse("--format", "json", "-", stdin=refused.read_bytes())
    packed = parse("--format", "json", "-", stdin=gzip.compress(refused.read_bytes()))
    assert plain.stdout == packed.stdout
    assert json.loads(plain.stdout)["source"]["files"] == ["-"]


def test_output_is_for_the_owner_only(refused: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.txt"
    done = parse("--output", out, refused)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.read_text().startswith("FAILED: ")


def test_users_limits_are_read(refused: Path, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text('[[limit]]\nproduct = "our firewall"\nidle_s = 30\n')
    assert parse("--limits", limits, refused).returncode == 1


def test_ctrl_c_ends_an_endless_input_and_the_report_comes() -> None:
    log = (REFUSED * 400).encode()  # more than a pipe and all buffers hold: when it is written, it was read
    with subprocess.Popen(
        [sys.executable, "-m", "systrace", "parse", "--format", "json", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as job:
        assert job.stdin is not None
        assert job.stdout is not None
        assert job.stderr is not None
        job.stdin.write(log)
        job.stdin.flush()
        job.send_signal(signal.SIGINT)
        out, err = job.stdout.read(), job.stderr.read()
        assert (job.wait(30), err) == (1, b"")
        assert json.loads(out)["verdict"]["cause"] in ("connect-refused", "retry-storm")


def test_ctrl_c_ends_a_pipe_with_a_name_too(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    words = [sys.executable, "-m", "systrace", "parse", "--format", "json", str(fifo)]
    job = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with job, fifo.open("wb") as writer:
        writer.write(REFUSED.encode() * 400)  # more than a pipe holds: it is past its start
        writer.flush()
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=30)
    assert (job.returncode, err) == (1, b"")
    assert json.loads(out)["verdict"]["cause"] in ("connect-refused", "retry-storm")


def test_ctrl_c_before_anybody_writes_is_clean(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    words = [sys.executable, "-m", "systrace", "parse", str(fifo)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        until = time.monotonic() + 10
        while "(sleeping)" not in Path(f"/proc/{job.pid}/status").read_text() and time.monotonic() < until:
            time.sleep(0.01)
        job.send_signal(signal.SIGINT)
        assert job.communicate(timeout=30) == (b"", b"")
    assert abs(job.returncode) in (signal.SIGINT, 128 + signal.SIGINT)


@pytest.mark.parametrize(
    ("path", "words"), [("/dev/zero", "a line goes on for more than 4 GB"), ("/dev/urandom", "it begins with")]
)
def test_endless_devices(path: str, words: str) -> None:
    """One line on standard error, in little memory."""
    shell = f"ulimit -v 400000; exec {shlex.quote(sys.executable)} -m systrace parse {path}"  # kB
    job = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60)
    assert (job.returncode, job.stdout) == (2, "")
    assert job.stderr.startswith(f"systrace: {path}: this is no strace log")
    assert job.stderr.count("\n") == 1
    assert words in job.stderr


def test_endless_blank_lines_from_a_pipe() -> None:
    line = f"ulimit -v 400000; yes '' | exec {shlex.quote(sys.executable)} -m systrace parse -"
    job = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
    assert (job.returncode, job.stdout, job.stderr.count("\n")) == (2, "", 1)
    assert job.stderr.startswith("systrace: standard input: this is no strace log: nothing but empty lines")


@pytest.mark.parametrize(
    ("closed", "words", "message"),
    [
        (">&-", "parse LOG", "standard output is closed"), (">&-", "events LOG", "standard output is closed"),
        ("<&-", "parse -", "standard input is closed"), ("<&-", "events -", "standard input is closed"),
    ],
)  # fmt: skip
def test_closed_descriptors(refused: Path, closed: str, words: str, message: str) -> None:
    """As cron and daemons leave them: one line, no traceback."""
    line = f"{sys.executable} -m systrace {words.replace('LOG', str(refused))} {closed}"
    done = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, f"systrace: {message}\n")


def test_a_reader_that_has_gone_is_no_error(refused: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "systrace", "parse", str(refused)], stdout=out, stderr=subprocess.PIPE, timeout=60
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def on_terminal(*words: str, **environment: str) -> bytes:
    """Standard output of a parse that runs on a terminal."""
    controller, worker = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    with subprocess.Popen(
        [sys.executable, "-m", "systrace", "parse", *words],
        stdout=worker,
        stderr=worker,
        stdin=subprocess.DEVNULL,
        env={**env, "TERM": "xterm", **environment},
    ) as job:
        os.close(worker)
        shown = b""
        try:
            while piece := os.read(controller, 65536):
                shown += piece
        except OSError:  # EIO: the other side is closed
            pass
        os.close(controller)
        job.wait(30)
    return shown


def test_colour_on_a_terminal_only_where_it_is_wanted(refused: Path) -> None:
    assert b"\x1b[1;31mFAILED:" in on_terminal(str(refused))
    assert b"\x1b" not in on_terminal(str(refused), NO_COLOR="1")
    assert b"\x1b" not in on_terminal(str(refused), TERM="dumb")


@pytest.mark.real
def test_a_real_refusal(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        log = tmp_path / "log.strace"
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        command = ["strace", "-f", "-ttt", "-T", "-yy", "-s", "4096", "-o", str(log), sys.executable, "-c", code]
        assert subprocess.run(command, capture_output=True, timeout=60).returncode == 1
    done = parse("--format", "json", log)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    Draft202012Validator(schema("report")).validate(report)
    assert (report["verdict"]["cause"], report["verdict"]["peer"]) == ("connect-refused", f"127.0.0.1:{port}")


def test_the_proof_as_strace_printed_it(refused: Path) -> None:
    told, raw = (" ".join(parse(*options, refused).stdout.decode().split()) for options in ((), ("--raw", "--utc")))
    assert "ECONNREFUSED" in told
    assert "= -1 ECONNREFUSED" not in told
    assert "= -1 ECONNREFUSED" in raw
    assert " UTC" in raw
