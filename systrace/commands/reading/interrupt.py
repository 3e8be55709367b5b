"""Ctrl-C while reading standard input is the end of the input: what was read so far is reported."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def end_of_input_on_interrupt() -> Iterator[None]:
    """The first SIGINT lets descriptor 0 end; the next one stops the program.

    A read(2) that the signal interrupted is repeated by Python (PEP 475) and then finds /dev/null.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
