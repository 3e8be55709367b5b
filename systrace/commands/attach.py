"""`systrace attach PID`: why does this running job hang? First without touching it, then by tracing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from systrace.commands import app

HELP = """Say at once what process PID and its children wait for, then trace them and report.

The first verdict comes from the kernel's tables and disturbs nobody. Tracing does: calls that are blocked at that
moment are interrupted, and most programs simply repeat them; which ones is said before. --passive stops after the
first look. The processes go on when the tracing ends.
"""


@app.command(help=HELP)
def attach(
    pid: Annotated[int, typer.Argument(min=1, help="The process.")],
    passive: Annotated[bool, typer.Option("--passive", help="Only look: stop and interrupt nothing.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0.001, help="Seconds to trace; else until Ctrl-C or the process's end.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Keep the recording; .gz, .xz, .bz2 and .zst compress it.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report to a file instead of standard output.")] = None,
    style: Annotated[str, typer.Option("--format", help="Format of the report: table or json.")] = "table",
    tracer: Annotated[str | None, typer.Option(help="strace or embedded; else the first that works.")] = None,
    string_limit: Annotated[
        int, typer.Option("--string-limit", "-s", min=64, help="Bytes recorded of each read or write.")
    ] = 4096,
) -> None:
    """See HELP."""
    from systrace.commands.capture.attaching import Options, attach_to

    raise typer.Exit(int(attach_to(Options(pid, passive, seconds, save, report, style, tracer, string_limit))))
