"""Numbers, flags and strings as strace 6.1 writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_NAMED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\v": "\\v", "\f": "\\f"}
_PLAIN = bytes(code for code in range(0x20, 0x7F) if chr(code) not in _NAMED)
# An octal escape is as short as can be, but three digits long before another octal digit.
_SHORT = [chr(code) if code in _PLAIN else _NAMED.get(chr(code), f"\\{code:o}") for code in range(256)]
_LONG = [chr(code) if code in _PLAIN else _NAMED.get(chr(code), f"\\{code:03o}") for code in range(256)]
_DIGITS = re.compile(rb"[0-7]+")
_OTHERS = re.compile(r"([^ !#-\[\]-~]+)(?=([0-7])?)")
_ESCAPES = str.maketrans(dict(zip(map(chr, range(256)), _SHORT, strict=True)))
_TEXT = bytes(code for code in range(256) if code in _PLAIN or chr(code) in _NAMED)
_MUCH = 512
_FEW = 8  # one in so many: looking for them is then faster than looking each byte up


def quote(data: bytes) -> str:
    """`data` between double quotes with strace's escapes: `"GET / HTTP/1.1\\r\\n"`.

    Much that is no text (TLS) is written as by `strace -x`, in hexadecimal: that is made in a twentieth of the time.
    """
    if not data.translate(None, _TEXT):
        text = data.decode("ascii")
        for character, escaped in _NAMED.items():  # each of them is looked for at the speed of memchr(3)
            text = text.replace(character, escaped)
        return f'"{text}"'
    others = len(data.translate(None, _PLAIN))
    if others * _FEW <= len(data):
        text = data.decode("latin-1")
        return f'"{_OTHERS.sub(_escaped, text)}"'
    if len(data) >= _MUCH and others * 2 > len(data):
        return f'"{_hexadecimal(data)}"'
    parts = list(map(_SHORT.__getitem__, data))
    for match in _DIGITS.finditer(data, 1):
        at = match.start() - 1
        parts[at] = _LONG[data[at]]
    return f'"{"".join(parts)}"'


def _hexadecimal(data: bytes) -> str:
    digits = data.hex().encode()
    shown = bytearray(b"\\x00" * len(data))
    shown[2::4], shown[3::4] = digits[0::2], digits[1::2]
    return shown.decode("ascii")


def _escaped(match: re.Match[str]) -> str:
    """A run of characters that do not stand for themselves, perhaps before an octal digit."""
    run = match[1]
    if match[2] is None:
        return run.translate(_ESCAPES)
    return run[:-1].translate(_ESCAPES) + _LONG[ord(run[-1])]


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
