"""An ordinary user of this machine, and a process of his that hangs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.jobs import RUN

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
# The interpreter and this repository may be where only root may look: the user sees them in a mount namespace of his own.
BECOME = """
cd "$1" && shift
mount --bind "$1" python && mount --bind "$2" site && mount --bind "$3" repository || exit 99
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
        for name in ("python", "site", "repository", "home"):
            (top / name).mkdir()
        os.chown(self.home, NOBODY, NOBODY)
        program = Path(sys.executable).resolve().relative_to(sys.base_prefix)
        self.python = str(top / "python" / program)
        self._path = f"{top}/repository:{top}/site"

    def start(self, *command: object) -> subprocess.Popen[str]:
        """A process of his."""
        places = [str(self.top), sys.base_prefix, str(Path(pytest.__file__).parents[1]), str(ROOT)]
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", BECOME, "sh", *places, *map(str, command)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "PYTHONPATH": self._path,
                "LD_LIBRARY_PATH": f"{self.top}/python/lib",  # of an interpreter that is a shared library
                "LC_ALL": "C.UTF-8",
            },
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
def hung(user: User, server: int) -> Iterator[int]:
    """A process of the user's that waits for an answer, no child of the systrace that will look at it."""
    process = user.start(user.python, "-c", WAITING, server)
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    yield process.pid
    process.kill()
    process.communicate()


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


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory like /tmp, below one that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="outputs-") as top:
        Path(top).chmod(0o755)
        directory = Path(top) / "shared"
        directory.mkdir()
        directory.chmod(0o1777)
        yield directory


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What spoils the machine until its next boot comes last."""
    items.sort(key=lambda item: item.get_closest_marker("spoils") is not None)
