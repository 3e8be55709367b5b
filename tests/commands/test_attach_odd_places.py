"""`systrace attach` where something is missing: /dev/null, descriptors, the working directory, a place for the report."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.capture import attaching
from systrace.capture.attaching import Options, attach_to
from systrace.errors import CaptureError
from systrace.tracers.waiting import status_field, tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="the tests are being traced themselves"),
]
ROOT = Path(__file__).resolve().parents[2]
ATTACH = [sys.executable, "-m", "systrace", "attach"]
TRACERS = pytest.mark.parametrize("tracer", ["strace", "embedded"])


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that sleeps, and does so to the end of the test."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        while not (status_field(process.pid, "State") or "").startswith("S"):
            time.sleep(0.01)
        yield process.pid
        assert process.poll() is None
        assert tracer_of(process.pid) == 0
        process.kill()


def attach(*words: object, before: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it from a shell that does something before."""
    command = ["sh", "-c", f'{before}\nexec "$@"', "sh", *ATTACH, *map(str, words)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        capture_output=True,
        timeout=60,
        check=False,
        text=True,
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@TRACERS
@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace without /dev/null needs root")
@pytest.mark.parametrize("broken", ["mount -t tmpfs none /dev", "mount -t tmpfs none /dev; mkdir /dev/null"])
def test_without_dev_null_it_is_said_in_a_line(sleeper: int, tracer: str, broken: str) -> None:
    def attached(*words: object) -> subprocess.CompletedProcess[str]:
        command = ["unshare", "--mount", "sh", "-c", f'{broken}; exec "$@"', "sh", *ATTACH, *map(str, words)]
        return subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)

    done = attached(sleeper, "--for", "0.2", "--tracer", tracer)
    assert (done.returncode, done.stdout) == (2, "")
    look, refused = done.stderr.splitlines()
    assert "sleeps on purpose" in look
    assert refused.startswith("systrace: cannot trace: /dev/null cannot be opened (")
    assert "--passive does without it" in refused
    passive = attached(sleeper, "--passive")
    assert (passive.returncode, passive.stderr) == (0, "")


@TRACERS
def test_with_too_few_descriptors_it_is_said_in_a_line(sleeper: int, tracer: str) -> None:
    """As many as it takes, one more each time."""
    worked = 0
    for number in range(5, 40):
        done = attach(sleeper, "--for", "0.05", "--tracer", tracer, before=f"ulimit -n {number}")
        lines = done.stderr.splitlines()
        assert all(line.startswith("systrace: ") for line in lines), (number, lines)
        assert done.returncode in (0, 2), (number, lines)
        assert bool(done.stdout) == (done.returncode == 0), (number, lines)
        assert tracer_of(sleeper) == 0
        worked += done.returncode == 0
        if worked == 3:
            break
    assert worked == 3
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 40  # ours is as it was


@TRACERS
def test_a_working_directory_that_is_gone(sleeper: int, tracer: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    report, saved = tmp_path / "report", tmp_path / "t"
    words = (sleeper, "--for", "0.1", "--tracer", tracer, "--report", report, "--save", saved)
    done = attach(*words, before='rmdir "$PWD"', cwd=gone)
    assert done.returncode == 0, done.stderr
    assert "sleep" in report.read_text()
    assert json.loads(saved.read_text().partition("\n")[0].removeprefix("# systrace: "))["cwd"] is None
    gone.mkdir()
    relative = attach(sleeper, "--passive", "--report", "report", before='rmdir "$PWD"', cwd=gone)
    assert (relative.returncode, relative.stdout) == (2, "")
    assert relative.stderr == "systrace: cannot write report: No such file or directory\n"


@pytest.mark.parametrize("option", ["--report", "--output"])
def test_the_report_goes_to_a_file_that_is_replaced_when_it_is_whole(sleeper: int, tmp_path: Path, option: str) -> None:
    report = tmp_path / "report"
    report.write_text("the old one " * 1000)
    report.chmod(0o640)
    done = attach(sleeper, "--passive", option, report)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "sleeps on purpose" in report.read_text()
    assert "the old one" not in report.read_text()
    failed = attach(4194303, "--passive", option, report)
    assert failed.returncode == 2
    assert "sleeps on purpose" in report.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_wrong_place_is_an_error_before_anything_is_looked_at(tmp_path: Path) -> None:
    """The process is not there: had it been looked at, that would be said."""
    (tmp_path / "fifo").touch()
    (tmp_path / "fifo").unlink()
    os.mkfifo(tmp_path / "fifo")
    places = {
        tmp_path: "it is a directory",
        tmp_path / "no" / "report": f"{tmp_path}/no: No such directory",
        tmp_path / "fifo": "nobody reads this pipe",
        Path("/dev/fd/99"): "Bad file descriptor",
    }
    for place, why in places.items():
        done = attach(4194303, "--report", place)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"systrace: cannot write {place}: {why}\n"
    same = attach(4194303, "--report", tmp_path / "t", "--save", tmp_path / "t")
    assert same.stderr == f"systrace: --report {tmp_path}/t is the same file as --save\n"
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's link needs root")
def test_another_users_link_is_not_followed(sleeper: int, tmp_path: Path) -> None:
    shared, target = tmp_path / "shared", tmp_path / "target"
    shared.mkdir()
    shared.chmod(0o1777)
    target.write_text("precious")
    (shared / "report").symlink_to(target)
    os.chown(shared / "report", 65534, 65534, follow_symlinks=False)
    done = attach(sleeper, "--passive", "--report", shared / "report")
    assert done.returncode == 2
    assert f"{shared}/report is a symbolic link of user" in done.stderr
    assert target.read_text() == "precious"


def test_a_pipe_and_a_device_take_the_report(sleeper: int, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_text()))
    reader.start()
    done = attach(sleeper, "--for", "0.1", "--report", fifo, "--format", "json")
    reader.join(30)
    assert done.returncode == 0, done.stderr
    assert json.loads(got[0])["schema"] == "systrace-report/1"
    mode = Path("/dev/null").stat().st_mode
    assert attach(sleeper, "--passive", "--report", "/dev/null").returncode == 0
    assert Path("/dev/null").stat().st_mode == mode
    assert "sleeps on purpose" in attach(sleeper, "--passive", "--report", "/dev/stderr").stderr
    full = attach(sleeper, "--passive", "--report", "/dev/full")
    assert (full.returncode, full.stderr) == (2, "systrace: cannot write /dev/full: No space left on device\n")


@pytest.mark.parametrize(
    ("word", "said"), [("400ms", "for 0.4 s"), ("0.3", "for 0.3 s"), ("0.005m", "for 0.3 s"), (".3s", None)]
)
def test_how_long_in_words(sleeper: int, word: str, said: str | None) -> None:
    done = attach(sleeper, "--for", word)
    if said is None:
        assert (done.returncode, done.stderr) == (
            2,
            f"systrace: --for: {word} is no duration: write 30s, 5m, 2h or 1d\n",
        )
    else:
        assert done.returncode == 0
        assert f"tracing 1 process {said}; Ctrl-C ends it earlier" in done.stderr


def test_what_nobody_expected_is_one_line(sleeper: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options((sleeper,), (), None, False, "0.1", None, None, "json", None, "4096")
    for error, said in (
        (
            ValueError("odd \x1b[2J"),
            r"a bug in systrace \(ValueError: odd \\x1b\[2J, .*\); the processes go on",
        ),
        (OSError(28, "No space left on device"), "the tracing stopped: No space left on device; the processes go on"),
        (OSError(2, "No such file", "/x"), "the tracing stopped: /x: No such file; the processes go on"),
        (MemoryError(), "a bug in systrace .MemoryError"),
    ):

        def fail(*_words: object, error: Exception = error) -> bool:
            assert tracer_of(sleeper) != 0
            raise error

        monkeypatch.setattr(attaching, "_wait", fail)
        with pytest.raises(CaptureError, match=said):
            attach_to(options)
        assert tracer_of(sleeper) == 0


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="giving up capabilities needs root")
def test_passive_of_what_may_not_be_looked_at_says_the_little_that_may_and_fails() -> None:
    with subprocess.Popen(["sleep", "60"], user=65534, group=65534, extra_groups=[]) as other:
        while not (status_field(other.pid, "State") or "").startswith("S"):
            time.sleep(0.01)
        before = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        command = [*before, *ATTACH, str(other.pid), "--passive"]
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
        other.kill()
    assert done.returncode == 2
    assert done.stdout.startswith("NOT CLEAR: sleep, ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"systrace: not looked at: process {other.pid} (sleep)")


@pytest.mark.skipif(not Path("/proc/2/status").exists(), reason="a pid namespace without kernel threads")
def test_a_kernel_thread_can_be_looked_at() -> None:
    done = attach(2, "--passive")
    assert (done.returncode, done.stderr) == (0, "")
    assert "kthreadd" in done.stdout
