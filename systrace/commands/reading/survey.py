"""Several recordings, one line each; nothing but the line is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


def survey(files: Sequence[Sequence[str]], complaints: Sequence[str], where: Place | None, told: Iterator[Row]) -> bool:
    """Write the overview of several recordings.

    Args:
        files: of each of the recordings.
        complaints: about logs that are none of these.
        where: the place for the overview, None for standard output.
        told: the row of each, in their order; where it is made when it is asked for, progress is shown.

    Returns:
        Whether all could be read.

    Raises:
        typer.Exit: 2, when none could be read: why is said, and what was in `where` stays there.
    """
    rows = [unread("", complaint) for complaint in complaints]
    with opened(where) as out:
        with progress([name for names in files for name in names]) as finished:
            for names, each in zip(files, told, strict=True):
                rows.append(each)
                finished(names)
        troubled = [each.reason for each in rows if not each.outcome]
        if len(troubled) == len(rows):
            for reason in troubled:
                say(reason)
            raise typer.Exit(2)
        out.write(encoded("\n".join(overview(rows, Layout.of(out))) + "\n"))
    if troubled:
        say(f"{len(troubled)} of {len(rows)} could not be read: the lines that begin with {NOT_READ} say why")
    return not troubled


def row_of(recording: Recording, analyse: Analyse, utc: bool = False) -> Row:
    """The line of one recording; what is to be complained about counts as not read.

    Args:
        recording: not read yet.
        analyse: its analysis, and what is wrong with it all the same.
        utc: times in UTC, not in this machine's zone.
    """
    try:
        analysis, complaint = analyse(recording)
    except SystraceError as error:
        return unread(recording.name, str(error))
    return row(recording.name, analysis, utc) if complaint is None else unread(recording.name, complaint)
