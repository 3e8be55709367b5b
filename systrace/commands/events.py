"""`systrace events LOG...`: every call as one JSON object a line, for jq, duckdb and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from systrace.commands import app
from systrace.commands.options import Output, ShowSecrets

if TYPE_CHECKING:
    from systrace.sources.logs import Recording

HELP = """Print every system call of strace logs as one JSON object a line, in order of completion.

--network keeps the calls on sockets, and the waits for descriptors (poll, select, epoll).

Exit status: 0, or 2 when a LOG could not be read.
"""


@app.command(help=HELP, short_help="Every call of a log as a line of JSON.")
def events(
    logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="strace's output; - for standard input.")],
    network: Annotated[bool, typer.Option("--network", help="Only calls on sockets and waits.")] = False,
    show_secrets: ShowSecrets = False,
    output: Output = None,
) -> None:
    """See HELP."""
    from systrace.commands.reading.interrupt import end_of_input_on_interrupt
    from systrace.commands.reading.loop import show_each
    from systrace.commands.reading.output import output_place
    from systrace.commands.reading.progress import progress
    from systrace.errors import InputError
    from systrace.masking.masks import Masks
    from systrace.pipeline import raw_records
    from systrace.reporters.views.calls import is_live, network_calls, write_calls

    def show(recording: Recording, out: BinaryIO, several: bool) -> None:
        names = [each.name for each in recording.inputs]
        with end_of_input_on_interrupt(names), progress(names):
            records = raw_records(recording.inputs)
            chosen = network_calls(records) if network else records
            named = names if several or len(names) > 1 else None
            write_calls(chosen, out, named, live=any(map(is_live, names)), masks=Masks(shown=show_secrets))
        if (complaint := recording.complaint()) is not None:
            raise InputError(complaint)

    raise typer.Exit(0 if show_each(logs, output_place(output, logs), show) else 2)
