"""`systrace parse LOG...`: what went wrong, from strace logs that exist already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from systrace.commands import app, completing, say
from systrace.commands.options import Output, ShowSecrets

if TYPE_CHECKING:
    from systrace.idle_limits import Limit
    from systrace.sources.logs import Recording

HELP = """Read strace logs of any version and option style, and say what went wrong, with the lines that prove it.

LOG is a file (plain, gzip, xz, zstd or bzip2), several files of one -ff recording, a directory of them, or - for
standard input. Ctrl-C ends the input of a pipe. Files that do not belong together get a report each.

Exit status: 0 nothing of severity error or fatal, 1 something, 2 a LOG could not be read,
or has no system call in it.
"""


@app.command(help=HELP, short_help="What went wrong, from a strace log.")
def parse(
    logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="strace's output; - for standard input.")],
    style: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="table, or json: one object a line for each recording.",
            autocompletion=completing.formats,
        ),
    ] = "table",
    socket: Annotated[str | None, typer.Option(metavar="ID", help="Show one socket call by call: S4.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All findings, sockets and lines, not only the answer.")
    ] = False,
    requests: Annotated[bool, typer.Option("--requests", help="Add the HTTP requests to the table.")] = False,
    limits: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own idle limits, as in idle_limits.toml.")
    ] = None,
    keylog: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TLS session keys (SSLKEYLOGFILE format) of the recorded program."),
    ] = None,
    show_secrets: ShowSecrets = False,
    output: Output = None,
) -> None:
    """See HELP."""
    from systrace.commands.reading.analysis import analysis_of, without_calls
    from systrace.commands.reading.loop import show_each
    from systrace.commands.reading.output import output_place
    from systrace.errors import UsageError
    from systrace.idle_limits import read
    from systrace.model import Keep
    from systrace.reporters import REPORTERS
    from systrace.reporters.layout import Layout
    from systrace.reporters.views.timeline import timeline
    from systrace.words import encoded, safe

    if style not in REPORTERS:
        raise UsageError(f"there is no report format {style!r}: choose from {', '.join(REPORTERS)}")
    reporter = REPORTERS[style]
    if socket is not None and not reporter.for_people:
        raise UsageError("--socket shows a table: it does not go with --format")
    where = output_place(output, logs, (limits, keylog))
    own = read(limits, users=True) if limits is not None else _set_limits()
    failed = False

    def show(recording: Recording, out: BinaryIO, several: bool) -> str | None:
        nonlocal failed
        analysis = analysis_of(recording, Keep(calls_of=socket, secrets=show_secrets), keylog, own)
        layout = Layout.of(out, everything, requests or everything)
        if several and reporter.for_people:
            out.write(encoded(f"== {safe(recording.name)} ==\n\n"))
        if socket is not None:
            timeline(analysis, socket, out, layout)
        else:
            reporter.write(analysis, out, layout)
        failed |= any(finding.severity in ("error", "fatal") for finding in analysis.findings)
        return without_calls(recording, analysis)

    raise typer.Exit(int(failed) if show_each(logs, where, show) else 2)


def _set_limits() -> list[Limit]:
    """Those of the settings; no log waits for them."""
    from systrace.errors import SystraceError
    from systrace.idle_limits import read
    from systrace.settings import settings

    path = settings().text("limits")
    try:
        return read(Path(path), users=True) if path is not None else []
    except SystraceError as error:
        say(error)
        return []
