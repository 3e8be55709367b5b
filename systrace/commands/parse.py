"""`systrace parse LOG...`: what went wrong, from strace logs that exist already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from systrace.commands import app, completing
from systrace.commands.options import Output

if TYPE_CHECKING:
    from systrace.commands.reading.logs import Recording
    from systrace.idle_limits import Limit
    from systrace.model import Analysis

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
    output: Output = None,
) -> None:
    """See HELP."""
    from systrace.commands.reading.analysis import analysis_of, without_calls
    from systrace.commands.reading.logs import recordings, say
    from systrace.commands.reading.output import opened, output_place
    from systrace.errors import SystraceError, UsageError
    from systrace.idle_limits import read
    from systrace.model import Keep
    from systrace.reporters import REPORTERS

    if style not in REPORTERS:
        raise UsageError(f"there is no report format {style!r}: choose from {', '.join(REPORTERS)}")
    if socket is not None and style != "table":
        raise UsageError("--socket shows a table: it does not go with --format")
    where = output_place(output, logs, (limits, keylog))
    own = read(limits, users=True) if limits is not None else _set_limits()
    found, unreadable = recordings(logs)
    failed = reported = False
    with opened(where) as out:
        for recording in found:
            try:
                analysis = analysis_of(recording, Keep(calls_of=socket), keylog, own)
                if len(found) > 1 and style == "table":
                    _head(recording, out)
                _write(analysis, style, socket, everything, out)
                if style == "table" and socket is None and (requests or everything):
                    _requests(analysis, out)
            except SystraceError as error:
                say(error)
                unreadable = True
                continue
            reported = True
            if (lack := without_calls(recording, analysis)) is not None:
                say(lack)
                unreadable = True
            failed |= any(finding.severity in ("error", "fatal") for finding in analysis.findings)
        if not reported:
            raise typer.Exit(2)  # within the block: what is in FILE stays there
    raise typer.Exit(2 if unreadable else int(failed))


def _set_limits() -> list[Limit]:
    """Those of the settings; no log waits for them."""
    from systrace.commands.reading.logs import say
    from systrace.errors import SystraceError
    from systrace.idle_limits import read
    from systrace.settings import settings

    path = settings().text("limits")
    try:
        return read(Path(path), users=True) if path is not None else []
    except SystraceError as error:
        say(error)
        return []


def _head(recording: Recording, out: BinaryIO) -> None:
    from systrace.words import encoded, safe

    out.write(encoded(f"== {safe(recording.name)} ==\n\n"))


def _write(analysis: Analysis, style: str, socket: str | None, everything: bool, out: BinaryIO) -> None:
    from systrace.reporters import REPORTERS
    from systrace.reporters.layout import Layout
    from systrace.reporters.table import render, timeline
    from systrace.words import encoded

    if socket is not None:
        timeline(analysis, socket, out, Layout.of(out))
    elif everything and style == "table":
        out.write(encoded(render(analysis, Layout.of(out, everything=True))))
    else:
        REPORTERS[style].write(analysis, out)
    out.flush()


def _requests(analysis: Analysis, out: BinaryIO) -> None:
    """The HTTP requests, below the report."""
    from systrace.reporters.layout import Layout
    from systrace.reporters.request_table import requests_table
    from systrace.words import encoded

    text = "\n".join(["", *requests_table(analysis, Layout.of(out)), ""])
    out.write(encoded(text))
    out.flush()
