from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from systrace.tracers.signals import Relay, delivered


def test_a_signal_goes_to_the_handler_with_its_sender() -> None:
    seen: queue.Queue[tuple[signal.Signals, int, bool]] = queue.Queue()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with Relay() as relay:
        assert relay.original == {int(number) for number in before}
        os.kill(os.getpid(), signal.SIGTERM)  # before the start: kept
        relay.start(lambda *got: seen.put(got))
        assert seen.get(timeout=20) == (signal.SIGTERM, os.getpid(), False)
        subprocess.run([sys.executable, "-c", f"import os; os.kill({os.getpid()}, 10)"], check=True)
        number, sender, tty = seen.get(timeout=20)
        assert (number, tty) == (signal.SIGUSR1, False)
        assert sender != os.getpid()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


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
