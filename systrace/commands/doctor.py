"""`systrace doctor`: what is here and what is missing for tracing on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from systrace.commands import app
from systrace.commands.options import table_or_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from systrace.kernel.checks import Check

_SIGNS = {"ok": "ok     ", "note": "note   ", "warning": "WARNING", "fault": "FAULT  "}
_INDENT = " " * 9


@app.command(short_help="What this machine allows, and what is missing.")
def doctor(
    style: str = typer.Option("table", "--format", metavar="NAME", help="table, or json: one object a line."),
    json_output: bool = typer.Option(False, "--json", hidden=True),
) -> None:
    """Check strace, permissions, the kernel, its TCP settings, the optional tools, and the settings in force.

    Each line that is not "ok" says what is lost and the command that mends it.

    Exit status: 0, or 1 if tracing cannot work.
    """
    import dataclasses
    import json
    import sys

    from systrace.kernel.checks import FAULT, all_checks
    from systrace.reporters.layout import PIPED_WIDTH, Layout
    from systrace.tracers.embedded import Embedded
    from systrace.words import wrap

    json_output |= table_or_json(style) == "json"
    checks = [_tracer(), *all_checks(Embedded().unavailable()), _outliving(), _scanner(), *_settings()]
    width = max(len(check.name) for check in checks)
    columns = Layout.of(sys.stdout.buffer).width if sys.stdout is not None else PIPED_WIDTH
    for check in checks:
        if json_output:
            typer.echo(json.dumps(dataclasses.asdict(check)))
            continue
        lead = f"{_SIGNS[check.level]}  {check.name:{width}}  "
        lines = wrap(check.found, columns, lead, " " * (len(lead) if columns >= 72 else len(_INDENT)))
        if check.level != "ok":
            lines += wrap(check.cost, columns, f"{_INDENT}cost: ", f"{_INDENT}      ") if check.cost else []
            lines += [f"{_INDENT}mend: {check.mend}"] if check.mend else []  # in one piece, to be copied
        typer.echo("\n".join(lines))
    if any(check.level == FAULT for check in checks):
        raise typer.Exit(1)


def _tracer() -> Check:
    """Which one `run` and `attach` take, found out by trying, and what would permit a better one."""
    from systrace.capture.choosing import choose
    from systrace.errors import CaptureError
    from systrace.kernel.checks import FAULT, NOTE, OK, Check

    try:
        tracer, better = choose(None)
    except CaptureError as error:
        return Check("tracer", FAULT, "none works here", str(error))
    if tracer.stops:
        return Check("tracer", NOTE, tracer.name, f"the job is stopped at some of its calls: {'; '.join(better)}")
    return Check("tracer", OK, f"{tracer.name}: the job is not stopped")


def _outliving() -> Check:
    """What becomes of the job of `run` if its tracer is killed."""
    from systrace.kernel.checks import NOTE, OK, Check
    from systrace.tracers.heir import permitted

    if permitted():
        return Check("killed tracer", OK, "the job goes on untraced, with its own status")
    cost = (
        "the job is killed with the embedded tracer; with strace a few of its calls may fail with ENOSYS; not with eBPF"
    )
    return Check(
        "killed tracer", NOTE, "nobody may take the job over", cost, "sysctl kernel.yama.ptrace_scope=0, or root"
    )


def _scanner() -> Check:
    """How fast logs are read."""
    from systrace import compiled
    from systrace.kernel.checks import NOTE, OK, Check

    if compiled.scanner() is not None:
        return Check("scanner", OK, compiled.how())
    unwanted = compiled.unwanted()
    cost = "long logs take longer to read; reports are the same"
    mend = f"unset {compiled.VARIABLE}" if unwanted else "install systrace where a C compiler and Python's headers are"
    return Check("scanner", NOTE, compiled.how(), cost, mend)


def _settings() -> Iterator[Check]:
    """What is in force and where it comes from, and what is passed over."""
    from systrace.kernel.checks import NOTE, OK, WARNING, Check
    from systrace.settings import HOST, settings, user_file
    from systrace.words import safe

    known = settings()
    for name, setting in known.found.items():
        yield Check(f"setting {name}", OK, safe(f"{setting.value} ({setting.source})"))
    for complaint in known.complaints:
        yield Check("settings", WARNING, safe(complaint), "it is not used")
    if not known.found and not known.complaints:
        yield Check("settings", NOTE, f"none in {HOST}, {user_file()} or SYSTRACE_* variables")
