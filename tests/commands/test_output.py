"""Where the output goes can fail: a full disk, a reader that has gone, a terminal that sends signals."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

LOG = str(Path(__file__).parents[2] / "samples" / "hung-read" / "trace.strace")


def _systrace(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "systrace", *words]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("parse", "--help"),
        ("explain",),
        ("doctor",),
        ("parse", LOG),
        ("parse", "--format", "json", LOG),
        ("parse", "--socket", "S4", LOG),
        ("requests", LOG),
        ("events", LOG),
        ("follow", "--socket", "S4", LOG),
    ],
    ids=" ".join,
)
def test_a_full_disk_is_one_line(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = _systrace(*words, stdout=full)
    assert (done.returncode, done.stderr) == (
        2,
        "systrace: cannot write standard output: No space left on device\n",
    )


def test_a_full_disk_of_an_output_file_is_one_line_that_names_it() -> None:
    done = _systrace("parse", "--output", "/dev/full", LOG, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, "systrace: cannot write /dev/full: No space left on device\n")


def test_ctrl_c_while_systrace_starts_is_silent() -> None:
    code = "import systrace.__main__, signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_DFL)"
    done = _systrace_code(code)
    assert done.stdout == "True\n"
    ignored = _systrace_code(code, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert ignored.stdout == "False\n"  # nohup and & keep their word


def _systrace_code(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, **options
    )


def test_the_progress_bar_leaves_the_cursor_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 1000)
    code = (
        "import sys, time; from systrace.commands.reading import progress; progress._AFTER_S = 0.01\n"
        "with progress.progress([sys.argv[1]]): time.sleep(0.7)"
    )
    controller, worker = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stderr=worker, env={**os.environ, "TERM": "xterm"}
    ) as job:
        os.close(worker)
        shown = b""
        while b"reading" not in shown:
            shown += os.read(controller, 4096)
        job.send_signal(signal.SIGTERM)
    os.close(controller)
    assert b"\x1b[?25l" not in shown


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_help_fits_the_terminal(width: int) -> None:
    for command in ("run", "attach", "parse", "follow", "requests", "events", "keepalive", "doctor", "explain", ""):
        env = {**os.environ, "COLUMNS": str(width)}
        done = _systrace(*command.split(), "--help", stdout=subprocess.PIPE, env=env)
        assert max(map(len, done.stdout.splitlines())) <= min(width, 80)
        assert "..." not in done.stdout.replace("LOG...", "").replace("COMMAND...", "").replace("PID...", "").replace(
            "ARGS]...", ""
        )
        assert command == "" or "Exit status: " in done.stdout.replace("\n", " ").replace("  ", " ")


@pytest.mark.parametrize("width", [60, 80])
def test_doctor_fits_the_terminal_but_for_its_commands(width: int) -> None:
    done = _systrace("doctor", stdout=subprocess.PIPE, env={**os.environ, "COLUMNS": str(width)})
    wide = [line for line in done.stdout.splitlines() if len(line) > width]
    assert all("mend: " in line for line in wide)


COMMANDS = [("parse",), ("events",), ("requests",), ("follow", "--socket", "S4")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_output_that_is_an_input_is_refused_and_nothing_changed(command: tuple[str, ...], tmp_path: Path) -> None:
    log = tmp_path / "job.strace"
    shutil.copy(LOG, log)
    (tmp_path / "link").symlink_to("job.strace")
    for output in (log, tmp_path / "link", tmp_path / "." / "job.strace"):
        done = _systrace(*command, str(log), "--output", str(output), stdout=subprocess.PIPE)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr == f"systrace: --output {output} is the same file as the input {log}\n"
    with log.open("rb") as stdin:
        done = _systrace(*command, "-", "--output", str(log), stdin=stdin, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, f"systrace: --output {log} is the same file as standard input\n")
    with log.open("ab") as stdout:
        done = _systrace(*command, str(log), stdout=stdout)
    assert (done.returncode, done.stderr) == (2, f"systrace: standard output is the same file as the input {log}\n")
    assert log.read_bytes() == Path(LOG).read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["job.strace", "link"]


def test_key_logs_limits_directories_and_siblings_are_inputs_too(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("job.7", "job.8", "keys", "limits.toml"):
        (logs / name).write_text("")
    (logs / "job.7").write_text("close(3) = 0\n")
    for words in (
        ("parse", str(logs), "--output", f"{logs}/job.8"),
        ("parse", f"{logs}/job.7", "--output", f"{logs}/job.8"),
        ("parse", f"{logs}/job.7", "--keylog", f"{logs}/keys", "--output", f"{logs}/keys"),
        ("requests", f"{logs}/job.7", "--keylog", f"{logs}/keys", "--output", f"{logs}/keys"),
        ("follow", f"{logs}/job.7", "--keylog", f"{logs}/keys", "--output", f"{logs}/keys"),
        ("follow", f"{logs}/job.7", "--socket", "S1", "--save-body", f"{logs}/job.7"),
        ("parse", f"{logs}/job.7", "--limits", f"{logs}/limits.toml", "--output", f"{logs}/limits.toml"),
    ):
        done = _systrace(*words, stdout=subprocess.PIPE)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert f"{words[-1]} is the same file as the input {words[-1]}" in done.stderr
    assert [(logs / name).read_text() for name in ("job.7", "job.8", "keys")] == ["close(3) = 0\n", "", ""]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_was_there_stays_where_nothing_could_be_read(command: tuple[str, ...], tmp_path: Path) -> None:
    out, letter = tmp_path / "report", tmp_path / "letter"
    out.write_text("old")
    letter.write_text("Dear all,\n")
    for log in (letter, tmp_path / "missing"):
        done = _systrace(*command, str(log), "--output", str(out), stdout=subprocess.PIPE)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert out.read_text() == "old"
    done = _systrace(*command, LOG, "--output", str(out), stdout=subprocess.PIPE)
    assert (done.returncode in (0, 1), done.stdout, done.stderr) == (True, "", "")
    assert len(out.read_text()) > 20
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["letter", "report"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_there_stays_where_reading_is_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    """And nothing is left beside it."""
    fifo, out = tmp_path / "fifo", tmp_path / "report"
    os.mkfifo(fifo)
    out.write_text("old")
    command = [sys.executable, "-m", "systrace", "events", str(fifo), "--output", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as job, fifo.open("wb") as writer:
        line = b"9 1700000100.000001 close(3) = 0 <0.000001>\n"
        writer.write(line * 20_000)  # more than a pipe holds: it is being read
        writer.flush()
        for _ in range(2 if number == signal.SIGINT else 1):  # the first one ends the input
            with contextlib.suppress(ProcessLookupError):
                job.send_signal(number)
        job.wait(30)
    if number == signal.SIGINT:
        assert job.returncode in (0, -number)  # the second came after its end, or before
        assert out.read_text() == "old" if job.returncode else out.read_text().count('"close"') > 10_000
    else:
        assert job.returncode == -number
        assert out.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["fifo", "report"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could change a device's mode")
def test_a_device_keeps_its_mode(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.chmod(0o666)
        device.open("wb").close()
    except OSError as error:
        pytest.skip(f"mknod: {error.strerror}")
    for words in (("parse", LOG, "--output"), ("follow", LOG, "--socket", "S4", "--output")):
        assert _systrace(*words, str(device), stdout=subprocess.PIPE).stderr == ""
    mode = device.stat().st_mode
    assert (stat.S_ISCHR(mode), stat.S_IMODE(mode)) == (True, 0o666)


def test_descriptors_and_pipes_with_a_name(tmp_path: Path) -> None:
    plain = _systrace("parse", LOG, stdout=subprocess.PIPE).stdout
    for name in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        assert _systrace("parse", LOG, "--output", name, stdout=subprocess.PIPE).stdout == plain
    assert _systrace("parse", LOG, "--output", "/dev/stderr").stderr == plain
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE, text=True) as reader:
        assert _systrace("parse", LOG, "--output", str(fifo)).returncode == 1
        assert reader.communicate(timeout=30)[0] == plain
    done = _systrace("parse", LOG, "--output", str(fifo))
    assert (done.returncode, done.stderr) == (2, f"systrace: cannot write {fifo}: nobody reads this pipe\n")


def test_bytes_of_a_body_are_not_for_a_terminal(tmp_path: Path) -> None:
    """They may hold what it obeys."""
    log = tmp_path / "log"
    sent = 'sendto(3, "GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", 27, 0, NULL, 0) = 27'
    got = r'recvfrom(3, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\33[2J", 4096, 0, NULL, NULL) = 42'
    peer = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16'
    log.write_text(f"socket(AF_INET, SOCK_STREAM, 0) = 3\nconnect(3, {peer}) = 0\n{sent}\n{got}\n")
    words = ("follow", str(log), "--socket", "S1", "--save-body")
    assert _systrace(*words, "/dev/stdout", stdout=subprocess.PIPE).stdout == "\x1b[2J"
    controller, worker = pty.openpty()
    for name in ("/dev/stdout", os.ttyname(worker)):
        done = _systrace(*words, name, stdout=worker)
        assert (done.returncode, done.stderr) == (
            2,
            f"systrace: --save-body {name}: raw bytes can do anything to a terminal: name a file\n",
        )
    os.set_blocking(controller, False)
    with pytest.raises(BlockingIOError):
        os.read(controller, 100)
    os.close(controller)
    os.close(worker)


@pytest.mark.parametrize(
    "words",
    [["check", "{}"], ["check", "--save-facts", "{}", "127.0.0.1:1"], ["redact", "{}", "-o", "out"], ["parse", "{}"],
     ["aws", "{}", "--data", "/nonexistent"], ["diff", "{}", "{}"], ["events", "{}"], ["follow", "{}"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_name_that_is_too_long_for_one_is_said(words: list[str]) -> None:
    done = _systrace(*(word.format("a" * 5000) for word in words))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2, done.stderr
