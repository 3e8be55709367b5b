"""`systrace requests LOG...`: the request log that the job never wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from systrace.commands import app, completing
from systrace.commands.options import Output

HELP = """List the HTTP requests of strace logs: method, URL, status, where the time went, sizes, content type, process.

dns, connect and tls stand at the first request of a connection; first is the time until the answer's first byte,
transfer that until its last. What the log does not show is -, in JSON null. Requests within TLS are seen with its
session keys (--keylog); without, their connections are listed. Secrets in URLs are hidden.

--format json prints one object a line for each request.

Exit status: 0, or 2 when a LOG could not be read, or has no system call in it.
"""


@app.command(help=HELP, short_help="The HTTP requests of a log, and their times.")
def requests(
    logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="strace's output; - for standard input.")],
    style: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="table, or json: one object a line for each request.",
            autocompletion=completing.formats,
        ),
    ] = "table",
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
    from systrace.model import Keep
    from systrace.reporters.request_table import write_requests

    if style not in ("table", "json"):
        raise UsageError(f"there is no format {style!r} for requests: choose table or json")
    where = output_place(output, logs, (keylog,))
    found, unreadable = recordings(logs)
    reported = False
    with opened(where) as out:
        for recording in found:
            try:
                analysis = analysis_of(recording, Keep(requests=True), keylog)
                heading = recording.name if len(found) > 1 else ""
                write_requests(analysis, out, style, heading)
                reported = True
                if (lack := without_calls(recording, analysis)) is not None:
                    say(lack)
                    unreadable = True
            except SystraceError as error:
                say(error)
                unreadable = True
        if not reported:
            raise typer.Exit(2)  # within the block: what is in FILE stays there
    raise typer.Exit(2 if unreadable else 0)
