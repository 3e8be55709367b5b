"""Analysis -> bytes: one file per format, found by walking this package.

A reporter is a class under `@reporter` with a `name` (as in `--format`), a `suffix` for files and `write`. All text
that a trace can influence goes to people through `systrace.words.safe`.
"""

from __future__ import annotations

from typing import BinaryIO, Protocol, TypeVar

from systrace.model import Analysis
from systrace.registry import Registry


class Reporter(Protocol):
    """One format."""

    name: str
    suffix: str

    def write(self, analysis: Analysis, out: BinaryIO) -> None:
        """Write the whole report of one recording."""


REPORTERS: Registry[Reporter] = Registry("systrace.reporters")
R = TypeVar("R", bound="Reporter")


def reporter(kind: type[R]) -> type[R]:
    """Enter a reporter class."""
    REPORTERS.add(kind.name, kind())
    return kind
