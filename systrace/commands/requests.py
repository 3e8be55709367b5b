"""`systrace requests LOG...`: the request log that the job never wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from systrace.commands import app, completing
from systrace.commands.options import Output, ServerLogs, ShowSecrets, table_or_json

if TYPE_CHECKING:
    from systrace.sources.logs import Recording

HELP = """List the HTTP requests of strace logs: method, URL, status, where the time went, sizes, content type, process.

dns, connect and tls stand at the first request of a connection; first is the time until the answer's first byte,
transfer that until its last. What the log does not show is -, in JSON null. Requests within TLS are seen with its
session keys (--keylog); without, their connections are listed. Secrets in URLs are masked.

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
    server_logs: ServerLogs = None,
    show_secrets: ShowSecrets = False,
    output: Output = None,
) -> None:
    """See HELP."""
    from systrace.commands.reading.analysis import analysis_of, without_calls
    from systrace.commands.reading.loop import show_each
    from systrace.commands.reading.output import output_place
    from systrace.model import Keep
    from systrace.reporters.views.request_table import write_requests

    table_or_json(style)

    def show(recording: Recording, out: BinaryIO, several: bool) -> str | None:
        analysis = analysis_of(
            recording, Keep(requests=True, secrets=show_secrets), keylog, server_logs=server_logs or ()
        )
        write_requests(analysis, out, style, recording.name if several else "")
        return without_calls(recording, analysis)

    raise typer.Exit(
        0 if show_each(logs, output_place(output, logs, (keylog, *map(Path, server_logs or ()))), show) else 2
    )
