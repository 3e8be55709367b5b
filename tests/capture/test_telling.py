"""What monitoring is told, and that nobody suffers from an outlet."""

from __future__ import annotations

from pathlib import Path

import pytest

from systrace.capture.concluding import Conclusion, conclude
from systrace.capture.telling import name_of, outlets_of, tell, tell_unstarted
from systrace.errors import CommandError, SystraceError
from systrace.reporters.layout import Layout
from systrace.telemetry import JobRun, Outlet
from tests.masking.planted import PLANTS, planted


class Kept(Outlet):
    """Keeps what it is told."""

    name, help = "kept", "Nothing."
    report = "otlp"

    def __init__(self) -> None:
        self.runs: list[tuple[JobRun, bytes]] = []

    def tell(self, run: JobRun, target: str, report: bytes | memoryview) -> None:
        """Keep it."""
        self.runs.append((run, bytes(report)))


class Broken(Outlet):
    """Fails as nobody expects."""

    name, help = "broken", "Nothing."

    def tell(self, run: JobRun, target: str, report: bytes | memoryview) -> None:
        """Fail."""
        raise ZeroDivisionError("oh\x1b[2J")


@pytest.mark.parametrize("secrets", [False, True])
@pytest.mark.parametrize("failing", range(0, len(PLANTS.sent), 4))
def test_no_secret_is_told(failing: int, secrets: bool) -> None:
    """Even where the user's own report shows them."""
    lines = iter(planted(failing).encode().splitlines(keepends=True))
    found = Conclusion.read(conclude("t", lines, "json", Layout(), secrets=secrets, sent=["otlp"]))
    kept = Kept()
    tell([(kept, "")], "job", 1, 0.0, 1.0, found)
    ((run, report),) = kept.runs
    assert run.cause == found.cause
    assert run.evidence
    text = repr(run) + report.decode()
    assert not [secret for secret in PLANTS.secrets if secret in text]
    shown = [secret for secret in PLANTS.secrets if secret in bytes(found.report).decode()]
    assert bool(shown) is secrets


def test_one_that_fails_does_not_stop_the_next(capfd: pytest.CaptureFixture[str]) -> None:
    """It costs a line."""
    kept = Kept()
    tell([(Broken(), ""), (kept, "")], "job", 0, 0.0, 1.5, None)
    ((run, report),) = kept.runs
    assert (run.failed, run.duration_s, run.cause, report) == (False, 1.5, "inconclusive", b"")
    assert capfd.readouterr().err == "systrace: --broken: ZeroDivisionError: oh\\x1b[2J\n"


def test_what_was_never_started_has_failed() -> None:
    """With the status of a shell."""
    kept = Kept()
    tell_unstarted([(kept, "")], "job", CommandError("x", 2))
    ((run, _report),) = kept.runs
    assert (run.failed, run.exit_status, run.outcome) == (True, 127, "failed")


def test_outlets_are_looked_at_before_the_job(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What must not be written is left out with a line, or with --strict is an error."""
    given = {"emf": str(tmp_path / "emf"), "metrics": str(tmp_path), "syslog": ""}
    assert [outlet.name for outlet, _target in outlets_of(given, (), strict=False)] == ["emf", "syslog"]
    assert "it is a directory: --metrics is left out" in capfd.readouterr().err
    with pytest.raises(SystraceError, match="it is a directory"):
        outlets_of(given, (), strict=True)
    assert outlets_of({}, (), strict=True) == []


def test_what_a_job_is_called() -> None:
    """As somebody named it, else by its program."""
    assert [name_of(["/bin/x y", "z"], None), name_of(["./a"], "b c"), name_of(["/"], "")] == ["x y", "b c", "job"]
