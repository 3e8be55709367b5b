"""Ctrl-C at any moment of any command, on a busy machine: silence, and the status of SIGINT."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

LOG = str(Path(__file__).parents[2] / "samples" / "hung-read" / "trace.strace")
STATUS = (-signal.SIGINT, 128 + signal.SIGINT)  # a shell says 130 of both
OURS = re.compile(r'File "[^"]*/systrace/(?!__init__)')  # before that, Python itself is being started
COMMANDS: dict[str, list[str]] = {
    "parse": ["parse", LOG],
    "events": ["events", LOG],
    "requests": ["requests", LOG],
    "follow": ["follow", LOG, "--socket", "S4"],
    "explain": ["explain"],
    "doctor": ["doctor"],
    "version": ["--version"],
    "help": ["run", "--help"],
    "keepalive": ["keepalive", "1", "--dry-run"],
    "attach": ["attach", "1", "--passive"],
}


@pytest.fixture(autouse=True)
def load() -> Iterator[None]:
    """Two busy loops beside."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for each in loops:
        each.kill()
        each.wait()


def _interrupted(words: list[str], seconds: float) -> tuple[int, str]:
    command = [sys.executable, "-m", "systrace", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as job:
        time.sleep(seconds)
        job.send_signal(signal.SIGINT)
        _out, err = job.communicate(timeout=60)
    return job.returncode, err


@pytest.mark.parametrize("name", COMMANDS)
def test_no_traceback_whenever_it_comes(name: str) -> None:
    chance = random.Random(name)
    interrupted = 0
    for _ in range(8):
        status, err = _interrupted(COMMANDS[name], chance.uniform(0, 0.04 if name == "version" else 0.5))
        assert not OURS.search(err), err
        if status in STATUS:
            interrupted += 1
        else:
            assert status in (0, 1, 2), err
    assert interrupted, "some came in time"


ENDING = """
import atexit, importlib, os, pkgutil, signal, sys
import systrace.commands as commands
for module in pkgutil.iter_modules(commands.__path__):
    importlib.import_module("systrace.commands." + module.name)
from systrace.errors import UsageError

signal.signal(signal.SIGINT, signal.default_int_handler)
moment = sys.argv[1]
def app(**_options):
    if moment == "error":
        try:
            raise UsageError("wrong")
        finally:
            os.kill(os.getpid(), signal.SIGINT)
    if moment == "work":
        os.kill(os.getpid(), signal.SIGINT)
    sys.exit(0)
commands.app = app
if moment == "end":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
commands.main()
"""


@pytest.mark.parametrize("moment", ["error", "work", "end"])
def test_no_traceback_where_python_ends(moment: str) -> None:
    """In the handling of another error, in the work, and while Python tidies up."""
    done = subprocess.run([sys.executable, "-c", ENDING, moment], capture_output=True, text=True, timeout=60)
    assert (done.returncode in STATUS, done.stdout, done.stderr) == (True, "", "")


def test_a_signal_that_is_ignored_stays_so() -> None:
    """nohup, & in scripts."""
    command = [sys.executable, "-m", "systrace", "parse", LOG]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    ) as job:
        for _ in range(20):
            time.sleep(0.02)
            os.kill(job.pid, signal.SIGINT)
        out, _err = job.communicate(timeout=60)
    assert job.returncode == 1
    assert out.startswith(b"HUNG")
