"""The course of `attach`: what is said when, what is traced, what is kept."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from systrace.capture import attaching
from systrace.capture.analyst import Analyst
from systrace.capture.attaching import Options, attach_to
from systrace.capture.looking import Looked
from systrace.capture.outlets import Outlets
from systrace.capture.recording import Recording
from systrace.capture.reporting import ReportTo
from systrace.errors import CaptureError
from systrace.outputs import place
from systrace.tracers import Capture, Request
from systrace.tracers.waiting import Running, status_field, tracer_of

pytestmark = pytest.mark.real
OPTIONS = Options((0,), (), None, False, "0.2", None, None, "json", "fake", "4096")


class FakeCapture:
    """A tracer's work that is over when asked to stop."""

    def __init__(self, pid: int, ends: bool = False) -> None:
        self.pid, self.tracer_pid = pid, pid
        self._ends = ends
        self.stopped = False
        self.signalled: list[int] = []

    def wait(self, seconds: float | None = None) -> int | None:
        return 0 if self._ends else None

    def signal(self, number: int) -> None:
        self.signalled.append(number)

    def stop(self) -> None:
        self.stopped = True

    def fault(self) -> str | None:
        return None


class FakeTracer:
    """Writes what it is told, or refuses."""

    name = "fake"
    rank = 0
    stops = True

    def __init__(
        self, text: bytes = b"", refuses: str = "", ends: bool = False, then: Callable[[], object] = bool
    ) -> None:
        self._text, self._refuses, self._ends, self._then = text, refuses, ends, then
        self.family: list[Running] = []
        self.capture: FakeCapture | None = None

    def unavailable(self) -> str | None:
        return None

    @contextlib.contextmanager
    def attach(self, processes: Sequence[Running], request: Request) -> Iterator[FakeCapture]:
        self.family = list(processes)
        with request.output.open("wb") as fifo:
            fifo.write(self._text)
        self._then()
        if self._refuses:
            raise CaptureError(self._refuses)
        self.capture = FakeCapture(processes[0].pid, self._ends)
        yield self.capture


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that sleeps."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        while not (status_field(process.pid, "State") or "").startswith("S"):
            time.sleep(0.01)
        yield process.pid
        process.kill()


def attached(monkeypatch: pytest.MonkeyPatch, tracer: FakeTracer, options: Options) -> int:
    monkeypatch.setattr(attaching, "choose", lambda _name: (tracer, []))
    return attach_to(options)


def test_a_finding_of_severity_error_is_a_failure_whether_traced_or_not(
    sleeper: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for severity, failed in (("fatal", True), ("error", True), ("warning", False), ("info", False)):
        found = Looked.at(sleeper)
        first = replace(found.analysis.findings[0], severity=severity)
        changed = replace(found, analysis=replace(found.analysis, findings=[first]))
        monkeypatch.setattr(attaching, "looks_at", lambda _pids, _secrets, changed=changed: [changed])
        assert attach_to(replace(OPTIONS, pids=(sleeper,), passive=True)) == failed
    assert capfd.readouterr().err == ""


def test_what_somebody_else_traces_in_the_tree_is_left_to_him(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The root and its other children are traced all the same."""
    with subprocess.Popen(["sh", "-c", "sleep 600 & sleep 601 & echo $! >&2; wait"], stderr=subprocess.PIPE) as root:
        assert root.stderr is not None
        taken = int(root.stderr.readline())
        with subprocess.Popen(["strace", "-qq", "-o", tmp_path / "t", "-p", str(taken)]) as strace:
            while tracer_of(taken) != strace.pid:
                time.sleep(0.01)
            tracer = FakeTracer()
            attached(monkeypatch, tracer, replace(OPTIONS, pids=(root.pid,)))
            strace.terminate()
        numbers = [process.pid for process in tracer.family]
        for pid in {*numbers, taken}:
            os.kill(pid, signal.SIGKILL)
    assert numbers[0] == root.pid
    assert len(numbers) == 2
    assert taken not in numbers
    assert "tracing 2 processes for 0.2 s; Ctrl-C ends it earlier" in capfd.readouterr().err


@pytest.mark.parametrize("ends", [True, False])
def test_the_recording_says_whether_the_process_ended(
    sleeper: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: bool
) -> None:
    saved = tmp_path / "t"
    attached(monkeypatch, FakeTracer(ends=ends), replace(OPTIONS, pids=(sleeper,), save=str(saved)))
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    first, *_, last = saved.read_text().splitlines()
    assert json.loads(first.removeprefix("# systrace: "))["attached"] == sleeper
    footer = json.loads(last.removeprefix("# systrace: "))
    assert (footer["ended"], footer["exit_status"], footer["fault"], footer["lost_bytes"]) == (ends, None, None, 0)


@pytest.mark.parametrize("name", ["t", "t.gz"])
def test_a_refusal_keeps_what_was_seen(
    sleeper: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    tracer = FakeTracer(b'4711 1.0 read(0, "secret", 6) = 6 <0.1>\n' * 100, refuses="cannot attach: no")
    with pytest.raises(CaptureError, match="cannot attach: no"):
        attached(monkeypatch, tracer, replace(OPTIONS, pids=(sleeper,), save=str(tmp_path / name)))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    words = [sys.executable, "-m", "systrace", "parse", "--format", "json", str(tmp_path / name)]
    report = json.loads(subprocess.run(words, capture_output=True, check=False).stdout)
    assert report["health"]["records"] == 0
    text = subprocess.run(["gzip", "-dcf", tmp_path / name], capture_output=True, check=True, text=True).stdout
    assert "secret" not in text
    assert '"fault": "cannot attach: no"' in text.splitlines()[-1]


def test_a_recording_whose_name_was_taken_meanwhile(
    sleeper: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Looked at before the tracing, and again before it gets its name: what came between is not ours to replace."""
    saved = tmp_path / "t.gz"
    tracer = FakeTracer(then=saved.mkdir)
    attached(monkeypatch, tracer, replace(OPTIONS, pids=(sleeper,), save=str(saved)))
    others = [path for path in tmp_path.iterdir() if path != saved]
    said = capfd.readouterr().err
    assert f"{saved} was written by another run meanwhile: this recording is {others[0]}" in said
    assert others[0].name == f"t.{os.getpid()}.gz"
    assert list(saved.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "ends"),
    [
        (signal.SIGINT, True),
        (signal.SIGTERM, True),
        (signal.SIGHUP, True),
        (signal.SIGQUIT, True),
        (signal.SIGUSR1, False),
    ],
)
def test_which_signals_end_the_tracing(number: signal.Signals, ends: bool) -> None:
    """None of them is for the process: systrace is not its parent."""
    capture = FakeCapture(1)
    attaching._stop(cast("Capture", capture), number)
    assert (capture.stopped, capture.signalled) == (ends, [])


def test_a_failed_analysis_is_said_in_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recording = Recording.create(None, {})

    def work(_lines: Iterator[bytes]) -> bytes:
        raise ValueError("odd")

    analyst = Analyst(recording.path, work, set())
    with pytest.raises(CaptureError, match=r"no report: the analysis failed: ValueError: odd \("):
        attaching._report(Outlets(ReportTo(place(tmp_path / "r"))), recording, analyst, "disk full", (), early=True)
    analyst.close()
    recording.close()
    assert "systrace: the recording is incomplete: disk full\n" in capfd.readouterr().err


def test_options_are_named_as_on_the_command_line() -> None:
    known = (
        "pids names wait_for passive seconds save report style tracer string_limit force show_secrets utc more check"
    )
    assert [field.name for field in dataclasses.fields(Options)] == [*known.split(), "redact_names"]


def test_words_of_attach() -> None:
    assert attaching._under_way(1, None) == "tracing 1 process; Ctrl-C ends it"
    assert attaching._under_way(3, 2.5) == "tracing 3 processes for 2.5 s; Ctrl-C ends it earlier"
