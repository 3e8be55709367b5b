"""Monitoring is told how the job went, at its very end; whatever becomes of that, the job's status stays what it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systrace.capture.reporting import complain, words
from systrace.errors import SystraceError
from systrace.outputs import Place, distinct

if TYPE_CHECKING:
    from systrace.capture.concluding import Conclusion
    from systrace.model import Analysis
    from systrace.telemetry import Outlet

_MOST_LINES = 20  # of evidence
Told = tuple["Outlet", str]  # an outlet and its target


def outlets_of(given: Mapping[str, str], taken: Iterable[tuple[str, Place | None]], *, strict: bool) -> list[Told]:
    """The outlets that can be told; of each other one line says why not.

    Args:
        given: name of each and its target.
        taken: options and places of what else is written.
        strict: raise instead.

    Raises:
        SystraceError: with `strict`, a target makes no sense, or must not be written.
    """
    if not given:
        return []
    from systrace.telemetry import OUTLETS

    found: list[Told] = []
    places = list(taken)
    for name, target in given.items():
        try:
            where = OUTLETS[name].checked(target)
            distinct([*places, (f"--{name}", where)])
        except (SystraceError, OSError) as error:
            if strict:
                raise
            complain(f"{words(error)}: --{name} is left out")
        else:
            places.append((f"--{name}", where))
            found.append((OUTLETS[name], target))
    return found


def verdict_of(analysis: Analysis) -> dict[str, Any]:
    """The fields of `JobRun` that an analysis knows; its texts are masked already."""
    from systrace.reporters.words.endings import silence_ns

    verdict, evidence = analysis.verdict, analysis.evidence
    at = verdict.finding
    finding = analysis.findings[at] if at is not None and at < len(analysis.findings) else None
    network = [each for each in evidence.sockets.values() if each.is_network and each.role != "listener"]
    return {
        "outcome": verdict.outcome,
        "cause": verdict.cause,
        "peer": verdict.peer or "",
        "headline": verdict.headline,
        "variant": finding.variant if finding is not None else "",
        "confidence": finding.confidence if finding is not None else "",
        "evidence": [f"line {each.line}: {each.text}" for each in finding.lines[:_MOST_LINES]] if finding else [],
        "longest_silence_s": max(map(silence_ns, network)) / 1e9 if network else None,
    }


def tell(
    outlets: Sequence[Told],
    job: str,
    status: int,
    began: float,
    ended: float,
    conclusion: Conclusion | None,
    recording: str = "",
) -> None:
    """Tell them all; a failure is said in a line. Never raises.

    Args:
        outlets: see `outlets_of`.
        job: what it is called.
        status: of the job.
        began, ended: on the monotonic clock.
        conclusion: None where the recording could not be analysed.
        recording: the file that was kept.
    """
    if not outlets:
        return
    from systrace.telemetry import JobRun

    known = dict(conclusion.told) if conclusion is not None else {}
    known["evidence"] = tuple(known.get("evidence", ()))
    reports = list(conclusion.sent) if conclusion is not None else []
    failed = bool(status) or (conclusion is not None and conclusion.failed)
    ended_s = time.time() - (time.monotonic() - ended)
    run = JobRun(job, os.uname().nodename, ended_s, ended - began, status, failed, recording=recording, **known)
    for outlet, target in outlets:
        report = reports.pop(0) if outlet.report and reports else b""
        try:
            outlet.tell(run, target, report)
        except Exception as error:  # noqa: BLE001 (none of it is the job's concern)
            complain(f"--{outlet.name}: {_said(error)}")


def tell_unstarted(outlets: Sequence[Told], job: str, error: SystraceError) -> None:
    """A job that could not be started has failed, too: nobody would notice otherwise."""
    from systrace.capture.concluding import Conclusion

    now = time.monotonic()
    told = {"outcome": "failed", "cause": "inconclusive", "headline": str(error)}
    conclusion = Conclusion(b"", "", healthy=False, failed=True, told=told)
    tell(outlets, job, error.exit_code, now, now, conclusion)


def name_of(command: Sequence[str], given: str | None) -> str:
    """What monitoring calls the job: as it was named, else its program."""
    return given or Path(command[0]).name or "job"


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return words(error)
