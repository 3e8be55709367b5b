"""The processes that read along while a job runs: who makes the report, and who shows what happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from systrace.capture.analyst import AnalysisFailed, Analyst
from systrace.capture.answers import Answer
from systrace.capture.concluding import conclude, prepare, watch
from systrace.capture.following import at_end, follow, in_passing
from systrace.capture.keepalive import Keepalives
from systrace.capture.plan import Plan
from systrace.capture.recording import Recording
from systrace.capture.reporting import ReportTo, complain
from systrace.capture.tls_keys import KeyFile

if TYPE_CHECKING:
    from systrace.model import Event
    from systrace.reporters.layout import Layout


def reporting_analyst(recording: Recording, plan: Plan, layout: Layout, keys: KeyFile | None) -> Analyst:
    more = [(style, replace(ReportTo(where).layout(), utc=layout.utc)) for style, where in plan.more]

    def work(lines: Iterator[bytes]) -> Answer:  # in a process of its own, which has closed what it does not need
        path, options = keys.path if keys is not None else None, plan.options
        return conclude(
            recording.name, lines, options.style, layout, path, plan.limits, options.show_secrets, more, options.check,
            plan.sent,
        )  # fmt: skip

    return Analyst(recording.path, work, set(), reader=in_passing if keys is None else at_end, prepare=prepare)


def showing_analyst(
    recording: Recording, live: int | None, keepalives: Keepalives | None, secrets: bool
) -> Analyst | None:
    """Who follows the job as it runs; nobody unless asked for."""
    if live is None and keepalives is None:
        return None

    def work(lines: Iterator[bytes]) -> bytes:
        from systrace.capture.live import Printer

        printer = Printer(live, secrets) if live is not None else None

        def see(event: Event) -> None:
            if keepalives is not None:
                keepalives.see(event)
            if printer is not None:
                printer(event)

        watch(lines, see)
        if printer is not None:
            printer.close()
        return b""

    writer = keepalives.writer if keepalives is not None else None
    kept = {descriptor for descriptor in (live, writer) if descriptor is not None}
    return Analyst(recording.path, work, kept, reader=follow)


def end_showing(watcher: Analyst) -> None:
    try:
        watcher.finish()
    except AnalysisFailed as error:
        complain(f"--live stopped: {error}")


def say_failures(keepalives: Keepalives) -> None:
    complaint = keepalives.complaint()
    if complaint:
        complain(complaint)
