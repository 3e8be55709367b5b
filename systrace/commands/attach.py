"""`systrace attach PID...`: why does this running job hang? First without touching it, then by tracing it."""

from __future__ import annotations

from typing import Annotated

import typer

from systrace.commands import app, completing
from systrace.commands.options import Check, Outputs, RedactNames, Save, ShowSecrets, Strings, Styles, TracerName, Utc

HELP = """Say at once what process PID and its children wait for, then trace them and report.

The first look only asks the kernel and stops nothing. Tracing makes some waiting calls (epoll_wait, semop,
sigtimedwait, sockets with a timeout) return early with EINTR. Where nothing shows that the program repeats such a call,
it is traced only with --force; else the first look is the report. With --passive nothing is traced at all. The
processes go on when the tracing ends.

NAME is the name of a program or script (nightly_export.sh, export.php, x.jar), exact or with * and ?. Several processes
are traced together, into one report.

Exit status: 0 nothing of severity error or fatal, 1 something, 2 no PID could be looked at or traced.
"""


@app.command(help=HELP, short_help="What a running process waits for: look, then trace.")
def attach(
    pids: Annotated[
        list[int] | None, typer.Argument(min=1, metavar="PID...", help="The processes.", autocompletion=completing.pids)
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="All processes of that name; may be repeated.",
            autocompletion=completing.names,
        ),
    ] = None,
    wait_for: Annotated[
        str | None, typer.Option("--wait-for", metavar="NAME", help="Wait for a new process of that name.")
    ] = None,
    passive: Annotated[bool, typer.Option("--passive", help="Only look: stop and interrupt nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Trace even where that fails a call which the program may not repeat.")
    ] = False,
    seconds: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="How long to trace (30s, 5m, 2h); else until Ctrl-C or its end."),
    ] = None,
    save: Save = None,
    outputs: Outputs = None,
    styles: Styles = None,
    check: Check = False,
    show_secrets: ShowSecrets = False,
    redact_names: RedactNames = False,
    utc: Utc = False,
    tracer: TracerName = None,
    string_limit: Strings = "4096",
) -> None:
    """See HELP."""
    from systrace.capture.attaching import Options, attach_to
    from systrace.reporters.choosing import fitting, wanted

    first, *more = asked = wanted(styles or (), outputs or ())
    fitting(asked)
    options = Options(
        pids=tuple(pids or ()),
        names=tuple(names or ()),
        wait_for=wait_for,
        passive=passive,
        seconds=seconds,
        save=save,
        report=first.output,
        style=first.style,
        more=more,
        check=check,
        show_secrets=show_secrets,
        redact_names=redact_names,
        utc=utc,
        tracer=tracer,
        string_limit=string_limit,
        force=force,
    )
    raise typer.Exit(attach_to(options))
