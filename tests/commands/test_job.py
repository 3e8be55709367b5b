"""The course of `run`: who hears of what when the job is over."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from systrace.commands.capture import job
from systrace.commands.capture.common import ReportTo
from systrace.commands.capture.job import Options, open_live
from systrace.commands.capture.keepalive import Keepalives
from systrace.errors import UsageError
from systrace.tracers import Capture
from systrace.tracers.analyst import Analyst
from systrace.tracers.recording import Recording
from systrace.tracers.spool import Spooled

GOOD = b'{"line": "all is well", "healthy": true, "failed": false}\nthe whole report\n'
BAD = b'{"line": "x failed", "healthy": false, "failed": true}\nthe whole report\n'


def options(**more: Any) -> Options:
    plain = dict.fromkeys(("save", "report", "timeout", "max_size", "live", "keepalive", "tracer"))
    given: dict[str, Any] = {**plain, "quiet": False, "verdict_status": False, "seccomp": True, **more}
    return Options(command=["x"], style=given.pop("style", "table"), string_limit=4096, **given)


@pytest.fixture
def recording() -> Iterator[Recording]:
    """Of nothing."""
    made = Recording.create(None, {})
    yield made
    made.close()


def reported(
    recording: Recording, answer: bytes, fault: str | None = None, path: Path | None = None, **more: Any
) -> tuple[bool, bytes]:
    """What `run` says of an answer, and whether that is a failure."""
    reader, writer = os.pipe()
    to = ReportTo(path) if path is not None else ReportTo(None, writer)
    analyst = Analyst(recording.path, lambda _lines: answer, set())
    failed = job._report(options(**more), to, recording, analyst, fault)
    analyst.close()
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        return failed, path.read_bytes() if path is not None else said.read()


def test_one_line_when_healthy_on_the_terminal_the_whole_report_elsewhere(recording: Recording, tmp_path: Path) -> None:
    assert reported(recording, GOOD) == (False, b"all is well\n")
    assert reported(recording, BAD) == (True, b"the whole report\n")
    assert reported(recording, GOOD, style="json") == (False, b"the whole report\n")
    assert reported(recording, GOOD, path=tmp_path / "r") == (False, b"the whole report\n")


def test_quiet_if_healthy_and_whole(recording: Recording, capfd: pytest.CaptureFixture[str]) -> None:
    """A recording with a hole may hide what went wrong: then it is said how far it shows a healthy job."""
    assert reported(recording, GOOD, quiet=True) == (False, b"")
    assert reported(recording, BAD, quiet=True) == (True, b"the whole report\n")
    assert capfd.readouterr().err == ""
    assert reported(recording, GOOD, fault="disk full", quiet=True) == (False, b"all is well\n")
    assert capfd.readouterr().err == "systrace: the capture is incomplete: disk full\n"


@pytest.mark.parametrize("save", [None, Path("/tmp/x.strace")])
def test_a_failed_analysis_says_where_the_recording_is(
    recording: Recording, save: Path | None, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(_lines: Iterator[bytes]) -> bytes:
        raise ValueError("odd")

    analyst = Analyst(recording.path, work, set())
    assert job._report(options(save=save), ReportTo(None), recording, analyst, None) is False
    analyst.close()
    said = capfd.readouterr().err
    assert said.startswith("systrace: no report: the analysis failed: ValueError: odd")
    assert said.endswith("; the recording is in /tmp/x.strace\n" if save else ")\n")


class FakeCapture:
    """With a fault, or none."""

    pid = 4711

    def __init__(self, fault: str | None = None) -> None:
        self._fault = fault
        self.signalled: list[int] = []

    def fault(self) -> str | None:
        return self._fault

    def signal(self, number: int) -> None:
        self.signalled.append(number)


def fault(of_tracer: str | None, rescue: str = "", of_spool: str = "") -> str | None:
    return job._fault(cast("Capture", FakeCapture(of_tracer)), Spooled(rescue=rescue, fault=of_spool))


def test_every_fault_is_told_once_in_one_line() -> None:
    assert fault(None) is None
    assert fault("strace ended") == "strace ended"
    assert fault("strace ended", "the job was rescued", "disk full") == "strace ended; the job was rescued; disk full"


def test_a_signal_of_the_terminal_has_reached_the_job_already(recording: Recording) -> None:
    """Any other is passed on, unless the recording shows that the job has had it (kill of the whole group)."""
    capture = FakeCapture()
    job._relay(cast("Capture", capture), recording.path, signal.SIGTERM, 1, True)
    assert capture.signalled == []
    job._relay(cast("Capture", capture), recording.path, signal.SIGTERM, 1, False)
    assert capture.signalled == [signal.SIGTERM]


def test_live_is_appended_to(tmp_path: Path) -> None:
    target = tmp_path / "live"
    target.write_bytes(b"before\n")
    descriptor = open_live(str(target))
    assert descriptor is not None
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert target.read_bytes() == b"before\nafter\n"
    assert open_live(None) is None


def test_live_to_a_number_takes_that_descriptor() -> None:
    reader, writer = os.pipe()
    assert open_live(str(writer)) == writer
    os.close(writer)
    os.close(reader)
    with pytest.raises(UsageError, match="Bad file descriptor"):
        open_live(str(writer))


def test_live_to_a_named_pipe_waits_for_no_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    descriptor = open_live(str(tmp_path / "fifo"))
    assert descriptor is not None
    os.write(descriptor, b"x")
    os.close(descriptor)


def test_keepalive_that_could_not_be_switched_on_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keepalives = Keepalives("60,15,4")
    job._say_failures(keepalives)
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(Keepalives, "complaint", lambda _self: "keepalive could not be switched on: x")
    job._say_failures(keepalives)
    assert capfd.readouterr().err == "systrace: keepalive could not be switched on: x\n"
    os.close(keepalives.writer)
    os.close(keepalives._reader)


def test_the_header_names_what_was_asked_for_beyond_the_usual() -> None:
    assert job._facts(options(), {"tracer": "t"}) == {"command": ["x"], "tracer": "t"}
    assert job._facts(options(one_cpu=True, tls_keys=True), {}) == {"command": ["x"], "one_cpu": True, "tls_keys": True}


def test_a_watcher_that_dies_is_said(recording: Recording, capfd: pytest.CaptureFixture[str]) -> None:
    def work(_lines: Iterator[bytes]) -> bytes:
        raise ValueError("odd")

    assert job._watcher(recording, None, None) is None
    watcher = Analyst(recording.path, work, set())
    job._end(watcher)
    watcher.close()
    assert capfd.readouterr().err.startswith("systrace: following the events failed: ValueError: odd")
