"""Numbers, flags and strings as strace 6.1 writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_NAMED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\v": "\\v", "\f": "\\f"}
_OCTAL = [chr(code) for code in range(256) if not 0x20 <= code < 0x7F and chr(code) not in _NAMED]
# An octal escape is as short as can be, but three digits long before another octal digit. Such bytes are first moved
# 256 up, so that one translate() does all the rest.
_BEFORE_DIGIT = re.compile("([" + "".join(map(re.escape, _OCTAL)) + "])(?=[0-7])")
_ESCAPES = str.maketrans(
    _NAMED
    | {char: f"\\{ord(char):o}" for char in _OCTAL}
    | {chr(ord(char) + 256): f"\\{ord(char):03o}" for char in _OCTAL}
)
_PLAIN = re.compile(r"[ !#-\[\]-~]*")


def quote(data: bytes) -> str:
    """`data` between double quotes with strace's escapes: `"GET / HTTP/1.1\\r\\n"`."""
    text = data.decode("latin-1")
    if not _PLAIN.fullmatch(text):
        text = _BEFORE_DIGIT.sub(lambda match: chr(ord(match[1]) + 256), text).translate(_ESCAPES)
    return f'"{text}"'


_IN_BRACKETS = str.maketrans(
    {chr(code): f"\\{code:o}" for code in range(256) if not 0x20 <= code < 0x7F or chr(code) in '<>"\\'}
)


def annotation(path: str) -> str:
    """A descriptor's target as it stands between `<` and `>`; bytes outside ASCII come in as surrogate escapes."""
    if path.isascii() and path.isprintable() and not set('<>"\\') & set(path):
        return path
    return path.encode("utf-8", "surrogateescape").decode("latin-1").translate(_IN_BRACKETS)


def signed(value: int) -> int:
    """The low 32 bits as a C int."""
    value &= 0xFFFFFFFF
    return value - 0x1_0000_0000 if value & 0x8000_0000 else value


def signed_word(value: int, word: int) -> int:
    """The value as a C long of `word` bytes."""
    if word == 4:
        return signed(value)
    return value - (1 << 64) if value >> 63 else value


def pointer(value: int) -> str:
    """NULL or a hexadecimal address."""
    return f"0x{value:x}" if value else "NULL"


def flags(value: int, names: Sequence[tuple[int, str]], unknown: str = "", zero: str = "0") -> str:
    """`A|B|0x40`: bits with names, then the rest in hexadecimal, with `/* unknown */` when nothing was known."""
    if not value:
        return zero
    parts = []
    for bit, name in names:
        if value & bit == bit:
            parts.append(name)
            value &= ~bit
    if value:
        parts.append(f"0x{value:x}" + (f" /* {unknown} */" if unknown and not parts else ""))
    return "|".join(parts)


def constant(value: int, names: Mapping[int, str], unknown: str) -> str:
    """A constant's name, or `0x2a /* AF_??? */`."""
    return names.get(value) or f"{value:#x} /* {unknown} */"
