"""Where the output goes can fail: a full disk, a reader that has gone, a terminal that sends signals."""

from __future__ import annotations

import os
import pty
import signal
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
