"""Analysis -> bytes: one file per format in `formats`, found by walking it.

A reporter is a class under `@reporter` that extends `Reporter`. `views` are what it can show (sockets, requests, one
conversation), `words` what these share, `shapes` the JSON that is printed, `layout` for whom text is laid out, `choosing`
which formats a command line asks for. All text that a trace can influence goes to people through `systrace.words.safe`.
"""

from __future__ import annotations

from typing import BinaryIO, Protocol, TypeVar

from systrace.model import Analysis, Keep
from systrace.registry import Registry
from systrace.reporters.layout import PAGE, Layout


class Reporter(Protocol):
    """One format."""

    name: str  # as in `--format`
    suffixes: tuple[str, ...]  # of files, the usual one first
    for_people: bool = False  # headings between reports and a word about systrace itself are welcome
    binary: bool = False  # no terminal may get it
    paged: bool = False  # on a terminal, by a pager where it does not fit
    single: bool = False  # a file holds one recording
    keep: Keep = Keep()  # what the analysis has to hold on to for it
    head: bytes = b""  # before the first recording of a file
    tail: bytes = b""  # after the last

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write the whole report of one recording."""


def write_whole(kind: Reporter, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
    """A file of one recording."""
    out.write(kind.head)
    kind.write(analysis, out, layout)
    out.write(kind.tail)


REPORTERS: Registry[Reporter] = Registry("systrace.reporters.formats")
R = TypeVar("R", bound="Reporter")


def reporter(kind: type[R]) -> type[R]:
    """Enter a reporter class."""
    REPORTERS.add(kind.name, kind())
    return kind
