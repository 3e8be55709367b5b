"""What `run` was asked for, checked: the job before all else, so what only concerns its recording stops nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from systrace.capture.choosing import AUTO, names, tracers_for
from systrace.capture.keepalive import Keepalives
from systrace.capture.keeping import Keep, job_name, new_name
from systrace.capture.reporting import complain
from systrace.capture.telling import Told, outlets_of
from systrace.dataclass import dataclass
from systrace.errors import CaptureError, CommandError, SystraceError, UsageError
from systrace.outputs import Place, by_number, distinct, place
from systrace.reporters.choosing import Wanted
from systrace.settings import Settings, settings
from systrace.tracers import TRACERS, Tracer
from systrace.units import named, seconds, size

if TYPE_CHECKING:
    from systrace.model import Keep as Showing

SHORTEST = 64  # bytes of a string that tell anything


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line, unchecked."""

    command: list[str]
    save: str | None = None
    save_dir: str | None = None
    keep: str | None = None
    save_if_bad: bool = False
    report: str | None = None
    style: str = "table"
    more: Sequence[Wanted] = ()  # further reports
    check: bool = False
    quiet: bool = False
    verdict_status: bool = False
    timeout: str | None = None
    max_size: str | None = None
    live: str | None = None
    keepalive: str | None = None
    seccomp: bool = True
    tracer: str | None = None
    string_limit: str = "4096"
    tls_keys: bool = False
    one_cpu: bool = False
    limits: str | None = None
    job: str | None = None
    outlets: Mapping[str, str] = field(default_factory=dict)  # of monitoring: name and target
    on_failure: str | None = None
    stall: str | None = None
    stall_kill: str | None = None
    on_stall: str | None = None
    strict: bool = False
    show_secrets: bool = False
    redact_names: bool = False
    utc: bool = False

    @property
    def kept(self) -> Showing:
        """What reports may show."""
        from systrace.model import Keep

        return Keep(secrets=self.show_secrets, redact_names=self.redact_names)


@dataclass(slots=True)
class Plan:
    """The same, checked."""

    options: Options
    program: str
    job: str
    timeout: float | None
    stall: float | None
    stall_kill: signal.Signals | None
    limit: int | None
    string_limit: int
    keep: Keep | None
    quiet: bool
    limits: str | None
    tracers: list[Tracer]
    keepalive: str | None
    save: Place | None = None
    report: Place | None = None
    more: list[tuple[str, Place]] = field(default_factory=list)  # further reports: format and place
    live: Place | None = None
    outlets: list[Told] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)  # why a tracer is not among them
    second_choice: bool = False  # one was asked for that is not

    @property
    def sent(self) -> list[str]:
        """The formats of reports that outlets pass on."""
        return [outlet.report for outlet, _target in self.outlets if outlet.report]

    @property
    def directory(self) -> Path | None:
        """Of `--save-dir`."""
        return self.save.path.parent if self.save is not None and self.options.save is None else None


def _stall(options: Options) -> tuple[float | None, signal.Signals | None]:
    """After which silence of the whole job, and the signal that then ends it.

    Raises:
        UsageError: no duration, no signal, or nothing to begin with.
    """
    after = named("--stall", seconds, options.stall) if options.stall is not None else None
    if after is None and (options.stall_kill is not None or options.on_stall is not None):
        raise UsageError("--stall-kill and --on-stall need --stall TIME")
    return after, signal_named(options.stall_kill) if options.stall_kill is not None else None


def signal_named(text: str) -> signal.Signals:
    """`TERM`, `SIGTERM`, `15`.

    Raises:
        UsageError: there is no such signal.
    """
    name = text.upper().removeprefix("SIG")
    with contextlib.suppress(KeyError, ValueError):
        return signal.Signals(int(name)) if name.isdecimal() else signal.Signals[f"SIG{name}"]
    raise UsageError(f"--stall-kill: there is no signal {text!r}: write TERM, INT, KILL")


def plan_of(options: Options) -> Plan:
    """Check all options; what can't be recorded as asked is said in a line, unless `--strict` asks for the opposite.

    Raises:
        UsageError: an option that makes no sense.
        CommandError: there is no such command.
        SystraceError: with `--strict`, anything else that is not as it was asked for.
    """
    known = settings()
    for complaint in known.complaints:
        complain(complaint)
    if options.save is not None and options.save_dir is not None:
        raise UsageError("--save names a file, --save-dir a directory: choose one")
    if options.keep is not None:
        Keep.parse(options.keep)
        if options.save is not None or not (options.save_dir or known.text("save-dir")):
            raise UsageError("--keep works only with --save-dir")
    if options.keepalive:
        Keepalives.parse(options.keepalive)
    keep = options.keep or known.text("keep")
    if options.check and options.redact_names:
        raise UsageError("--check asks those whom --redact-names would hide: choose one")
    timeout = named("--timeout", seconds, options.timeout) if options.timeout is not None else None
    limit = named("--max-size", size, options.max_size) if options.max_size is not None else None
    named_tracer = tracer_named(options.tracer)
    usable, reasons = tracers_for(named_tracer)
    if options.strict and reasons and (named_tracer is not None or not usable):
        raise CaptureError("; ".join(reasons))
    plan = Plan(
        options,
        find(options.command[0]),
        job_name(options.command, options.job),
        timeout,
        *_stall(options),
        limit,
        string_limit(options.string_limit),
        _keep(keep, given=options.keep is not None),
        options.quiet or known.quiet,
        options.limits or known.text("limits"),
        usable,
        options.keepalive,
        reasons=reasons,
        second_choice=named_tracer is not None and bool(reasons),
    )
    _find_places(plan, known)
    return plan


def string_limit(text: str) -> int:
    """`-s`: bytes of each string.

    Raises:
        UsageError: no size, or one that shows nothing of use.
    """
    count = named("--string-limit", size, text)
    if not SHORTEST <= count < 1 << 30:
        raise UsageError(f"--string-limit {text}: at least {SHORTEST} bytes, at most 1G")
    return count


def tracer_named(given: str | None) -> str | None:
    """The one of the command line, or of the settings; a file that names one that does not exist stops nothing."""
    known = settings()
    chosen = known.text("tracer")
    if given is not None or chosen is None:
        return None if given == AUTO else given
    if chosen in TRACERS:
        return chosen
    if chosen != AUTO:
        complain(f"{known.found['tracer'].source}: there is no tracer {chosen!r}: choose from {', '.join(names())}")
    return None


def _keep(text: str | None, *, given: bool) -> Keep | None:
    if text is None:
        return None
    try:
        return Keep.parse(text)
    except UsageError as error:
        if given:
            raise
        complain(str(error))
        return None


def _find_places(plan: Plan, known: Settings) -> None:
    """Where the recording, the report and the events go; each that is refused is said, and goes where it can."""
    options = plan.options
    with _or_without(options.strict):
        plan.save = _save_place(plan, known)
    with _or_without(options.strict, "the report goes to standard error"):
        report = place(options.report) if options.report is not None else None
        distinct([("--save", plan.save), ("--report", report)])
        plan.report = report
    taken = [("--save", plan.save), ("--report", plan.report)]
    for each in options.more:
        with _or_without(options.strict, f"no {each.style} report is written"):
            where = place(each.output or "-")
            distinct([*taken, ("--report", where)])
            taken.append(("--report", where))
            plan.more.append((each.style, where))
    with _or_without(options.strict, "no events are shown"):
        live = _live_place(options.live)
        distinct([*taken, ("--live", live)])
        plan.live = live
    plan.outlets = outlets_of(options.outlets, [*taken, ("--live", plan.live)], strict=options.strict)


def _save_place(plan: Plan, known: Settings) -> Place | None:
    if plan.options.save is not None:
        return place(plan.options.save)
    directory = plan.options.save_dir or known.text("save-dir")
    if directory is None:
        return None
    path = Path(directory)
    if not path.exists():
        try:
            path.mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(f"cannot make {path}: {error.strerror}") from None
    if not path.is_dir():
        raise UsageError(f"--save-dir {path}: it is no directory")
    return place(path / new_name(plan.job))


def _live_place(target: str | None) -> Place | None:
    if target is None:
        return None
    return place(by_number(target))


@contextlib.contextmanager
def _or_without(strict: bool, instead: str = "nothing is saved") -> Iterator[None]:
    """What goes wrong is said, and the job runs without it."""
    try:
        yield
    except (SystraceError, OSError) as error:
        if strict:
            raise
        complain(f"{error}: {instead}")


def find(word: str) -> str:
    """The path of a program, as execvp(3) searches.

    Raises:
        CommandError: there is none, or none that may be executed.
    """
    if "/" in word:
        try:
            os.stat(word)  # noqa: PTH116 (its errno counts)
        except OSError as error:
            raise CommandError(word, error.errno or 2) from None
        except ValueError:
            raise CommandError(word, 2) from None
        if Path(word).is_dir() or not os.access(word, os.X_OK, effective_ids=True):
            raise CommandError(word, 13)
        return word
    found = shutil.which(word)
    if found is None:
        raise CommandError(word, "command not found")
    return found
