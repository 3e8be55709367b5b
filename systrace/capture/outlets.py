"""Where the reports of `attach` go: opened before anything is touched, so that a wrong name is noticed in time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import BinaryIO

from systrace.capture.answers import Report
from systrace.capture.reporting import ReportTo, complain
from systrace.dataclass import dataclass
from systrace.errors import SystraceError
from systrace.outputs import Place, RefusedError, distinct, place, write_all, writing
from systrace.reporters.choosing import Wanted
from systrace.reporters.layout import Layout


class ToFile:
    """A report's file, open already. What can't be written there costs no other report: it is told at the very end."""

    def __init__(self, out: BinaryIO, named: str) -> None:
        self._out, self._named = out, named
        self.error: RefusedError | None = None

    def layout(self) -> Layout:
        """Width and colour, should it be a terminal."""
        return Layout.of(self._out)

    def write(self, report: Report) -> None:
        """Write it all, or note that the disk is full, or nobody reads the pipe."""
        if self.error is not None:
            return
        try:
            write_all(self._out.fileno(), report)
        except OSError as error:
            self.error = RefusedError(f"cannot write {self._named}: {error.strerror}")


@dataclass(slots=True)
class Outlets:
    """The first report's place, and those of further ones with their formats."""

    first: ReportTo | ToFile
    more: list[tuple[str, ToFile]] = field(default_factory=list)


@contextlib.contextmanager
def outlets(report: str | None, more: Sequence[Wanted], save: str | None) -> Iterator[Outlets]:
    """Open them all.

    Args:
        report: the first report's file; None for standard output.
        more: further reports.
        save: the recording's file.

    Raises:
        RefusedError: one can't be written, or two are the same. What fails at the end takes no other report along.
    """
    errors: list[SystraceError | OSError] = []
    with contextlib.ExitStack() as stack:
        taken: list[tuple[str, Place | None]] = [("--save", place(save) if save is not None else None)]

        def opened(name: str) -> ToFile:
            where = place(name)
            distinct([*taken, ("--report", where)])
            taken.append(("--report", where))
            return stack.enter_context(_outlet(where, errors))

        first = ReportTo(None, descriptor=1) if report is None else opened(report)
        yield Outlets(first, [(each.style, opened(each.output or "-")) for each in more])
    for error in errors[1:]:
        complain(str(error))
    if errors:
        raise errors[0]


@contextlib.contextmanager
def _outlet(where: Place, errors: list[SystraceError | OSError]) -> Iterator[ToFile]:
    """One of them; what goes wrong when all is written is noted, so that the others are ended as if nothing were."""
    done = False
    try:
        with writing(where) as out:
            to = ToFile(out, where.named)
            yield to
            done = True
            if to.error is not None:
                raise to.error  # no half of a report takes the place of a file
    except (SystraceError, OSError) as error:
        if not done:
            raise
        errors.append(error)
