"""Session keys for a log: those of `--keylog FILE`, and those that a recording of `run --tls-keys --save` holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from systrace.decoders.parts.tls_keys import KeyLog
    from systrace.model import Input


def keys_for(inputs: list[Input], path: Path | None) -> KeyLog:
    """All that is known before the log is read; a recording's own keys stand at its end.

    Raises:
        InputError: `path` cannot be read.
    """
    from systrace.pipeline import session_keys
    from systrace.sources.keys import recorded

    return session_keys(path, recorded(inputs))
