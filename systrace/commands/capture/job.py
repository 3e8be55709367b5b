"""The course of `systrace run`: recording, spooler, analyst, tracer, job; and who is told what in the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systrace.commands.capture.common import (
    Conclusion,
    ReportTo,
    check_seconds,
    choose,
    complain,
    conclude,
    header,
    prepare,
    size,
    style_of,
    wanted_calls,
    watch,
)
from systrace.commands.capture.keepalive import Keepalives
from systrace.commands.capture.tls_keys import KeyFile
from systrace.errors import UsageError
from systrace.tracers import Capture, Request
from systrace.tracers.analyst import AnalysisFailed, Analyst
from systrace.tracers.live import Printer, at_end, follow, in_passing
from systrace.tracers.recording import Recording
from systrace.tracers.signals import Relay, delivered
from systrace.tracers.spool import Spool, Spooled

if TYPE_CHECKING:
    from systrace.model import Event
    from systrace.reporters.layout import Layout


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line, unchecked."""

    command: list[str]
    save: Path | None
    report: Path | None
    style: str
    quiet: bool
    verdict_status: bool
    timeout: float | None
    max_size: str | None
    live: str | None
    keepalive: str | None
    seccomp: bool
    tracer: str | None
    string_limit: int
    tls_keys: bool = False
    one_cpu: bool = False


def run_job(options: Options) -> tuple[int, bool]:
    """Run, record, report.

    Returns:
        The job's status as a shell would say it, and whether there are findings of severity error or fatal.

    Raises:
        SystraceError: the job was not started.
    """
    style_of(options.style)
    check_seconds("--timeout", options.timeout)
    limit = size(options.max_size)
    program = find(options.command[0])
    keepalives = Keepalives(options.keepalive) if options.keepalive else None
    tracer = choose(options.tracer, quiet=options.quiet)
    to = ReportTo(options.report)
    live = open_live(options.live)
    with contextlib.ExitStack() as stack, Relay() as relay:
        request = _request(options, relay)
        recording = Recording.create(options.save, _facts(options, header(tracer, request)))
        stack.callback(recording.close)
        keys = KeyFile(recording.directory) if options.tls_keys else None
        request = replace(request, output=recording.fifo, environment=keys.environment() if keys else None)
        spool = Spool(recording.fifo, recording.descriptor, limit, recording.directory)
        stack.callback(spool.close)
        analyst = _analyst(recording, options.style, to.layout(), keys)
        stack.callback(analyst.close)
        watcher = _watcher(recording, live, keepalives)
        if watcher is not None:
            stack.callback(watcher.close)
        capture = stack.enter_context(tracer.run([program, *options.command[1:]], request))
        if options.seccomp:
            spool.guard(capture.pid, capture.tracer_pid)
        if keepalives is not None:
            keepalives.start()
        relay.start(lambda number, sender, tty: _relay(capture, recording.path, number, sender, tty))
        status = capture.wait(options.timeout)
        spooled = spool.finish()
        ended = {"exit_status": status, "fault": _fault(capture, spooled), "lost_bytes": spooled.lost}
        recording.end(ended, keys.lines() if keys is not None and options.save is not None else ())
        if status is None:
            complain(f"the recording ends after {options.timeout:g} s (--timeout); the job goes on")
            capture.stop()
        analyst.hurry()
        if watcher is not None:
            _end(watcher)
        if keepalives is not None:
            _say_failures(keepalives)
        failed = _report(options, to, recording, analyst, _fault(capture, spooled))
        if status is None:
            status = capture.wait()
    return status if status is not None else 0, failed


def _facts(options: Options, head: dict[str, Any]) -> dict[str, Any]:
    """The first line of the recording."""
    asked = {"tls_keys": options.tls_keys, "one_cpu": options.one_cpu}
    return {"command": options.command, **head} | {name: True for name, given in asked.items() if given}


def _request(options: Options, relay: Relay) -> Request:
    return Request(
        output=Path(),
        syscalls=wanted_calls(),
        string_limit=options.string_limit,
        seccomp=options.seccomp,
        argv0=options.command[0],
        blocked=relay.original,
        one_cpu=options.one_cpu,
    )


def find(word: str) -> str:
    """The path of a program, as execvp(3) searches.

    Raises:
        UsageError: there is none.
    """
    if "/" in word:
        if not Path(word).exists():
            raise UsageError(f"{word}: No such file or directory")
        return word
    found = shutil.which(word)
    if found is None:
        raise UsageError(f"{word}: command not found")
    return found


def open_live(target: str | None) -> int | None:
    """A descriptor for `--live`: of its own for a path, the inherited one for a number.

    Raises:
        UsageError: cannot be written.
    """
    if target is None:
        return None
    try:
        if target.isdecimal():
            os.fstat(int(target))
            return int(target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC
        if Path(target).is_fifo():
            flags = os.O_RDWR | os.O_CLOEXEC  # its reader may come later: never wait for it
        return os.open(target, flags, 0o600)
    except OSError as error:
        raise UsageError(f"--live {target}: {error.strerror}") from None
    except OverflowError:
        raise UsageError(f"--live {target}: no number of a descriptor") from None


def _analyst(recording: Recording, style: str, layout: Layout, keys: KeyFile | None) -> Analyst:
    def work(lines: Iterator[bytes]) -> bytes:
        return conclude(recording.name, lines, style, layout, keys.path if keys is not None else None)

    return Analyst(recording.path, work, set(), reader=in_passing if keys is None else at_end, prepare=prepare)


def _watcher(recording: Recording, live: int | None, keepalives: Keepalives | None) -> Analyst | None:
    """Who follows the job as it runs; nobody unless asked for."""
    if live is None and keepalives is None:
        return None

    def work(lines: Iterator[bytes]) -> bytes:
        printer = Printer(live) if live is not None else None

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


def _end(watcher: Analyst) -> None:
    try:
        watcher.finish()
    except AnalysisFailed as error:
        complain(f"following the events failed: {error}")


def _say_failures(keepalives: Keepalives) -> None:
    complaint = keepalives.complaint()
    if complaint:
        complain(complaint)


def _relay(capture: Capture, recording: Path, number: signal.Signals, sender: int, tty: bool) -> None:
    if not tty and not delivered(recording, capture.pid, number, sender):
        capture.signal(number)


def _fault(capture: Capture, spooled: Spooled) -> str | None:
    faults = [capture.fault(), spooled.rescue, spooled.fault]
    return "; ".join(fault for fault in faults if fault) or None


def _report(options: Options, to: ReportTo, recording: Recording, analyst: Analyst, fault: str | None) -> bool:
    """Compress while the analyst finishes; print. A Ctrl-C from here on ends the analysis, not the job's status."""
    if fault:
        complain(f"the capture is incomplete: {fault}")
    try:
        unpacked = recording.pack()
        if unpacked:
            complain(unpacked)
        conclusion = Conclusion.read(analyst.finish())
    except AnalysisFailed as error:
        where = f"; the recording is in {options.save}" if options.save else ""
        complain(f"no report: the analysis failed: {error}{where}")
        return False
    if options.quiet and conclusion.healthy and not fault:
        return conclusion.failed
    from systrace.reporters.text import encoded

    brief = conclusion.healthy and options.style == "table" and not to.is_file
    to.write(encoded(conclusion.line.rstrip("\n") + "\n") if brief else conclusion.report)
    return conclusion.failed
