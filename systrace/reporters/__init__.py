"""Analysis -> bytes: one file per format in `formats`, found by walking it.

A reporter is a class under `@reporter` with the shape of `Reporter`. `views` are what it can show (sockets, requests, one
conversation), `words` what these share, `shapes` the JSON that is printed, `layout` for whom text is laid out. All text
that a trace can influence goes to people through `systrace.words.safe`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from systrace.registry import Registry
from systrace.reporters.layout import PAGE, Layout

if TYPE_CHECKING:
    from systrace.model import Analysis


class Reporter(Protocol):
    """One format."""

    name: str  # as in `--format`
    suffix: str  # of files
    for_people: bool  # headings between reports and a word about systrace itself are welcome; a program wants neither

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write the whole report of one recording."""


REPORTERS: Registry[Reporter] = Registry("systrace.reporters.formats")
R = TypeVar("R", bound="Reporter")


def reporter(kind: type[R]) -> type[R]:
    """Enter a reporter class."""
    REPORTERS.add(kind.name, kind())
    return kind
