"""Text of a trace in a command that a person will paste into a shell: always one word, never a command of its own."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def word(text: str) -> str:
    """`text` as one word of sh(1), quoted where need be (POSIX 2.2.2, as `shlex.quote`, whose import takes longer)."""
    return text if _PLAIN.fullmatch(text) else quoted(text)


def quoted(text: str) -> str:
    """`text` in single quotes, whatever it holds."""
    return "'" + text.replace("'", "'\"'\"'") + "'"
