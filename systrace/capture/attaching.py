"""The course of `systrace attach`: the passive look and its verdict first, because tracing interrupts what hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from systrace.calls import FOLLOWED
from systrace.capture import targets
from systrace.capture.analyst import AnalysisFailed, Analyst, Work
from systrace.capture.choosing import choose, header
from systrace.capture.concluding import Conclusion, Wishes, conclude, prepare
from systrace.capture.looking import Looked, both_numbers, looks_at, what_passive_gives
from systrace.capture.outlets import Outlets, outlets
from systrace.capture.plan import string_limit, tracer_named
from systrace.capture.process_tree import descendants
from systrace.capture.recording import Recording
from systrace.capture.reporting import complain
from systrace.capture.signals import Relay
from systrace.capture.spool import Spool
from systrace.capture.watching import Watcher
from systrace.dataclass import dataclass
from systrace.errors import CaptureError, SystraceError, UsageError
from systrace.kernel.permission import refusal
from systrace.kernel.snapshot import still_running
from systrace.look.lines import lines_of
from systrace.look.nouns import Look
from systrace.model import Keep
from systrace.outputs import place
from systrace.reporters.choosing import Wanted
from systrace.reporters.layout import Layout
from systrace.rules.look.interrupting import interrupted_by_attach
from systrace.settings import settings
from systrace.tracers import Capture, Request, Tracer
from systrace.tracers.waiting import Running, pidfd, tracer_of, wait_any
from systrace.units import named, seconds
from systrace.words import encoded, safe

_STANDS_STILL = "it is stopped or frozen, and makes no call until it goes on"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line, unchecked."""

    pids: Sequence[int]
    names: Sequence[str]
    wait_for: str | None
    passive: bool
    seconds: str | None
    save: str | None
    report: str | None
    style: str
    tracer: str | None
    string_limit: str
    force: bool = False
    show_secrets: bool = False
    utc: bool = False
    more: Sequence[Wanted] = ()  # further reports
    check: bool = False
    redact_names: bool = False

    @property
    def kept(self) -> Keep:
        """What reports may show."""
        return Keep(secrets=self.show_secrets, redact_names=self.redact_names)


def attach_to(options: Options) -> int:
    """Look, say what the processes wait for, trace, report.

    Returns:
        0, or 1 with findings of severity error or fatal, or 2 when none of them might be looked at.

    Raises:
        SystraceError: nothing could be seen, or tracing is not permitted (after what could be seen was said).
    """
    with _in_one_line(), outlets(options.report, options.more, options.save) as to, _in_one_line():
        limit = named("--for", seconds, options.seconds) if options.seconds is not None else None
        string_limit(options.string_limit)
        if options.check and options.redact_names:
            raise UsageError("--check asks those whom --redact-names would hide: choose one")
        targets.check(options.pids, options.names, options.wait_for)
        return _attach(options, limit, to)


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Whatever happens, nobody gets a traceback, and leaving has let the processes go.

    Raises:
        CaptureError: in place of what nobody expected.
    """
    try:
        yield
    except SystraceError:
        raise
    except OSError as error:
        where = f"{error.filename!s}: " if error.filename is not None else ""
        raise CaptureError(
            f"the tracing stopped: {safe(where)}{error.strerror or error}; the processes go on"
        ) from error
    except Exception as error:  # a fault of ours must not look like one of the job's
        last = traceback.extract_tb(error.__traceback__)[-1]
        place_of = f"{Path(last.filename).name}:{last.lineno}"
        said = safe(f"{type(error).__name__}: {error}", 300)
        raise CaptureError(f"a bug in systrace ({said}, {place_of}); the processes go on") from error


def _attach(options: Options, limit: float | None, to: Outlets) -> int:
    if options.wait_for is not None:
        if not options.passive:
            _check_null()
            choose(tracer_named(options.tracer))  # what can't be traced is not worth waiting for
        pids = [targets.awaited(options.wait_for)]
    else:
        pids = targets.chosen(options.pids, options.names)
    looks = looks_at(pids, options.kept)
    for look in looks:
        if len(look.look.root.ns_pids) > 1:
            complain(both_numbers(look.look))
    if options.passive:
        return _passive(options, looks, to)
    if all(look.look.root.stands_still for look in looks):
        for look in looks:
            complain(f"{look.who if len(looks) > 1 else ''}: not traced: {_STANDS_STILL}".removeprefix(": "))
        return _passive(options, looks, to)
    for look in looks:
        complain(look.headline if len(looks) == 1 else f"{look.who}: {look.headline}")
    tracer, better = choose(tracer_named(options.tracer))
    able = _traceable(looks, options) if tracer.stops else _unfrozen(looks)
    if not able:
        if options.save is not None:
            complain(f"nothing was traced: {options.save} is not written")
        return _passive(options, looks, to)
    _check_null()
    failed = _trace(options, tracer, better, [look.look for look in able], limit, to)
    return int(failed or any(look.grave for look in looks if look not in able))


def _unfrozen(looks: Sequence[Looked]) -> list[Looked]:
    """Those of which there is anything to see."""
    for look in looks:
        if look.look.root.stands_still:
            complain(f"{look.who}: not traced: {_STANDS_STILL}")
    return [look for look in looks if not look.look.root.stands_still]


def _bears_it(look: Looked, *, force: bool) -> bool:
    """Say which calls tracing would end with EINTR; whether the process is known to live with that, or that doesn't matter."""
    found = interrupted_by_attach(look.look)
    unknown = [each for each in found if not each.expected]
    if unknown and not force:
        more = f" (so will {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        complain(
            f"not traced: {unknown[0].what}{more}, and nothing shows that the program repeats it then: it might end of it; "
            "--force traces all the same"
        )
        return False
    for each in found:
        complain(f"{each.what}{'; ' * bool(each.expected)}{each.expected}")
    return True


def _untraceable(look: Looked) -> str | None:
    reason = refusal(look.pid)
    return None if reason is None else f"cannot trace: {reason}{what_passive_gives(look)}"


def _traceable(looks: Sequence[Looked], options: Options) -> list[Looked]:
    """Those that can be traced by a tracer that stops them, and bear it.

    Raises:
        CaptureError: none can be traced.
    """
    if len(looks) == 1:
        reason = _untraceable(looks[0])
        if reason is not None:
            raise CaptureError(reason)
        able = list(looks)
    else:
        able = [look for look in _unfrozen(looks) if not _forbidden(look)]
        if not able:
            raise CaptureError(f"none of the {len(looks)} processes can be traced; --passive reports what can be seen")
    return [look for look in able if _bears_it(look, force=options.force)]


def _forbidden(look: Looked) -> bool:
    """Whether it cannot be traced; then that is said."""
    reason, tracer = _untraceable(look), tracer_of(look.pid)
    if reason is not None:
        complain(reason)
    elif tracer:
        complain(f"cannot trace: process {look.who}: process {targets.shown(tracer)} traces it already")
    return reason is not None or tracer != 0


def _passive(options: Options, looks: Sequence[Looked], to: Outlets) -> int:
    from systrace.reporters import REPORTERS

    several, for_people = len(looks) > 1, REPORTERS[options.style].for_people
    for look in looks:
        if several and for_people:
            to.first.write(encoded(f"== {look.who} ==\n\n"))
        report = look.report(options.style, replace(to.first.layout(), utc=options.utc))
        to.first.write(report + b"\n" if for_people and look is not looks[-1] else report)
        for style, out in to.more:
            out.write(look.report(style, replace(out.layout(), utc=options.utc)))
    for look in looks:
        if look.refused:
            complain(f"not looked at: {refusal(look.pid) or f'process {look.who} has ended'}")
    if all(look.refused for look in looks):
        return 2
    return int(any(look.grave for look in looks))


def _trace(
    options: Options,
    tracer: Tracer,
    better: Sequence[str],
    roots: Sequence[Look],
    limit: float | None,
    to: Outlets,
) -> bool:
    request = Request(output=Path(), syscalls=FOLLOWED, string_limit=string_limit(options.string_limit))
    pids = [snapshot.pid for snapshot in roots]
    with contextlib.ExitStack() as stack, Relay() as relay:
        attached = pids[0] if len(pids) == 1 else pids
        facts = {"attached": attached, **header(tracer, request, better=better, attach=True, pid=pids[0])}
        recording = Recording.create(place(options.save) if options.save is not None else None, facts)
        stack.callback(recording.close)
        if recording.complaint is not None:
            complain(recording.complaint)
        recording.add(*_lines(roots))
        spool = Spool(recording.fifo, recording.descriptor, None, recording.directory)
        stack.callback(spool.close)
        layout = replace(to.first.layout(), utc=options.utc, saved_as=recording.saved_as)
        more = [(style, replace(out.layout(), utc=options.utc)) for style, out in to.more]
        work = _work(recording.name, options, layout, more)
        analyst = Analyst(recording.path, work, set(), prepare=prepare)
        stack.callback(analyst.close)
        analyst.stand_back()
        living, family = _family(roots, {os.getpid(), spool.pid, analyst.pid})
        looked = recording.length
        try:
            capture = stack.enter_context(tracer.attach(family, replace(request, output=recording.fifo)))
        except CaptureError as error:
            _keep_the_look(recording, spool, looked, str(error))
            raise
        spool.opened()
        spool.end_with_us(capture.tracer_pid)
        relay.start(lambda number, _sender, _tty: _stop(capture, number))
        complain(_under_way(len(family), limit))
        watcher = Watcher(pids, spool.note)
        watcher.start()
        ended = _wait(capture, living, limit)
        broken = capture.fault() if ended else None  # a tracer that was killed ends the waiting, too
        capture.stop()
        watcher.finish()
        spooled = spool.finish()
        fault = "; ".join(each for each in (broken or capture.fault(), spooled.fault) if each) or None
        if broken is not None and any(still_running(snapshot) for snapshot in roots):
            ended = False
        recording.end(
            {"exit_status": None, "ended": ended, "fault": fault, "lost_bytes": spooled.lost, **watcher.unseen}
        )
        return _report(to, recording, analyst, fault, () if ended else roots, early=not options.check)


def _check_null() -> None:
    """The tracers, and the processes that read them, put it in the place of their standard streams.

    Raises:
        CaptureError: it is missing (containers), or may not be opened.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise CaptureError(
            f"cannot trace: {os.devnull} cannot be opened ({error.strerror}): as root: rm -f {os.devnull}; "
            f"mknod -m 666 {os.devnull} c 1 3; --passive does without it"
        ) from None


def _lines(roots: Sequence[Look]) -> list[bytes]:
    """The snapshots, for the head of the recording; each family once."""
    known: set[int] = set()
    found: list[bytes] = []
    for snapshot in sorted(roots, key=lambda each: -len(each.processes)):  # who is in another's family comes after it
        if snapshot.pid not in known:
            found += lines_of(snapshot)
            known |= {process.pid for process in snapshot.processes}
    return found


def _family(roots: Sequence[Look], own: set[int]) -> tuple[list[Running], list[Running]]:
    """The processes that were asked for, and with their descendants; nobody twice, nobody whom another traces, not `own`.

    Raises:
        CaptureError: all have ended.
    """
    living = [Running(each.pid, each.root.start_ticks) for each in roots if still_running(each)]
    if not living:
        raise CaptureError("; ".join(f"process {each.pid} ended before it could be traced" for each in roots))
    below = [process for root in living for process in descendants(root.pid)]
    free = [process for process in below if process.pid not in own and not tracer_of(process.pid)]
    return living, list({process.pid: process for process in [*living, *free]}.values())


def _wait(capture: Capture, roots: Sequence[Running], limit: float | None) -> bool:
    """Until all have ended or the tracer has; whether that came before the limit. A capture knows of its first only."""
    deadline = None if limit is None else time.monotonic() + limit
    if capture.wait(limit) is None:
        return False
    for root in roots[1:]:
        with contextlib.ExitStack() as stack:
            watched = [pidfd(root.pid), pidfd(capture.tracer_pid)]
            for descriptor in watched:
                if descriptor is not None:
                    stack.callback(os.close, descriptor)
            left = None if deadline is None else deadline - time.monotonic()
            if watched[1] is None or root.replaced():
                continue
            if not wait_any(watched, left):
                return False
    return True


def _keep_the_look(recording: Recording, spool: Spool, length: int, why: str) -> None:
    """Attaching was refused: what is kept holds the snapshot alone, no calls of whoever was seized by mistake."""
    spool.finish()
    recording.cut(length)
    recording.end({"exit_status": None, "ended": False, "fault": why})
    recording.pack()


def _work(name: str, options: Options, layout: Layout, more: Sequence[tuple[str, Layout]]) -> Work:
    wishes = Wishes(options.style, layout, more, options.kept, settings().text("limits"), check=options.check)
    return lambda lines: conclude(name, lines, wishes)


def _stop(capture: Capture, number: signal.Signals) -> None:
    if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        capture.stop()


def _under_way(count: int, limit: float | None) -> str:
    what = f"tracing {count} process{'es' if count > 1 else ''}"
    return f"{what} for {limit:g} s; Ctrl-C ends it earlier" if limit else f"{what}; Ctrl-C ends it"


def _packed(recording: Recording) -> None:
    _where, complaint = recording.pack()
    if complaint:
        complain(complaint)


def _report(
    to: Outlets, recording: Recording, analyst: Analyst, fault: str | None, released: Sequence[Look], *, early: bool
) -> bool:
    """`early`: nothing more comes into the recording, so it is whole and has its name while the analyst finishes."""
    if fault:
        complain(f"the recording is incomplete: {fault}")
    if early:
        _packed(recording)
    try:
        conclusion = Conclusion.read(analyst.finish())
        recording.add(*(line.encode() for line in conclusion.facts))
    except AnalysisFailed as error:
        raise CaptureError(f"no report: the analysis failed: {error}") from None
    finally:
        if not early:
            _packed(recording)
    for look in released:
        if not still_running(look):
            complain(
                f"process {look.pid} ended just after the tracing stopped, which can interrupt a waiting call (EINTR)"
            )
    to.first.write(conclusion.report)
    for (_style, out), report in zip(to.more, conclusion.more, strict=True):
        out.write(report)
    return conclusion.failed
