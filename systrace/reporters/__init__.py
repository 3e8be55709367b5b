"""Analysis -> bytes: one file per format in `formats`, found by walking it.

A reporter is a class under `@reporter` that extends `Reporter`. `views` are what it can show (sockets, requests, one
conversation), `words` what these share, `shapes` the JSON that is printed, `layout` for whom text is laid out, `choosing`
which formats a command line asks for, `html` the page that `formats.html` writes. All text that a trace can influence goes
to people through `systrace.words.safe`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from systrace.registry import Registry
from systrace.reporters.layout import PAGE, Layout

if TYPE_CHECKING:
    from systrace.model import Analysis, Keep


class Reporter(Protocol):
    """One format."""

    name: str  # as in `--format`
    suffixes: tuple[str, ...]  # of files, the usual one first
    for_people: bool = False  # headings between reports and a word about systrace itself are welcome
    binary: bool = False  # no terminal may get it
    paged: bool = False  # on a terminal, by a pager where it does not fit
    single: bool = False  # a file holds one recording
    keep: Keep | None = None  # what the analysis has to hold on to for it
    head: bytes = b""  # before the first recording of a file
    tail: bytes = b""  # after the last

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write the whole report of one recording."""


def kept(kinds: Iterable[Reporter], base: Keep) -> Keep:
    """What an analysis has to hold on to for all of them, beside what is wanted anyway."""
    for kind in kinds:
        base = base | kind.keep if kind.keep is not None else base
    return base


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
