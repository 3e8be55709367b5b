"""Where results go: standard output, or a file that only its owner may read."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from systrace.errors import UsageError


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """The stream to write to; a reader of standard output that has seen enough ends the program without a word.

    Raises:
        UsageError: the file cannot be written, or the disk is full.
    """
    if path is not None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        try:
            with os.fdopen(descriptor, "wb") as out:
                yield out
        except OSError as error:
            if error.filename is not None:  # of another file
                raise
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
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
