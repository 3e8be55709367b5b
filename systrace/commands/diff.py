"""`systrace diff GOOD BAD`: it worked yesterday; what is different today?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from systrace.commands import app
from systrace.commands.options import Output, ShowSecrets

if TYPE_CHECKING:
    from systrace.model import Analysis

HELP = """It worked yesterday: say where two recordings of one job differ, the most telling first.

GOOD and BAD are strace logs: a file, a directory with the files of one -ff recording, or (one of them) - for standard
input. What is compared is what the job did: its processes, names, connections and requests, by the peer's name, method
and shape of URL or statement. Other process ids, addresses behind a name, clocks, and another order of what runs side by
side are no difference, nor are times within twice or 100 ms.

The two should be recorded with the same options: what one log does not show is not compared, and said.

Exit status: 0 no difference that matters, 1 differences, 2 a log could not be read, as of diff(1).
"""


@app.command(help=HELP, short_help="It worked yesterday: where two recordings differ.")
def diff(
    good: Annotated[str, typer.Argument(metavar="GOOD", help="The recording of a run that worked.")],
    bad: Annotated[str, typer.Argument(metavar="BAD", help="The recording of one that did not.")],
    style: Annotated[str, typer.Option("--format", metavar="NAME", help="table, json or markdown.")] = "table",
    everything: Annotated[bool, typer.Option("--all", help="All differences, as a table.")] = False,
    show_secrets: ShowSecrets = False,
    output: Output = None,
) -> None:
    """See HELP."""
    import json

    from systrace.commands.reading.output import opened, output_place
    from systrace.compare import compare
    from systrace.errors import UsageError
    from systrace.reporters.layout import Layout
    from systrace.reporters.shapes.comparison import comparison_dict
    from systrace.reporters.views.comparison import comparison_lines, comparison_markdown
    from systrace.words import encoded

    if style not in ("table", "json", "markdown"):
        raise UsageError(f"there is no format {style!r}: choose table, json or markdown")
    if good == bad == "-":
        raise UsageError("only one of the two can be standard input")
    where = output_place(output, [good, bad])
    told = compare(_analysed(good, show_secrets), _analysed(bad, show_secrets))
    with opened(where) as out:
        if style == "json":
            out.write(json.dumps(comparison_dict(told), ensure_ascii=True, indent=1).encode() + b"\n")
        elif style == "markdown":
            out.write(encoded("\n".join(comparison_markdown(told, everything)) + "\n"))
        else:
            out.write(encoded("\n".join(comparison_lines(told, Layout.of(out, everything))) + "\n"))
    raise typer.Exit(int(bool(told.differences)))


def _analysed(log: str, show_secrets: bool) -> Analysis:
    """The analysis of one side.

    Raises:
        InputError: it cannot be read, is no strace log, or has no call in it.
        UsageError: it is several recordings.
    """
    from systrace.commands.reading.analysis import analysis_of, without_calls
    from systrace.errors import InputError, UsageError
    from systrace.model import Keep
    from systrace.shell import word
    from systrace.sources.logs import recordings

    found, complaints = recordings([log])
    if complaints:
        raise InputError(complaints[0])
    if len(found) != 1:
        some = word(str(Path(found[0].inputs[0].name)))
        raise UsageError(f"{log}: these are {len(found)} recordings, and one is compared with one: name it, as {some}")
    analysis = analysis_of(found[0], Keep(exchanges=True, secrets=show_secrets))
    if (complaint := without_calls(found[0], analysis)) is not None:
        raise InputError(complaint)
    return analysis
