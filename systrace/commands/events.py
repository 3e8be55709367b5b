"""`systrace events LOG...`: every call as one JSON object a line, for jq, duckdb and other programs."""

from __future__ import annotations

from typing import Annotated

import typer

from systrace.commands import app
from systrace.commands.options import Output

HELP = """Print every system call of strace logs as one JSON object a line, in order of completion.

--network keeps the calls on sockets, and the waits for descriptors (poll, select, epoll).

Exit status: 0, or 2 when a LOG could not be read.
"""


@app.command(help=HELP, short_help="Every call of a log as a line of JSON.")
def events(
    logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="strace's output; - for standard input.")],
    network: Annotated[bool, typer.Option("--network", help="Only calls on sockets and waits.")] = False,
    output: Output = None,
) -> None:
    """See HELP."""

    from systrace.commands.reading.interrupt import end_of_input_on_interrupt
    from systrace.commands.reading.logs import recordings, say
    from systrace.commands.reading.output import opened, output_place
    from systrace.commands.reading.progress import progress
    from systrace.errors import SystraceError
    from systrace.pipeline import raw_records
    from systrace.reporters.calls import is_live, network_calls, write_calls

    where = output_place(output, logs)
    found, unreadable = recordings(logs)
    reported = False
    several = sum(len(recording.inputs) for recording in found) > 1
    with opened(where) as out:
        for recording in found:
            names = [each.name for each in recording.inputs]
            try:
                with end_of_input_on_interrupt(names), progress(names):
                    records = raw_records(recording.inputs)
                    chosen = network_calls(records) if network else records
                    write_calls(chosen, out, names if several else None, live=any(map(is_live, names)))
            except SystraceError as error:
                say(error)
                unreadable = True
                continue
            complaint = recording.complaint()
            if complaint is not None:
                say(complaint)
                unreadable = True
            reported |= complaint is None
        if not reported:
            raise typer.Exit(2)  # within the block: what is in FILE stays there
    raise typer.Exit(2 if unreadable else 0)
