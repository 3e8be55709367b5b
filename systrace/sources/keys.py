"""TLS session keys that a recording of `run --tls-keys --save` holds at its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from systrace.model import Input
from systrace.sources.logfile import lines_of

PROMISE = b'"tls_keys": true'  # in the first line of a recording that holds keys
_LINE = b'# systrace: {"keylog": '


def recorded(inputs: Iterable[Input]) -> Iterator[bytes]:
    """The lines with keys; only a file can be read before it is read."""
    for each in inputs:
        if not Path(each.name).is_file():  # a pipe is read once
            continue
        lines = iter(lines_of(each.name))
        if PROMISE in next(lines, b""):
            yield from (line for line in lines if line.startswith(_LINE))
