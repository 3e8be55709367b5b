"""Which formats a command line asks for: `--format` and `--output` in pairs, or the file's suffix alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from systrace.dataclass import dataclass
from systrace.errors import UsageError

_DEFAULT = "table"
_PLAIN = ("table", "json")  # known without the import of all formats: a job waits for its start


@dataclass(frozen=True, slots=True)
class Wanted:
    """One report."""

    style: str
    output: str | None  # a file's name; None for where reports go


def wanted(styles: Sequence[str], outputs: Sequence[str]) -> list[Wanted]:
    """The reports that are asked for: as many formats as files, or a format alone, or files whose suffix names it.

    >>> wanted(["html", "json"], ["a.html", "b"])
    [Wanted(style='html', output='a.html'), Wanted(style='json', output='b')]
    >>> wanted([], ["a.json", "notes"])
    [Wanted(style='json', output='a.json'), Wanted(style='table', output='notes')]

    Raises:
        UsageError: there is no such format, or it is not clear which goes where.
    """
    for style in styles:
        _check(style)
    if not outputs:
        if len(styles) > 1:
            raise UsageError(f"{len(styles)} formats need as many files: --format {styles[0]} --output FILE ...")
        return [Wanted(styles[0] if styles else _DEFAULT, None)]
    if not styles:
        return [Wanted(_by_suffix(output), output) for output in outputs]
    if len(styles) != len(outputs):
        raise UsageError(
            f"{_count(styles, 'format')} for {_count(outputs, 'file')}: name one for each, or none for all that their "
            "suffixes tell"
        )
    return [Wanted(style, output) for style, output in zip(styles, outputs, strict=True)]


def fitting(asked: Sequence[Wanted], recordings: int = 1, *, terminal: bool = True) -> None:
    """Check what can be known before anything is read.

    Args:
        asked: the reports.
        recordings: how many they are of.
        terminal: whether what names no file may come to one.

    Raises:
        UsageError: a report would not do where it goes.
    """
    for each in asked:
        if each.style in _PLAIN:
            continue
        from systrace.reporters import REPORTERS

        reporter = REPORTERS[each.style]
        if reporter.single and recordings > 1:
            raise UsageError(f"{each.style} holds one recording, and these are {recordings}: name one of them")
        if reporter.binary and each.output is None and terminal:
            raise UsageError(f"{each.style} is binary: name a file with --output")


def _count(things: Sequence[str], noun: str) -> str:
    return f"{len(things)} {noun}{'s' if len(things) > 1 else ''}"


def _check(style: str) -> None:
    if style in _PLAIN:
        return
    from systrace.reporters import REPORTERS

    if style not in REPORTERS:
        raise UsageError(f"there is no report format {style!r}: choose from {', '.join(REPORTERS)}")


def _by_suffix(output: str) -> str:
    suffix = PurePath(output).suffix.lower()
    if not suffix or suffix.removeprefix(".") in _PLAIN:
        return suffix.removeprefix(".") or _DEFAULT
    from systrace.reporters import REPORTERS

    return next((name for name, each in REPORTERS.items() if suffix in each.suffixes), _DEFAULT)
