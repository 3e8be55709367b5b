"""How systrace speaks while a job runs: one line about itself on standard error, the report where it was asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from systrace.errors import SystraceError
from systrace.outputs import Place, write_all, writing

if TYPE_CHECKING:
    from systrace.capture.answers import Report
    from systrace.reporters.layout import Layout


class ReportTo:
    """Where the report goes: a place of the user's, else standard error or output."""

    def __init__(self, where: Place | None, descriptor: int = 2, *, text: bool = True) -> None:
        """`text`: of use on standard error, should the place turn out to be none."""
        self._where = where
        self._text = text
        self._descriptor = descriptor if where is None or where.kind != "descriptor" else where.descriptor

    @property
    def is_file(self) -> bool:
        """Not where people look first."""
        return self._where is not None

    @property
    def path(self) -> str:
        """The file that holds the report, if any."""
        return str(self._where.path) if self._where is not None and self._where.is_file else ""

    def layout(self) -> Layout:
        """Width and colour of the terminal, if it is one."""
        from systrace.reporters.layout import Layout

        with os.fdopen(
            os.open(os.devnull, os.O_WRONLY) if self._elsewhere else os.dup(self._descriptor), "wb"
        ) as stream:
            return Layout.of(stream)

    @property
    def _elsewhere(self) -> bool:
        return self._where is not None and self._where.kind != "descriptor"

    def write(self, report: Report) -> None:
        """Write it all; what can't be written where it was wanted is written to standard error."""
        if self._where is not None:
            try:
                with writing(self._where) as out:
                    if self._where.is_file:
                        out.write(report)
                    else:
                        write_all(out.fileno(), report)
            except (SystraceError, OSError) as error:
                complain(f"{error}: {'the report goes to standard error' if self._text else 'that report is lost'}")
                if not self._text:
                    return
            else:
                return
        try:
            view = memoryview(report)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:  # a reader that is gone is no reason to fail
            return


def complain(text: str) -> None:
    """One line on standard error about the capture, never about the job. Never fails."""
    try:
        from systrace.words import encoded, safe

        line = encoded(f"systrace: {safe(text)}\n")
    except Exception:  # noqa: BLE001 (such as no descriptor left to import it with)
        line = f"systrace: {text!a}\n".encode()
    try:
        os.write(2, line)
    except OSError:
        return


def words(error: BaseException) -> str:
    """An unexpected error in one line."""
    text = str(error) or type(error).__name__
    return text if isinstance(error, SystraceError) else f"{type(error).__name__}: {text}"
