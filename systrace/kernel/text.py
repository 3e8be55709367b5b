"""Bytes that another process chose (names, arguments, paths, payload) become text that is safe to print."""

from __future__ import annotations

import re

# C0 and C1 controls, DEL; zero-width and bidirectional marks, line and paragraph separators, byte order mark; tags.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def clean(raw: bytes | str, limit: int = 400) -> str:
    """Printable text of at most `limit` characters: what a terminal would obey is written as an escape.

    >>> clean(b"job\\x1b[2J\\xff")
    'job\\\\x1b[2J\\\\xff'
    """
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "backslashreplace").decode()  # lone surrogates of os.fsdecode
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
