"""The course of `run`: who hears of what when the job is over."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from systrace.capture import job
from systrace.capture.analyst import Analyst, Work
from systrace.capture.analysts import end_showing, say_failures, showing_analyst
from systrace.capture.job import Course, Session
from systrace.capture.keepalive import Keepalives
from systrace.capture.plan import Options, Plan
from systrace.capture.recording import Recording
from systrace.capture.spool import Spool, Spooled
from systrace.outputs import Place, place
from systrace.tracers import Capture

GOOD = b'the whole report\n\n{"line": "all is well", "healthy": true, "failed": false, "sizes": [17]}'
BAD = b'the whole report\n\n{"line": "x failed", "healthy": false, "failed": true, "sizes": [17]}'


def plan(report: Place | None = None, **more: Any) -> Plan:
    """Of a job that is called x."""
    options = Options(["x"], **more)
    return Plan(options, "/x", "x", None, None, None, None, 4096, None, options.quiet, None, [], None, report=report)


@pytest.fixture
def recording() -> Iterator[Recording]:
    """Of nothing."""
    made = Recording.create(None, {})
    yield made
    made.close()


def course(recording: Recording, work: Work, asked: Plan) -> tuple[Course, Session]:
    """A run whose job has ended."""
    analyst = Analyst(recording.path, work, set())
    return Course(asked), Session(recording, cast("Spool", None), analyst, None, None, None)


def reported(
    recording: Recording, answer: bytes, fault: str | None = None, path: Path | None = None, **more: Any
) -> tuple[bool, bytes]:
    """What `run` says of an answer, and whether that is a failure."""
    reader, writer = os.pipe()
    to = place(path) if path is not None else place(f"/dev/fd/{writer}")
    run, session = course(recording, lambda _lines: answer, plan(to, **more))
    failed = run._report(session, fault, 0)
    session.analyst.close()
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        return failed, path.read_bytes() if path is not None else said.read()


def test_one_line_when_healthy_on_the_terminal_the_whole_report_elsewhere(
    recording: Recording, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for answer, failed, said in ((GOOD, False, "all is well\n"), (BAD, True, "the whole report\n")):
        run, session = course(recording, lambda _lines, answer=answer: answer, plan())  # type: ignore[misc]
        assert run._report(session, None, 0) is failed
        session.analyst.close()
        assert capfd.readouterr().err == said
    assert reported(recording, GOOD, style="json") == (False, b"the whole report\n")
    assert reported(recording, GOOD, path=tmp_path / "r") == (False, b"the whole report\n")


def test_quiet_if_healthy_and_whole(recording: Recording, capfd: pytest.CaptureFixture[str]) -> None:
    """A recording with a hole may hide what went wrong: then it is said how far it shows a healthy job."""
    assert reported(recording, GOOD, quiet=True) == (False, b"")
    assert reported(recording, BAD, quiet=True) == (True, b"the whole report\n")
    assert capfd.readouterr().err == ""
    assert reported(recording, GOOD, fault="disk full", quiet=True) == (False, b"the whole report\n")
    assert capfd.readouterr().err == "systrace: the recording is incomplete: disk full\n"


@pytest.mark.parametrize("saved", [False, True])
def test_a_failed_analysis_says_where_the_recording_is(
    saved: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(_lines: Iterator[bytes]) -> bytes:
        raise ValueError("odd")

    recording = Recording.create(place(tmp_path / "x.strace") if saved else None, {})
    run, session = course(recording, work, plan())
    assert run._report(session, None, 0) is False
    session.analyst.close()
    recording.close()
    said = capfd.readouterr().err
    assert said.startswith("systrace: no report: the analysis failed: ValueError: odd")
    assert said.endswith(f"; the recording is in {tmp_path}/x.strace\n" if saved else ")\n")


def test_save_if_bad_keeps_nothing_of_a_healthy_job(tmp_path: Path) -> None:
    for answer, status, kept in ((GOOD, 0, False), (GOOD, 7, True), (BAD, 0, True)):
        recording = Recording.create(place(tmp_path / "x.strace"), {})
        run, session = course(recording, lambda _lines, answer=answer: answer, plan(save_if_bad=True))  # type: ignore[misc]
        run._report(session, None, status)
        session.analyst.close()
        recording.close()
        assert [path.name for path in tmp_path.iterdir()] == (["x.strace"] if kept else [])
        (tmp_path / "x.strace").unlink(missing_ok=True)


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


class FakeSpool:
    """Whose guard has said something."""

    def __init__(self, words: str) -> None:
        self.heir = self
        self._words = words

    def hear(self) -> str:
        return self._words


def fault(of_tracer: str | None, rescue: str = "", of_spool: str = "") -> str | None:
    capture, spool = cast("Capture", FakeCapture(of_tracer)), cast("Spool", FakeSpool(rescue))
    return job._fault(capture, Spooled(fault=of_spool), spool)


def test_every_fault_is_told_once_in_one_line() -> None:
    assert fault(None) is None
    assert fault("strace ended") == "strace ended"
    assert fault("strace ended", "the job goes on", "disk full") == "strace ended; the job goes on; disk full"


def test_a_signal_of_the_terminal_has_reached_the_job_already(recording: Recording) -> None:
    """Any other is passed on, unless the recording shows that the job has had it (kill of the whole group)."""
    capture = FakeCapture()
    job._relay(cast("Capture", capture), recording.path, signal.SIGTERM, 1, True)
    assert capture.signalled == []
    job._relay(cast("Capture", capture), recording.path, signal.SIGTERM, 1, False)
    assert capture.signalled == [signal.SIGTERM]
    job._relay(cast("Capture", capture), None, signal.SIGTERM, 1, False)  # of a job that nobody records
    assert capture.signalled == [signal.SIGTERM] * 2


def test_keepalive_that_could_not_be_switched_on_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keepalives = Keepalives("60,15,4")
    say_failures(keepalives)
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(Keepalives, "complaint", lambda _self: "keepalive could not be switched on: x")
    say_failures(keepalives)
    assert capfd.readouterr().err == "systrace: keepalive could not be switched on: x\n"
    os.close(keepalives.writer)
    os.close(keepalives._reader)


def test_the_header_names_what_was_asked_for_beyond_the_usual() -> None:
    assert job._facts(Options(["x"]), {"tracer": "t"}) == {"command": ["x"], "tracer": "t"}
    asked = Options(["x"], one_cpu=True, tls_keys=True, job="night")
    assert job._facts(asked, {}) == {"command": ["x"], "one_cpu": True, "tls_keys": True, "job": "night"}


def test_a_watcher_that_dies_is_said(recording: Recording, capfd: pytest.CaptureFixture[str]) -> None:
    def work(_lines: Iterator[bytes]) -> bytes:
        raise ValueError("odd")

    assert showing_analyst(recording, None, None, False) is None
    watcher = Analyst(recording.path, work, set())
    end_showing(watcher)
    watcher.close()
    assert capfd.readouterr().err.startswith("systrace: --live stopped: ValueError: odd")
