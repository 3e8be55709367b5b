"""What strace starts: descriptors get the numbers that they had, whoever stands in the way; nothing else is changed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.tracers import launch

PLACE = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from systrace.tracers.launch import _place
task = json.loads(sys.argv[2])
# Descriptors that can be told from each other: each is a file of its own, at the number that the task says.
base = 600
def make(number, name):
    high = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    os.dup2(high, base)
    os.close(high)
    os.dup2(base, number)
    os.close(base)
os.chdir(task["directory"])
for ours, number in task["pending"]:
    make(ours, f"for-{number}")
for index, number in enumerate(task["tools"]):
    make(number, f"tool-{index}")
before = len(os.listdir("/proc/self/fd"))
tools = list(task["tools"])
_place({ours: number for ours, number in task["pending"]}, tools)
for _ours, number in task["pending"]:
    assert os.readlink(f"/proc/self/fd/{number}").endswith(f"/for-{number}"), number
    assert os.get_inheritable(number), number
for index, number in enumerate(tools):
    assert os.readlink(f"/proc/self/fd/{number}").endswith(f"/tool-{index}"), index
assert len(os.listdir("/proc/self/fd")) == before, "one was lost, or is left over"
"""


@pytest.mark.parametrize("seed", range(12))
def test_each_gets_its_number_whoever_is_there(seed: int, tmp_path: Path) -> None:
    """Circles, chains, those that stay, tools in the way: at random."""
    import json

    chance = random.Random(seed)
    numbers = chance.sample(range(10, 40), 24)
    wanted = chance.sample(range(10, 40), 22)
    pending = list(zip(numbers[:22], wanted, strict=True))
    task = json.dumps({"pending": pending, "tools": numbers[22:], "directory": str(tmp_path)})
    words = [sys.executable, "-c", PLACE, str(Path(__file__).parents[2]), task]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_environment_is_that_of_the_start_to_the_byte() -> None:
    """Python adds LC_CTYPE in the C locale; os.environ would leave out what has no `=` or no name."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); from systrace.tracers.launch import environment; "
    script += "sys.stdout.buffer.write(repr(sorted(environment().items())).encode())"
    given = {b"LC_ALL": b"", b"LANG": b"C", b"odd-name": b"\xff\n=x", b"EMPTY": b"", b"PATH": b"/usr/bin"}
    words = [sys.executable, "-c", script, str(Path(__file__).parents[2])]
    done = subprocess.run(words, capture_output=True, check=True, env=given)
    assert done.stdout.decode() == repr(sorted(given.items()))


@pytest.mark.parametrize(
    ("text", "mode", "status"),
    [("#!/bin/sh\nexit 7\n", 0o755, 7), ("exit $1\n", 0o755, 11), ("exit 3\n", 0o644, 126), (None, 0, 127)],
)
def test_what_is_no_program_is_run_as_a_shell_would(text: str | None, mode: int, status: int, tmp_path: Path) -> None:
    path = tmp_path / "job"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    child = os.fork()
    if child == 0:
        try:
            launch.execute(os.fsencode(path), [b"job", b"11"], dict(os.environb))
        except OSError as error:
            os._exit({2: 127, 13: 126}.get(error.errno or 0, 1))
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status


def test_it_says_who_traces_it() -> None:
    assert launch._tracer() in (0, int(Path("/proc/self/status").read_text().split("TracerPid:\t")[1].split("\n")[0]))
    assert launch.NAME == b"systrace-launch"
    assert len(launch.NAME) <= 15  # TASK_COMM_LEN of linux/sched.h, with its NUL


def test_it_imports_next_to_nothing() -> None:
    """Every traced job waits for it."""
    words = [sys.executable, "-I", "-S", "-c", "import os, sys; print(len(sys.modules))"]
    bare = int(subprocess.run(words, capture_output=True, check=True).stdout)
    script = f"import sys; sys.argv = ['x']\ntry: exec(open({launch.__file__!r}).read(), {{'__name__': 'x'}})\n"
    script += "finally: print(len(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, check=True)
    assert int(done.stdout) <= bare + 2  # _signal and errno, which are built in
