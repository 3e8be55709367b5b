"""Where results go: standard output, or a place that was looked at before anything is read."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from systrace.errors import UsageError
from systrace.outputs import Place, distinct, place, writing

_STOPS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def output_place(
    path: Path | None, logs: Sequence[str], others: Iterable[Path | None] = (), option: str = "--output"
) -> Place | None:
    """What `--output FILE` stands for; None for standard output. See `output_places`."""
    return output_places([path], logs, others, option)[0]


def output_places(
    paths: Sequence[str | Path | None],
    logs: Sequence[str],
    others: Iterable[Path | None] = (),
    option: str = "--output",
) -> list[Place | None]:
    """What each `--output FILE` stands for; None for standard output. None may be one of the inputs, or another.

    Args:
        paths: the option's values.
        logs: the files, directories and - of the command line.
        others: what is read besides: key log, limits.
        option: its name.

    Raises:
        RefusedError: it must not be written.
    """
    places = [None if path is None else place(path) for path in paths]
    outputs = [(option, where) for where in places]
    if None in places and sys.stdout is not None:  # `events x >> x` would read what it writes, without an end
        with contextlib.suppress(OSError, ValueError):
            outputs.append(("standard output", place(f"/dev/fd/{sys.stdout.fileno()}")))
    inputs = [*_files(logs), *(other for other in others if other is not None)]
    siblings = (each for where in places for each in _siblings(where, logs))
    distinct(outputs, [*inputs, *siblings])
    return places


def _files(logs: Sequence[str]) -> Iterator[str | Path]:
    for log in logs:
        directory = Path(log)
        with contextlib.suppress(OSError, ValueError):
            if log != "-" and directory.is_dir():
                yield from directory.iterdir()
                continue
        yield log


def _siblings(where: Place | None, logs: Sequence[str]) -> Iterator[Path]:
    """The output, where it is a file of the same `strace -ff` as a log of the command line."""
    from systrace.sources.logfile import stem_of_siblings

    if where is not None and where.kind == "file" and (stem := stem_of_siblings(str(where.path))) is not None:
        for log in logs:
            if (named := stem_of_siblings(log)) is not None and _same_name(Path(named), Path(stem)):
                yield where.path


def _same_name(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return one.name == other.name and one.parent.samefile(other.parent)
    return False


@contextlib.contextmanager
def opened(where: Place | None) -> Iterator[BinaryIO]:
    """The stream to write to; a reader of standard output that has seen enough ends the program without a word.

    A file that was there stays as it was when the block raises.

    Raises:
        UsageError: it cannot be written, or the disk is full.
    """
    if where is not None:
        with _stopped_in_order(), writing(where) as out:
            yield out
        return
    if sys.stdout is None:
        raise UsageError("standard output is closed")
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
        sys.exit(128 + signal.SIGPIPE)


class _Stopped(BaseException):
    """A signal that asks the program to end."""


@contextlib.contextmanager
def _stopped_in_order() -> Iterator[None]:
    """SIGTERM, SIGHUP and SIGINT end the program as ever, once the half-written file beside the output has been removed."""
    came = []

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in _STOPS if signal.getsignal(number) is signal.SIG_DFL}
    try:
        yield
    except _Stopped:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def is_there(name: str) -> bool:
    """Whether there is such a file; names that are too long for one, which pathlib raises for, are none."""
    return os.path.exists(name)  # noqa: PTH110
