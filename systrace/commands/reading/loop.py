"""The logs of a command line, one recording after the other: what can't be read is said, the others are shown all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, cast

import typer

from systrace.commands import say
from systrace.commands.reading.output import opened
from systrace.errors import SystraceError, UsageError
from systrace.outputs import Place
from systrace.sources.logs import Recording, recordings

Show = Callable[[Recording, BinaryIO, bool], str | None]
ShowAll = Callable[[Recording, Sequence[BinaryIO], bool], str | None]


def show_each(logs: Sequence[str], where: Place | None, show: Show) -> bool:
    """Show every recording of these logs.

    Args:
        logs: files, directories, - for standard input.
        where: the place for results, None for standard output.
        show: writes what is wanted of one recording; the last argument is whether there are several. Says what is to be
            complained about all the same, or raises SystraceError where there is nothing to show.

    Returns:
        Whether all could be read.

    Raises:
        typer.Exit: 2, when nothing could be shown; what was in `where` then stays there.
    """
    found, complaints = recordings(logs)
    return show_found(found, complaints, [where], lambda recording, outs, several: show(recording, outs[0], several))


def show_found(
    found: Sequence[Recording],
    complaints: Sequence[str],
    places: Sequence[Place | None],
    show: ShowAll,
    around: Sequence[tuple[bytes, bytes]] = ((b"", b""),),
) -> bool:
    """As `show_each`, of what `recordings` gave, with a stream for each place, and what stands around all in it."""
    for complaint in complaints:
        say(complaint)
    whole, shown = not complaints, False
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(opened(where)) for where in places]
        headed = [_Headed(out, head) if head else None for out, (head, _tail) in zip(files, around, strict=True)]
        outs = [cast(BinaryIO, each or out) for out, each in zip(files, headed, strict=True)]
        for recording in found:
            try:
                complaint_too = show(recording, outs, len(found) > 1)
                for out in outs:
                    out.flush()
                shown = True
            except SystraceError as error:
                complaint_too = str(error)
            if complaint_too is not None:
                say(complaint_too)
                whole = False
        for out, begun, (_head, tail) in zip(files, headed, around, strict=True):
            if begun is not None and begun.begun:
                out.write(tail)
                out.flush()
        if not shown:
            raise typer.Exit(2)
    return whole


class _Headed:
    """Writes what stands before all reports with the first of them: where there is none, it would stay open."""

    def __init__(self, out: BinaryIO, head: bytes) -> None:
        self._out, self._head, self.begun = out, head, False

    def write(self, data: bytes) -> int:
        if not self.begun:
            self._out.write(self._head)
            self.begun = True
        return self._out.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def the_one(logs: Sequence[str]) -> Recording:
    """The only recording of these logs.

    Raises:
        UsageError: there are several.
        typer.Exit: 2, when it cannot be read, which is said.
    """
    found, complaints = recordings(logs)
    for complaint in complaints:
        say(complaint)
    if complaints:
        raise typer.Exit(2)
    if len(found) != 1:
        raise UsageError(f"these are {len(found)} recordings, and a conversation is in one: name that file only")
    return found[0]
