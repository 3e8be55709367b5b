"""The whole way for an ordinary user: run, attach, keepalive, and what he is told of processes that are not his."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="becoming an ordinary user needs root"),
    pytest.mark.skipif(not shutil.which("setpriv") or not shutil.which("unshare"), reason="util-linux is missing"),
]
# The interpreter and this repository may be where only root may look: the user sees them in a mount namespace of his own.
BECOME = """
cd "$1" && shift
mount --bind "$1" python && mount --bind "$2" venv && mount --bind "$3" repository || exit 99
shift 3
cd home
exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all -- "$@"
"""
WAITING = """
import socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall(b"?")
print("asked", flush=True)
client.recv(10)
"""


class User:
    """An ordinary user with a home."""

    def __init__(self, top: Path) -> None:
        self.top, self.home = top, top / "home"
        top.chmod(0o755)
        for name in ("python", "venv", "repository", "home"):
            (top / name).mkdir()
        os.chown(self.home, NOBODY, NOBODY)
        site = Path(pytest.__file__).parents[1].relative_to(sys.prefix)
        program = Path(sys.executable).resolve().relative_to(sys.base_prefix)
        self.python = str(top / "python" / program)
        self._path = f"{top}/repository:{top}/venv/{site}"

    def start(self, *command: object) -> subprocess.Popen[str]:
        """A process of his."""
        places = [str(self.top), sys.base_prefix, sys.prefix, str(ROOT)]
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", BECOME, "sh", *places, *map(str, command)],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": self._path, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def systrace(self, *words: object) -> subprocess.CompletedProcess[str]:
        """systrace, to its end."""
        process = self.start(self.python, "-m", "systrace", *words)
        out, err = process.communicate(timeout=90)
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess([], process.returncode, out, err)


@pytest.fixture
def user() -> Iterator[User]:
    """Who has nothing but a home."""
    with tempfile.TemporaryDirectory(prefix="user-") as top:  # not pytest's own, which belongs to root alone
        yield User(Path(top))


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def hung(user: User, server: int) -> Iterator[int]:
    """A process of the user's that waits for an answer, no child of the systrace that will look at it."""
    process = user.start(user.python, "-c", WAITING, server)
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    yield process.pid
    process.kill()
    process.communicate()


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_a_job_of_his_is_recorded_and_judged(user: User, closed: int, tracer: str) -> None:
    job = f"id -u; {user.python} -c 'import socket; socket.create_connection((\"127.0.0.1\", {closed}))' 2>/dev/null; exit 3"
    saved = user.home / "job.strace.gz"
    done = user.systrace("run", "--tracer", tracer, "--save", saved, "--", "sh", "-c", job)
    assert (done.returncode, done.stdout) == (3, f"{NOBODY}\n"), done.stderr
    assert f"127.0.0.1:{closed}" in done.stderr
    assert "refused" in done.stderr
    assert "incomplete" not in done.stderr
    assert (stat.S_IMODE(saved.stat().st_mode), saved.stat().st_uid) == (0o600, NOBODY)
    read = user.systrace("parse", "--format", "json", saved)
    assert json.loads(read.stdout)["verdict"]["cause"] == "connect-refused"


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_a_set_uid_program_in_his_job_runs_without_its_rights(user: User, tracer: str) -> None:
    """As under any tracer without privileges (ptrace(2), execve(2)); the job goes on."""
    program = user.home / "id"
    shutil.copy(shutil.which("id") or "", program)
    program.chmod(0o4755)  # root's
    done = user.systrace("run", "--tracer", tracer, "--", "sh", "-c", f"{program} -u; echo on")
    assert (done.returncode, done.stdout) == (0, f"{NOBODY}\non\n")


def test_what_a_process_of_his_waits_for_is_seen_without_touching_it(user: User, hung: int, server: int) -> None:
    done = user.systrace("attach", hung, "--passive")
    assert f"127.0.0.1:{server}" in done.stdout
    assert "no keepalive" in done.stdout


@pytest.mark.skipif(
    Path("/proc/sys/kernel/yama/ptrace_scope").exists()
    and Path("/proc/sys/kernel/yama/ptrace_scope").read_text() != "0\n",
    reason="Yama forbids it here",
)
@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_a_process_of_his_is_traced(user: User, hung: int, server: int, tracer: str) -> None:
    done = user.systrace("attach", hung, "--for", "0.5", "--tracer", tracer, "--format", "json")
    verdict = json.loads(done.stdout)["verdict"]
    assert (verdict["cause"], verdict["peer"]) == ("hung-read", f"127.0.0.1:{server}")


def test_keepalive_for_a_connection_of_his(user: User, hung: int) -> None:
    done = user.systrace("keepalive", hung, "--idle", "61")
    assert done.returncode == 0
    assert "keepalive off" in done.stdout
    assert "=> after 61 s" in done.stdout


@pytest.mark.parametrize(
    "words", [("attach",), ("attach", "--passive"), ("attach", "--tracer", "embedded"), ("keepalive",)]
)
def test_a_process_of_roots_is_refused_with_what_grants_it(user: User, words: tuple[str, ...]) -> None:
    with subprocess.Popen(["sleep", "60"]) as target:
        done = user.systrace(*words, target.pid)
        target.kill()
    said = done.stdout + done.stderr
    assert "belongs to user root: run as that user (sudo -u root" in " ".join(said.split())
    assert f"sudo systrace {words[0]} {target.pid}" in " ".join(said.split())
    assert done.returncode == (0 if "--passive" in words else 2)


def test_doctor_tells_him_what_he_may_not(user: User) -> None:
    done = user.systrace("doctor")
    assert done.returncode in (0, 1)
    assert "CAP_SYS_PTRACE" in done.stdout
