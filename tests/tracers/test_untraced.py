"""The last resort: a job that nobody traces is the job that it would have been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from systrace.errors import CommandError
from systrace.tracers import Request, untraced

pytestmark = pytest.mark.real
REQUEST = Request(Path())


def status(*command: str, **more: object) -> int | None:
    with untraced.run(command, replace(REQUEST, **more)) as job:  # type: ignore[arg-type]
        return job.wait()


@pytest.mark.parametrize(
    ("script", "expected"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
)
def test_the_status_is_the_jobs(script: str, expected: int) -> None:
    assert status("/bin/sh", "-c", script) == expected


def test_name_and_environment() -> None:
    code = "import os, sys; sys.exit(open('/proc/self/cmdline', 'rb').read().split(b'\\0')[0] != b'other')"
    assert status(sys.executable, "-S", "-c", code, argv0="other") == 0
    assert status("/bin/sh", "-c", 'test "$X" = y', environment={b"X": b"y"}) == 0


def test_what_cannot_be_executed(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("exit 0")
    for path, code in ((tmp_path / "x", 127), (tmp_path / "plain", 126), (tmp_path, 126)):
        with pytest.raises(CommandError) as raised, untraced.run([str(path)], REQUEST):
            pass
        assert raised.value.exit_code == code


def test_a_script_without_interpreter_line(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("exit $1\n")
    (tmp_path / "job").chmod(0o755)
    assert status(str(tmp_path / "job"), "11") == 11


def test_waiting_has_a_limit_and_signals_arrive() -> None:
    with untraced.run(["/bin/sleep", "1000"], REQUEST) as job:
        assert job.wait(0.01) is None
        assert job.fault() is None
        job.stop()
        assert job.wait(0.01) is None
        job.signal(signal.SIGTERM)
        assert job.wait() == 143


DRIVER = """
import os, signal, sys
from pathlib import Path
from systrace.tracers import Request, untraced
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.set_inheritable(os.open("/dev/null", os.O_RDONLY), True)
request = Request(Path(), blocked=frozenset([signal.SIGUSR2]))
if sys.argv[1] == "become":
    untraced.become(sys.argv[2:], request)
with untraced.run(sys.argv[2:], request) as job:
    sys.exit(job.wait())
"""


@pytest.mark.parametrize("how", ["run", "become"])
def test_signals_descriptors_and_directory_are_as_without_us(how: str, tmp_path: Path) -> None:
    """SIGPIPE and SIGXFSZ, which Python ignores for itself, included; the mask is that from before the relay's."""

    def look(*command: str) -> list[str]:
        words = [sys.executable, "-c", DRIVER, how, *command]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        more = {"cwd": tmp_path, "env": environment, "umask": 0o27}
        return subprocess.run(words, capture_output=True, text=True, check=True, **more).stdout.splitlines()  # type: ignore[call-overload,no-any-return]

    blocked, ignored = look("/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")
    assert int(blocked.split()[1], 16) == 1 << (signal.SIGUSR2 - 1)
    assert int(ignored.split()[1], 16) == 1 << (signal.SIGHUP - 1)
    assert look("/bin/ls", "/proc/self/fd") == ["0", "1", "2", "3", "4"]  # 3 is what it was given, 4 that of ls
    assert look("/bin/sh", "-c", "pwd; umask") == [str(tmp_path), "0027"]
