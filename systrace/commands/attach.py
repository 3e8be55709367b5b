"""`systrace attach PID`: why does this running job hang? First without touching it, then by tracing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from systrace.commands import app
from systrace.commands.options import Save, StringLimit, Style, TracerName

HELP = """Say at once what process PID and its children wait for, then trace them and report.

The first verdict comes from the kernel's tables and disturbs nobody. Tracing does: calls that are blocked at that
moment are interrupted, and most programs simply repeat them; which ones is said before. --passive stops after the
first look. The processes go on when the tracing ends.

Exit status: 0 nothing of severity error or fatal, 1 something, 2 PID could not be looked at or traced.
"""


@app.command(help=HELP, short_help="What a running process waits for: look, then trace.")
def attach(
    pid: Annotated[int, typer.Argument(min=1, metavar="PID", help="The process.")],
    passive: Annotated[bool, typer.Option("--passive", help="Only look: stop and interrupt nothing.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option("--for", min=0.001, metavar="N", help="Seconds to trace; else until Ctrl-C or its end."),
    ] = None,
    save: Save = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report there, not to standard output.")
    ] = None,
    style: Style = "table",
    tracer: TracerName = None,
    string_limit: StringLimit = 4096,
) -> None:
    """See HELP."""
    from systrace.commands.capture.attaching import Options, attach_to

    raise typer.Exit(int(attach_to(Options(pid, passive, seconds, save, report, style, tracer, string_limit))))
