"""Session keys for a log: those of `--keylog FILE`, and those that a recording of `run --tls-keys --save` holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from systrace.decoders.parts.tls_keys import KeyLog
    from systrace.model import Input

_PROMISE = b'"tls_keys": true'  # in the first line of a recording that holds keys
_LINE = b'# systrace: {"keylog": '


def keys_for(inputs: list[Input], path: Path | None) -> KeyLog:
    """All that is known before the log is read; a recording's own keys stand at its end.

    Raises:
        InputError: `path` cannot be read.
    """
    from systrace.pipeline import session_keys

    return session_keys(path, _recorded(inputs))


def _recorded(inputs: list[Input]) -> Iterator[bytes]:
    from systrace.sources.logfile import recordings

    for each in inputs:
        if not Path(each.name).is_file():  # a pipe is read once
            continue
        lines = iter(recordings([each.name])[0][0].lines)
        if _PROMISE in next(lines, b""):
            yield from (line for line in lines if line.startswith(_LINE))
