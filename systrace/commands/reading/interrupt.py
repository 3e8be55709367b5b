"""Ctrl-C while reading a pipe or device is the end of the input: what was read so far is reported."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

_Key = tuple[int, int]  # device and inode


@contextlib.contextmanager
def end_of_input_on_interrupt(names: Sequence[str]) -> Iterator[None]:
    """The first SIGINT lets those of the inputs end that are no regular files; the next one stops the program.

    A read(2) that the signal interrupted is repeated by Python (PEP 475) and then finds /dev/null. Where all inputs
    are files, the first one stops the program.
    """
    pipes = {key for name in names if name != "-" and (key := _pipe(name)) is not None}
    if not pipes and "-" not in names:
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor in _descriptors(pipes) | ({0} if "-" in names else set()):
            os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _pipe(name: str) -> _Key | None:
    """What is behind a name that is no regular file."""
    with contextlib.suppress(OSError, ValueError):
        status = Path(name).stat()
        if not stat.S_ISREG(status.st_mode):
            return status.st_dev, status.st_ino
    return None


def _descriptors(pipes: set[_Key]) -> set[int]:
    """Our own descriptors of these, but for standard output and error: all may be one terminal."""
    found = set()
    for number in map(int, os.listdir("/proc/self/fd")) if pipes else ():  # noqa: PTH208 (numbers, no paths)
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            if number not in (1, 2) and (status.st_dev, status.st_ino) in pipes:
                found.add(number)
    return found
