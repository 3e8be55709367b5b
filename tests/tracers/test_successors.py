"""A number that went to another process before the tracer came: the stranger is noticed and left alone."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.capture.process_tree import descendants
from systrace.errors import CaptureError
from systrace.tracers import TRACERS, Request, Tracer
from systrace.tracers.embedded_worker import requests
from systrace.tracers.embedded_worker.attach import Replaced, attach
from systrace.tracers.embedded_worker.loop import Loop
from systrace.tracers.embedded_worker.names import native
from systrace.tracers.embedded_worker.output import Output
from systrace.tracers.embedded_worker.stops import Calls
from systrace.tracers.waiting import Running, tracer_of
from tests.tracers.successor import kill_and_reap, stranger

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose the number of a new process"),
]
CALLS = frozenset({"epoll_wait", "read", "write"})
MESSAGE = r"process \d+ has ended, and its number belongs to another process now"


@pytest.fixture(params=["strace", "embedded"])
def tracer(request: pytest.FixtureRequest) -> Tracer:
    return TRACERS[request.param]


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        yield process
        process.kill()


def test_who_has_a_number() -> None:
    me = Running.of(os.getpid())
    assert me == Running.of(os.getpid())
    assert not me.replaced()
    assert Running(me.pid, me.start - 1).replaced()
    assert not Running(4194303, 1).replaced()  # gone is not replaced
    with pytest.raises(ProcessLookupError):
        Running.of(4194303)


def test_descendants_come_with_their_start(victim: subprocess.Popen[bytes]) -> None:
    assert Running.of(victim.pid) in descendants(os.getpid())


def test_replaced_before_the_tracer_starts(tracer: Tracer, victim: subprocess.Popen[bytes], tmp_path: Path) -> None:
    meant = Running.of(victim.pid)
    kill_and_reap(victim)
    with stranger(meant.pid) as said:
        with pytest.raises(CaptureError, match=MESSAGE), tracer.attach([meant], Request(tmp_path / "trace", CALLS)):
            pass
        assert tracer_of(meant.pid) == 0
        assert os.read(said, 9) == b"0\n"  # not interrupted
    assert not (tmp_path / "trace").exists() or (tmp_path / "trace").read_bytes() == b""


def test_a_descendant_that_was_replaced(tracer: Tracer, victim: subprocess.Popen[bytes], tmp_path: Path) -> None:
    meant = Running.of(victim.pid)
    kill_and_reap(victim)
    with subprocess.Popen(["/bin/sleep", "600"]) as other, stranger(meant.pid) as said:
        family = [Running.of(other.pid), meant]
        with pytest.raises(CaptureError, match=MESSAGE), tracer.attach(family, Request(tmp_path / "trace", CALLS)):
            pass
        assert (tracer_of(other.pid), tracer_of(meant.pid)) == (0, 0)
        other.kill()
        assert os.read(said, 9) == b"0\n"


def test_replaced_between_the_look_and_strace(
    victim: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """strace takes numbers only: it is told to let go as soon as it has the wrong one."""
    meant = Running.of(victim.pid)
    start = subprocess.Popen

    def late(words: list[str], **more: object) -> subprocess.Popen[bytes]:
        kill_and_reap(victim)
        monkeypatch.undo()
        numbers.append(context.__enter__())
        return start(words, **more)  # type: ignore[call-overload, no-any-return]

    numbers: list[int] = []
    context = stranger(meant.pid)
    monkeypatch.setattr(subprocess, "Popen", late)
    request = Request(tmp_path / "trace", CALLS)
    try:
        with pytest.raises(CaptureError, match=MESSAGE), TRACERS["strace"].attach([meant], request):
            pass
        assert numbers
        assert tracer_of(meant.pid) == 0
    finally:
        context.__exit__(None, None, None)


def test_replaced_between_the_look_and_the_seizure(tmp_path: Path) -> None:
    """The worker sees it before it stops anything, and ends; the kernel lets go of what was seized but never stopped."""
    child = os.fork()
    if child == 0:  # as the worker: what it seized goes with it
        status = 1
        try:
            status = _seize_a_successor(tmp_path / "trace")
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def _seize_a_successor(trace: Path) -> int:
    victim = subprocess.Popen(["/bin/sleep", "600"])
    meant = Running.of(victim.pid)
    context = stranger(meant.pid)
    seize, numbers = requests.seize, []

    def late(tid: int, options: int) -> None:
        kill_and_reap(victim)
        numbers.append(context.__enter__())
        seize(tid, options)

    abi = native()[0]
    calls = Calls(Output(os.open(trace, os.O_WRONLY | os.O_CREAT, 0o600)), {})
    requests.seize = late
    try:
        attach(Loop(calls, abi, filtered=False), [meant], abi, requests.O_FOLLOW)
    except Replaced as error:
        return 42 if error.pid == meant.pid and os.read(numbers[0], 9) == b"0\n" else 3
    return 4


def test_the_command_says_so(victim: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """`attach` whose target is replaced while it makes its first report."""
    script = tmp_path / "attach.py"
    script.write_text(
        "import os, sys\n"
        "from systrace.capture import attaching, looking\n"
        "from tests.tracers.successor import stranger\n"
        "import contextlib, signal\n"
        "take = looking.take\n"
        "stack = contextlib.ExitStack()\n"
        "def late(pid):\n"
        "    found = take(pid)\n"
        "    os.kill(pid, signal.SIGKILL)\n"
        "    os.waitpid(pid, 0)\n"
        "    stack.enter_context(stranger(pid))\n"
        "    return found\n"
        "looking.take = late\n"
        "pid = os.spawnv(os.P_NOWAIT, '/bin/sleep', ['sleep', '600'])\n"
        "with stack:\n"
        "    try:\n"
        "        attaching.attach_to(attaching.Options((pid,), (), None, False, '1', None, None, 'table', 'strace', '4096'))\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert "CaptureError" in done.stdout, done.stderr
    assert "ended before it could be traced" in done.stdout


_LATE = """
import os, signal, subprocess, sys
from systrace.capture import attaching
from tests.tracers.successor import kill_and_reap, stranger
victim = subprocess.Popen(['/bin/sleep', '600'])
start, context = subprocess.Popen, stranger(victim.pid)
def late(words, *rest, **more):
    if '-p' in words:
        kill_and_reap(victim)
        subprocess.Popen = start
        context.__enter__()
    return start(words, *rest, **more)
subprocess.Popen = late
try:
    options = attaching.Options((victim.pid,), (), None, False, '1', sys.argv[1], None, 'table', 'strace', '4096')
    attaching.attach_to(options)
except Exception as error:
    print(type(error).__name__, error)
finally:
    context.__exit__(None, None, None)
"""


@pytest.mark.parametrize("name", ["t.strace", "t.strace.gz"])
def test_a_strangers_calls_are_not_kept(tmp_path: Path, name: str) -> None:
    """Replaced between the last look and strace: the recording holds what was seen of the process that was meant."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-c", _LATE, str(tmp_path / name)]
    done = subprocess.run(words, capture_output=True, check=False, text=True, env=environment)
    assert "CaptureError cannot attach: process" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    data = (tmp_path / name).read_bytes()
    lines = (gzip.decompress(data) if name.endswith(".gz") else data).splitlines()
    assert all(line.startswith(b"# systrace: ") for line in lines)
    assert b'"snapshot"' in lines[1]
    assert b"belongs to another process now" in lines[-1]
