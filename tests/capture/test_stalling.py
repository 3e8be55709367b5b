"""A stall is a hang as old as was asked for, in a job in which nothing moves."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from systrace.capture import stalling
from systrace.capture.looking import Looked
from systrace.capture.plan import signal_named
from systrace.capture.stalling import Killer, Moments, _Progress
from systrace.errors import UsageError
from systrace.tracers.waiting import Running


@pytest.mark.parametrize(("text", "number"), [("TERM", 15), ("sigint", 2), ("9", 9), ("SIGKILL", 9)])
def test_signals_are_named_as_kill_names_them(text: str, number: int) -> None:
    assert signal_named(text) == number


@pytest.mark.parametrize("text", ["", "SIGNAL", "0", "999", "-9"])
def test_what_is_no_signal_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="no signal"):
        signal_named(text)


def progress(
    at: float, *, cpu: float = 0.0, written: int = 0, moved: object = 0, pids: tuple[int, ...] = (1,)
) -> _Progress:
    return _Progress(frozenset(Running(pid, 1) for pid in pids), cpu, written, (moved,), at)


def test_threads_that_tick_make_no_progress() -> None:
    before = progress(0.0)
    assert not progress(100.0, cpu=1.5, written=800).since(before)
    assert progress(100.0, cpu=30.0).since(before)
    assert progress(100.0, written=1 << 20).since(before)
    assert progress(100.0, moved=1).since(before)
    assert progress(100.0, pids=(1, 2)).since(before)


@dataclass
class FakeWatcher:
    """A job of one process, which is this one's child."""

    processes: list[Running]
    moved: dict[int, tuple[int, int]] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def family(self) -> list[Running]:
        return self.processes


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        yield process
        process.kill()


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("systrace.capture.stalling.time.monotonic", lambda: self.now)


def hung(process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, *, grave: bool) -> list[int]:
    """Replaces the judgement of a look at the process; what was looked at is listed. A real look needs real time."""
    looks: list[int] = []
    real = Looked.at(process.pid)

    def at(pid: int, _secrets: bool = False, _long_s: float | None = None) -> Looked:
        looks.append(pid)
        return real

    monkeypatch.setattr(Looked, "at", at)
    monkeypatch.setattr(stalling, "_hangs", lambda _looked, _after: grave)
    return looks


def test_a_stall_is_told_once(sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    looks, clock = hung(sleeper, monkeypatch, grave=True), Clock(monkeypatch)
    told: list[bool] = []
    moments = Moments(sleeper.pid, lambda _looked, stalled: told.append(stalled), after_s=10)
    watcher = FakeWatcher([Running.of(sleeper.pid)])
    for _ in range(30):
        moments.watch(watcher)  # type: ignore[arg-type]
        clock.now += 1.0
    assert told == [True]
    assert looks == [sleeper.pid]
    watcher.moved[7] = (1, 1)  # it went on
    for _ in range(30):
        moments.watch(watcher)  # type: ignore[arg-type]
        clock.now += 1.0
    assert told == [True, True]


def test_what_is_no_hang_is_looked_at_now_and_then(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, clock = hung(sleeper, monkeypatch, grave=False), Clock(monkeypatch)
    told: list[bool] = []
    moments = Moments(sleeper.pid, lambda _looked, stalled: told.append(stalled), after_s=40)
    watcher = FakeWatcher([Running.of(sleeper.pid)])
    for _ in range(100):
        moments.watch(watcher)  # type: ignore[arg-type]
        clock.now += 1.0
    assert not told
    assert not moments.stalled
    assert 5 <= len(looks) <= 7  # from 40 s on, each 10 s


def test_who_sleeps_has_not_stalled(sleeper: subprocess.Popen[bytes]) -> None:
    assert not stalling._hangs(Looked.at(sleeper.pid, long_s=0.0), 0.0)


def test_who_asks_is_told(sleeper: subprocess.Popen[bytes]) -> None:
    told: list[tuple[int, bool]] = []
    moments = Moments(sleeper.pid, lambda looked, stalled: told.append((looked.pid, stalled)))
    moments.now().join(30)
    assert told == [(sleeper.pid, False)]


def test_a_job_that_is_gone_is_no_fault(capfd: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    Moments(process.pid, lambda *_: pytest.fail("nothing to tell")).now().join(30)
    assert "no report of this moment" in capfd.readouterr().err


def test_whoever_can_not_be_told_harms_nobody(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def tell(_looked: Looked, _stalled: bool) -> None:
        raise OSError(28, "No space left on device")

    hung(sleeper, monkeypatch, grave=True)
    clock = Clock(monkeypatch)
    moments = Moments(sleeper.pid, tell, after_s=1)
    watcher = FakeWatcher([Running.of(sleeper.pid)])
    for _ in range(3):
        moments.watch(watcher)  # type: ignore[arg-type]
        clock.now += 2.0
    assert "no report of this moment: OSError: [Errno 28] No space left on device" in capfd.readouterr().err
    assert moments.stalled  # told or not, it is ended where that was asked for


def test_nothing_is_told_once_the_run_is_over(sleeper: subprocess.Popen[bytes]) -> None:
    moments = Moments(sleeper.pid, lambda *_: pytest.fail("the report of the whole run is overwritten"))
    moments.close()
    moments.now().join(30)


def test_a_job_that_can_not_be_ended_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stalling, "_GRACE_S", 0.0)
    moments = Moments(1, lambda *_: None, after_s=5)
    moments.stalled = True
    killer = Killer(moments, signal.SIGTERM, lambda _line: None)
    for _ in range(3):
        killer.watch(FakeWatcher([]))  # type: ignore[arg-type]
    assert capfd.readouterr().err.count("--stall-kill") == 1


def test_the_job_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    moments = Moments(sleeper.pid, lambda *_: None, after_s=5)
    watcher, notes = FakeWatcher([Running.of(sleeper.pid)]), list[bytes]()
    killer = Killer(moments, signal.SIGTERM, notes.append)
    killer.watch(watcher)  # type: ignore[arg-type]
    assert sleeper.poll() is None  # it has not stalled
    assert not notes
    moments.stalled = True
    watcher.over.set()
    killer.watch(watcher)  # type: ignore[arg-type]
    assert sleeper.wait(30) == -signal.SIGTERM
    assert notes == [b'# systrace: {"stall_kill": "SIGTERM", "stalled_s": 5}']


def test_who_does_not_go_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalling, "_GRACE_S", 0.05)
    with subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done"], stdout=-1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        moments = Moments(process.pid, lambda *_: None, after_s=5)
        moments.stalled = True
        Killer(moments, signal.SIGTERM, lambda _line: None).watch(FakeWatcher([Running.of(process.pid)]))  # type: ignore[arg-type]
        assert process.wait(30) == -signal.SIGKILL


def test_a_stranger_with_the_number_is_spared() -> None:
    own = Running.of(os.getpid())
    moments = Moments(own.pid, lambda *_: None, after_s=5)
    moments.stalled = True
    watcher = FakeWatcher([Running(own.pid, own.start - 1)])
    watcher.over.set()
    Killer(moments, signal.SIGKILL, lambda _line: None).watch(watcher)  # type: ignore[arg-type]
