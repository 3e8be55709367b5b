"""The course of `systrace attach`: the passive look and its verdict first, because tracing interrupts what hangs."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from systrace.commands.capture.common import (
    Conclusion,
    ReportTo,
    check_seconds,
    choose,
    complain,
    conclude,
    header,
    prepare,
    report_of,
    style_of,
    wanted_calls,
)
from systrace.errors import CaptureError
from systrace.kernel.diagnose import Diagnosis, diagnose, interrupted_by_attach
from systrace.kernel.permission import refusal
from systrace.kernel.snapshot import Snapshot
from systrace.model import Analysis, Evidence, Finding, Health, Source, Verdict
from systrace.reporters.layout import Layout
from systrace.tracers import Capture, Request, Tracer
from systrace.tracers.analyst import AnalysisFailed, Analyst, Work
from systrace.tracers.recording import Recording
from systrace.tracers.rescue import descendants
from systrace.tracers.signals import Relay
from systrace.tracers.spool import Spool
from systrace.tracers.waiting import Running, tracer_of

OUTCOMES = {"fatal": "hung", "error": "hung", "warning": "degraded"}  # by the severity of the first finding


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line, unchecked."""

    pid: int
    passive: bool
    seconds: float | None
    save: Path | None
    report: Path | None
    style: str
    tracer: str | None
    string_limit: int


def attach_to(options: Options) -> bool:
    """Look, say what the process waits for, trace, report.

    Returns:
        Whether there are findings of severity error or fatal.

    Raises:
        SystraceError: nothing could be seen, or tracing is not permitted (after what could be seen was said).
    """
    style_of(options.style)
    check_seconds("--for", options.seconds)
    to = ReportTo(options.report, descriptor=1)
    snapshot = Snapshot.take(options.pid)
    diagnosis = diagnose(snapshot)
    if len(snapshot.root.ns_pids) > 1:
        complain(_both_numbers(snapshot))
    if options.passive or snapshot.root.stands_still:
        if not options.passive:
            complain("not traced: it makes no call before it goes on")
        to.write(passive_report(snapshot, diagnosis, options.style, to.layout()))
        return diagnosis.findings[0].severity in ("fatal", "error")
    complain(diagnosis.headline)
    reason = refusal(snapshot.pid)
    if reason is not None:
        raise CaptureError(f"cannot trace: {reason}{_what_passive_gives(snapshot, diagnosis)}")
    for sentence in interrupted_by_attach(snapshot):
        complain(sentence)
    return _trace(options, choose(options.tracer), snapshot, to)


def passive_report(snapshot: Snapshot, diagnosis: Diagnosis, style: str, layout: Layout) -> bytes:
    """The snapshot's diagnosis in the form of every other report."""
    first = diagnosis.findings[0]
    source = Source(files=[f"process {snapshot.pid}"], first_ns=snapshot.time_ns, last_ns=snapshot.time_ns)
    analysis = Analysis(
        evidence=Evidence(source, Health(), processes={}, sockets={}, messages=[], spans=[]),
        findings=list(diagnosis.findings),
        verdict=Verdict(_outcome(first), first.cause, first.peer, 0, diagnosis.headline),
    )
    return report_of(analysis, style, layout)


def _outcome(first: Finding) -> str:
    """What has ended, belongs to the kernel, may not be seen or waits for who knows what is neither well nor ill."""
    if first.cause == "inconclusive" or first.variant in ("zombie", "kernel", "hidden", "futex", "event", "other"):
        return "inconclusive"
    return OUTCOMES.get(first.severity, "healthy")


def _both_numbers(snapshot: Snapshot) -> str:
    inner = snapshot.root.ns_pids[-1]
    return (
        f"process {snapshot.pid} is {inner} in its PID namespace (a container): the numbers here are those outside it"
    )


def _what_passive_gives(snapshot: Snapshot, diagnosis: Diagnosis) -> str:
    """What `--passive` would add to a refusal: nothing about what is gone, has ended or is the kernel's own."""
    variant = diagnosis.findings[0].variant
    if variant in ("zombie", "kernel") or not snapshot.root.threads or not snapshot.still_there():
        return ""
    if variant == "hidden":
        return "; --passive tells the little that may be seen without that"
    return "; --passive reports what can be seen without tracing"


def _trace(options: Options, tracer: Tracer, snapshot: Snapshot, to: ReportTo) -> bool:
    request = Request(output=Path(), syscalls=wanted_calls(), string_limit=options.string_limit)
    with contextlib.ExitStack() as stack, Relay() as relay:
        facts = {"attached": snapshot.pid, **header(tracer, request, attach=True, pid=snapshot.pid)}
        recording = Recording.create(options.save, facts)
        stack.callback(recording.close)
        recording.add(*snapshot.lines())
        spool = Spool(recording.fifo, recording.descriptor, None, recording.directory)
        stack.callback(spool.close)
        analyst = Analyst(recording.path, _work(recording.name, options.style, to.layout()), set(), prepare=prepare)
        stack.callback(analyst.close)
        family = [Running(snapshot.pid, snapshot.root.start_ticks), *descendants(snapshot.pid)]
        if not snapshot.still_running():
            raise CaptureError(f"process {snapshot.pid} ended before it could be traced")
        family = [process for process in family if process.pid == snapshot.pid or not tracer_of(process.pid)]
        looked = recording.length
        try:
            capture = stack.enter_context(tracer.attach(family, replace(request, output=recording.fifo)))
        except CaptureError as error:
            _keep_the_look(recording, spool, looked, str(error))
            raise
        spool.end_with_us(capture.tracer_pid)
        relay.start(lambda number, _sender, _tty: _stop(capture, number))
        complain(_under_way(len(family), options.seconds))
        ended = capture.wait(options.seconds) is not None
        capture.stop()
        spooled = spool.finish()
        fault = "; ".join(each for each in (capture.fault(), spooled.fault) if each) or None
        recording.end({"exit_status": None, "ended": ended, "fault": fault, "lost_bytes": spooled.lost})
        return _report(options, to, recording, analyst, fault)


def _keep_the_look(recording: Recording, spool: Spool, length: int, why: str) -> None:
    """Attaching was refused: what is kept holds the snapshot alone, no calls of whoever was seized by mistake."""
    spool.finish()
    recording.cut(length)
    recording.end({"exit_status": None, "ended": False, "fault": why})
    recording.pack()


def _work(name: str, style: str, layout: Layout) -> Work:
    def work(lines: Iterator[bytes]) -> bytes:
        return conclude(name, lines, style, layout)

    return work


def _stop(capture: Capture, number: signal.Signals) -> None:
    if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        capture.stop()


def _under_way(count: int, seconds: float | None) -> str:
    what = f"tracing {count} process{'es' if count > 1 else ''}"
    return f"{what} for {seconds:g} s; Ctrl-C ends it earlier" if seconds else f"{what}; Ctrl-C ends it"


def _report(options: Options, to: ReportTo, recording: Recording, analyst: Analyst, fault: str | None) -> bool:
    if fault:
        complain(f"the capture is incomplete: {fault}")
    unpacked = recording.pack()
    if unpacked:
        complain(unpacked)
    try:
        conclusion = Conclusion.read(analyst.finish())
    except AnalysisFailed as error:
        raise CaptureError(f"no report: the analysis failed: {error}") from None
    to.write(conclusion.report)
    return conclusion.failed
