"""The course of `systrace run`: recording, spooler, analyst, tracer, job; and who is told what in the end.

The job comes first. What goes wrong before it has started leads to the next tracer and at last to none; what goes wrong
later lets it run on. Its status is its own in any case.
"""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systrace.calls import FOLLOWED
from systrace.capture.analyst import AnalysisFailed, Analyst
from systrace.capture.analysts import end_showing, reporting_analyst, say_failures, showing_analyst
from systrace.capture.choosing import header
from systrace.capture.concluding import Conclusion
from systrace.capture.keepalive import Keepalives
from systrace.capture.keeping import prune
from systrace.capture.notifying import notify
from systrace.capture.plan import Options, Plan, plan_of
from systrace.capture.recording import Recording
from systrace.capture.reporting import ReportTo, complain, words
from systrace.capture.signals import Relay, delivered
from systrace.capture.spool import Spool, Spooled
from systrace.capture.stalling import Killer, Moments
from systrace.capture.status_line import StatusLine
from systrace.capture.telling import name_of, outlets_of, tell, tell_unstarted
from systrace.capture.tls_keys import KeyFile
from systrace.capture.watching import Observer, Watcher
from systrace.dataclass import dataclass
from systrace.errors import CaptureError, CommandError, SystraceError
from systrace.outputs import appending, write_all
from systrace.tracers import Capture, Request, Tracer, untraced

if TYPE_CHECKING:
    from systrace.capture.looking import Looked


@dataclass(frozen=True, slots=True)
class Session:
    """What records one run, made anew for each tracer that is tried."""

    recording: Recording
    spool: Spool
    analyst: Analyst
    watcher: Analyst | None
    keepalives: Keepalives | None
    keys: KeyFile | None


def run_job(options: Options) -> tuple[int, bool]:
    """Run, record, report.

    Returns:
        The job's status as a shell would say it, and whether there are findings of severity error or fatal.

    Raises:
        SystraceError: the job was not started: an option that makes no sense, no such command, or `--strict`.
    """
    try:
        return Course(plan_of(options)).go()
    except (CommandError, CaptureError) as error:  # nothing of the job has run
        outlets = outlets_of(options.outlets, (), strict=False)
        tell_unstarted(outlets, name_of(options.command, options.job), error)
        raise


class Course:
    """One run. It knows how far it has come, so that whatever fails, the job is started once and not harmed."""

    begun = False  # from here on this class sees to it that the job runs

    def __init__(self, plan: Plan) -> None:
        Course.begun = True
        self._plan = plan
        self._options = plan.options
        self._relay = Relay()
        self._relayed = False
        self._capture: Capture | None = None
        self._session: Session | None = None
        self._live: int | None = None
        self._tracer = ""
        self._line = StatusLine()
        self._moments: Moments | None = None
        self._asked = False  # SIGUSR1 has come
        self._began = self._ended = time.monotonic()
        self._conclusion: Conclusion | None = None
        self._kept = ""  # the recording's file

    def go(self) -> tuple[int, bool]:
        """See `run_job`."""
        with contextlib.ExitStack() as stack, self._relay:
            try:
                status, failed = self._recorded(stack)
            except SystraceError as error:
                if self._capture is None and (self._options.strict or isinstance(error, CommandError)):
                    raise
                status, failed = self._on_its_own(stack, error)
            except Exception as error:  # noqa: BLE001 (the job is not to suffer from any mistake of ours)
                if self._capture is None and self._options.strict:
                    raise CaptureError(words(error)) from None
                status, failed = self._on_its_own(stack, error)
            job = name_of(self._options.command, self._options.job)
            tell(self._plan.outlets, job, status, self._began, self._ended, self._conclusion, self._kept)
            return status, failed

    def _on_its_own(self, stack: contextlib.ExitStack, error: Exception) -> tuple[int, bool]:
        """Something failed that should not have: the job runs, or runs on."""
        if self._capture is None:
            complain(f"{words(error)}: the job runs without being traced")
            request = Request(output=Path(), argv0=self._options.command[0], blocked=self._relay.original)
            command = [self._plan.program, *self._options.command[1:]]
            try:
                self._capture = stack.enter_context(untraced.run(command, request))
            except OSError:  # no process to be had
                untraced.become(command, request)
        else:
            complain(f"{words(error)}: nothing more is recorded, the job goes on")
        assert self._capture is not None
        with contextlib.suppress(Exception):
            self._pass_signals_on(self._capture)
        status = self._capture.wait() or 0
        self._ended = time.monotonic()
        with contextlib.suppress(Exception):
            self._notify(status, Conclusion(b"", "", healthy=False, failed=False), None)
        return status, False

    def _recorded(self, stack: contextlib.ExitStack) -> tuple[int, bool]:
        plan = self._plan
        self._live = self._open_live()
        session, capture = self._started(stack)
        if session.keepalives is not None:
            session.keepalives.start()
        self._pass_signals_on(capture)
        watcher = Watcher([capture.pid], session.spool.note, self._observers(session, capture))
        watcher.start()
        status = capture.wait(plan.timeout)
        self._ended = time.monotonic()
        watcher.finish()
        if self._moments is not None:
            self._moments.close()
        self._line.clear()
        spooled = session.spool.finish()
        fault = _fault(capture, spooled, session.spool)
        if not fault and status is not None and spooled.ended and not session.recording.shows_end_of(capture.pid):
            fault = f"{self._tracer} ended before the job: the recording stops there"
        ended = {"exit_status": status, "fault": fault, "lost_bytes": spooled.lost, **watcher.unseen}
        keys = session.keys
        session.recording.end(ended, keys.lines() if keys is not None and session.recording.saved else ())
        if status is None:
            complain(f"the recording ends after {plan.timeout:g} s (--timeout); the job goes on")
            capture.stop()
        session.analyst.hurry()
        if session.watcher is not None:
            end_showing(session.watcher)
        if session.keepalives is not None:
            say_failures(session.keepalives)
        failed = self._report(session, fault, status)
        if status is None:
            status = capture.wait()
            self._ended = time.monotonic()
        return status if status is not None else 0, failed

    # -------------------------------------------------------------------------------------------------- the start

    def _started(self, stack: contextlib.ExitStack) -> tuple[Session, Capture]:
        """The job under the first tracer that works.

        Raises:
            CommandError: there is nothing to start.
            CaptureError: no tracer works here, and no instruction of the job has run.
        """
        reason = "; ".join(self._plan.reasons)
        spoken = self._plan.quiet or not self._plan.second_choice
        for tracer in self._plan.tracers:
            if reason and not spoken:
                complain(f"{reason}; the {tracer.name} tracer is used instead")
            attempt = contextlib.ExitStack()
            try:
                session, request = self._prepared(tracer, attempt)
                command = [self._plan.program, *self._options.command[1:]]
                try:
                    capture = attempt.enter_context(tracer.run(command, request))
                except CaptureError as error:
                    if self._options.strict:
                        raise
                    reason, spoken = str(error), False
                    _undo(attempt)
                    continue
                self._began = time.monotonic()
                session.analyst.stand_back()
                self._session, self._capture, self._tracer = session, capture, f"{tracer.name}[{capture.tracer_pid}]"
                session.spool.opened()
                stack.push(attempt.pop_all())
                return session, capture
            except BaseException:
                _undo(attempt)
                raise
        raise CaptureError(reason)

    def _prepared(self, tracer: Tracer, stack: contextlib.ExitStack) -> tuple[Session, Request]:
        plan, options = self._plan, self._options
        request = Request(
            output=Path(),
            syscalls=FOLLOWED,
            string_limit=plan.string_limit,
            seccomp=options.seccomp,
            argv0=options.command[0],
            blocked=self._relay.original,
            one_cpu=options.one_cpu,
        )
        recording = Recording.create(plan.save, _facts(options, header(tracer, request, better=plan.reasons)))
        stack.callback(recording.close)
        stack.callback(_discard_unstarted, recording, self)
        if recording.complaint is not None:
            if options.strict:
                raise CaptureError(recording.complaint)
            complain(recording.complaint)
        keys = KeyFile(recording.directory) if options.tls_keys else None
        spool = Spool(recording.fifo, recording.descriptor, plan.limit, recording.directory)
        stack.callback(spool.close)
        request = replace(
            request, output=recording.fifo, environment=keys.environment() if keys else None, heir=spool.heir
        )
        keepalives = Keepalives(plan.keepalive) if plan.keepalive else None
        layout = replace(ReportTo(plan.report).layout(), utc=plan.options.utc, saved_as=recording.saved_as)
        analyst = reporting_analyst(recording, plan, layout, keys)
        stack.callback(analyst.close)
        watcher = showing_analyst(recording, self._live, keepalives, plan.options.show_secrets)
        if watcher is not None:
            stack.callback(watcher.close)
        return Session(recording, spool, analyst, watcher, keepalives, keys), request

    def _observers(self, session: Session, capture: Capture) -> list[Observer]:
        """Who looks on while the job runs."""
        plan = self._plan

        def tell(looked: Looked, stalled: bool) -> None:
            self._tell(session, looked, stalled=stalled)

        self._moments = Moments(capture.pid, tell, after_s=plan.stall, keep=plan.options.kept)
        if self._asked:  # before there was anybody to answer
            self._moments.now()
        observers: list[Observer] = [self._moments.watch]
        if plan.stall_kill is not None:
            observers.append(Killer(self._moments, plan.stall_kill, session.spool.note).watch)
        if not plan.quiet and StatusLine.possible():
            observers.append(self._line.watch)
        return observers

    def _tell(self, session: Session, looked: Looked, *, stalled: bool) -> None:
        """The report of this moment, to whoever gets reports."""
        self._line.clear()
        to = ReportTo(self._plan.report)
        report = looked.report(self._options.style, replace(to.layout(), utc=self._options.utc))
        to.write(report)
        if self._live is not None:
            with contextlib.suppress(OSError):
                write_all(self._live, report)
        if stalled and self._options.on_stall is not None:
            verdict = looked.analysis.verdict
            conclusion = Conclusion(report, "", False, True, verdict.outcome, verdict.cause, verdict.peer or "")
            self._notify(None, conclusion, session.recording.path if session.recording.saved else None, "--on-stall")

    def _open_live(self) -> int | None:
        if self._plan.live is None:
            return None
        try:
            return appending(self._plan.live)
        except SystraceError as error:
            if self._options.strict:
                raise
            complain(f"{error}: no events are shown")
            return None

    @property
    def started(self) -> bool:
        """The job runs, or has run."""
        return self._capture is not None

    def _pass_signals_on(self, capture: Capture) -> None:
        if self._relayed:
            return
        self._relayed = True
        path = self._session.recording.path if self._session is not None else None

        def take(number: signal.Signals, sender: int, tty: bool) -> None:
            if number == signal.SIGUSR1:
                self._asked = True
                if self._moments is not None:
                    self._moments.now()
            else:
                _relay(capture, path, number, sender, tty)

        self._relay.start(take)

    # ---------------------------------------------------------------------------------------------------- the end

    def _report(self, session: Session, fault: str | None, status: int | None) -> bool:
        """Compress while the analyst finishes; print. A Ctrl-C from here on ends the analysis, not the job's status."""
        recording, options = session.recording, self._options
        if fault:
            complain(f"the recording is incomplete: {fault}")
        where = None
        try:
            early = not options.save_if_bad and not options.check
            where = self._pack(recording) if early else None
            conclusion = Conclusion.read(session.analyst.finish())
            self._conclusion = conclusion
            recording.add(*(line.encode() for line in conclusion.facts))
        except AnalysisFailed as error:
            where = where or self._pack(recording)
            complain(f"no report: the analysis failed: {error}{f'; the recording is in {where}' if where else ''}")
            self._notify(status, Conclusion(b"", "", healthy=False, failed=False), where)
            return False
        bad = bool(not conclusion.healthy or fault or status)
        if options.save_if_bad and not bad:
            recording.discard()
        elif not early:
            where = self._pack(recording)
        if conclusion.complaint:
            complain(f"your own idle limits are not used: {conclusion.complaint}")
        self._print(conclusion, fault)
        if bad and where is not None and self._plan.directory is not None:
            complain(f"the recording is {where}")
        self._kept = str(where) if where is not None else ""
        self._notify(status, conclusion, where)
        return conclusion.failed

    def _pack(self, recording: Recording) -> Path | None:
        where, complaint = recording.pack()
        if complaint:
            complain(complaint)
        directory = self._plan.directory
        if directory is not None and self._plan.keep is not None:
            for failure in prune(directory, self._plan.job, self._plan.keep, where):
                complain(f"an old recording was not deleted: {failure}")
        return where

    def _print(self, conclusion: Conclusion, fault: str | None) -> None:
        if self._plan.quiet and conclusion.healthy and not fault:
            return
        from systrace.words import encoded

        to = ReportTo(self._plan.report)
        brief = conclusion.healthy and conclusion.line and not to.is_file
        to.write(encoded(conclusion.line.rstrip("\n") + "\n") if brief else conclusion.report)
        for (_style, where), report in zip(self._plan.more, conclusion.more, strict=True):
            ReportTo(where, text=False).write(report)

    def _notify(
        self, status: int | None, conclusion: Conclusion, where: Path | None, option: str = "--on-failure"
    ) -> None:
        """Tell whoever is to be told of a job that failed or stalled, or of a verdict of severity error or fatal."""
        command = self._options.on_stall if option == "--on-stall" else self._options.on_failure
        if command is None or not (status or conclusion.failed):
            return
        facts = {
            "job": self._plan.job,
            "status": "" if status is None else str(status),
            "outcome": conclusion.outcome,
            "cause": conclusion.cause,
            "peer": conclusion.peer,
            "recording": str(where) if where is not None else "",
            "report": ReportTo(self._plan.report).path,
        }
        directory = self._session.recording.directory if self._session is not None else None
        complaint = notify(command, conclusion.report, facts, directory, option)
        if complaint:
            complain(complaint)


def _undo(attempt: contextlib.ExitStack) -> None:
    """Take an attempt back, whatever fails in that."""
    with contextlib.suppress(OSError, AnalysisFailed):
        attempt.close()


def _discard_unstarted(recording: Recording, course: Course) -> None:
    if not course.started:
        recording.discard()


def _facts(options: Options, head: dict[str, Any]) -> dict[str, Any]:
    """The first line of the recording."""
    asked = {"tls_keys": options.tls_keys, "one_cpu": options.one_cpu, "job": options.job}
    return {"command": options.command, **head} | {name: value for name, value in asked.items() if value}


def _relay(capture: Capture, recording: Path | None, number: signal.Signals, sender: int, tty: bool) -> None:
    if not tty and not (recording is not None and delivered(recording, capture.pid, number, sender)):
        capture.signal(number)


def _fault(capture: Capture, spooled: Spooled, spool: Spool) -> str | None:
    of_tracer = capture.fault()
    faults = [of_tracer, spool.heir.hear() if of_tracer else None, spooled.fault]
    return "; ".join(fault for fault in faults if fault) or None
