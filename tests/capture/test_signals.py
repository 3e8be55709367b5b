from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from systrace.capture.signals import delivered

RELAYED = """
import os, queue, signal, subprocess, sys
from systrace.capture.signals import Relay
seen = queue.Queue()
before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
with Relay() as relay:
    assert relay.original == set(map(int, before))
    os.kill(os.getpid(), signal.SIGTERM)  # before the start: kept
    relay.start(lambda *got: seen.put(got))
    assert seen.get(timeout=20) == (signal.SIGTERM, os.getpid(), False)
    subprocess.run([sys.executable, "-c", f"import os; os.kill({os.getpid()}, 10)"], check=True)
    number, sender, tty = seen.get(timeout=20)
    assert (number, tty) == (signal.SIGUSR1, False) and sender != os.getpid()
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
print("done")
"""


def test_a_signal_goes_to_the_handler_with_its_sender() -> None:
    """In a process of its own: here other threads would take the signals."""
    done = subprocess.run([sys.executable, "-c", RELAYED], capture_output=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == (b"done\n", b"")


@pytest.mark.parametrize(
    ("pid", "name", "sender", "age", "expected"),
    [
        (5, "SIGTERM", 9, 0, True),
        (5, "SIGTERM", 9, 30, False),
        (6, "SIGTERM", 9, 0, False),
        (5, "SIGINT", 9, 0, False),
        (5, "SIGTERM", 8, 0, False),
    ],
)
def test_the_trace_tells_whether_the_job_has_had_it(
    tmp_path: Path, pid: int, name: str, sender: int, age: int, expected: bool
) -> None:
    path = tmp_path / "t"
    info = f"{{si_signo={name}, si_code=SI_USER, si_pid={sender}, si_uid=0}}"
    line = f"{pid} {time.time() - age:.9f} --- {name} {info} ---\n"
    path.write_text("5 1.000000001 read(3, 4) = 1\n" * 5000 + line)
    assert delivered(path, 5, signal.SIGTERM, 9) is expected


def test_no_recording_no_delivery(tmp_path: Path) -> None:
    assert not delivered(tmp_path / "none", 5, signal.SIGTERM, 9)
