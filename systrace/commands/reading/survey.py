"""Several recordings, one line each: read one after the other, of which nothing but the line is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import typer

from systrace.commands import say
from systrace.commands.reading.output import opened
from systrace.commands.reading.progress import progress
from systrace.errors import SystraceError
from systrace.model import Analysis
from systrace.outputs import Place
from systrace.reporters.layout import Layout
from systrace.reporters.views.overview import NOT_READ, Row, overview, row, unread
from systrace.sources.logs import Recording
from systrace.words import encoded

Analyse = Callable[[Recording], tuple[Analysis, str | None]]


def survey(
    found: list[Recording], complaints: Sequence[str], where: Place | None, analyse: Analyse, utc: bool = False
) -> bool:
    """Write the overview of several recordings; each is let go of, in `found` too, before the next is read.

    Args:
        found: the recordings, as `recordings` gave them.
        complaints: about logs that are none of these.
        where: the place for the overview, None for standard output.
        analyse: the analysis of one, and what is wrong with it all the same, which counts as not read.
        utc: times in UTC, not in this machine's zone.

    Returns:
        Whether all could be read.

    Raises:
        typer.Exit: 2, when none could be read: why is said, and what was in `where` stays there.
    """
    rows = [unread("", complaint) for complaint in complaints]
    with opened(where) as out:
        with progress([each.name for recording in found for each in recording.inputs]) as finished:
            found.reverse()
            while found:
                recording = found.pop()
                rows.append(_row(recording, analyse, utc))
                finished([each.name for each in recording.inputs])
        troubled = [each.reason for each in rows if not each.outcome]
        if len(troubled) == len(rows):
            for reason in troubled:
                say(reason)
            raise typer.Exit(2)
        out.write(encoded("\n".join(overview(rows, Layout.of(out))) + "\n"))
    if troubled:
        say(f"{len(troubled)} of {len(rows)} could not be read: the lines that begin with {NOT_READ} say why")
    return not troubled


def _row(recording: Recording, analyse: Analyse, utc: bool) -> Row:
    try:
        analysis, complaint = analyse(recording)
    except SystraceError as error:
        return unread(recording.name, str(error))
    return row(recording.name, analysis, utc) if complaint is None else unread(recording.name, complaint)
