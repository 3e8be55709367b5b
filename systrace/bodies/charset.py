"""Declared character set against the bytes: where does reading as declared fail, and what are they instead?

No statistics: on short bodies guessing libraries are wrong more often than right. The order is: byte order mark,
strict UTF-8, the declared set; and "fits windows-1252" only where those bytes decode to letters.
"""

from __future__ import annotations

import codecs
import re

from systrace.dataclass import dataclass
from systrace.messages.body import Body
from systrace.messages.problem import position, printable
from systrace.messages.sniffing import bom

TEXTUAL = frozenset({"json", "xml", "html", "csv", "text"})
_PARAMETER = re.compile(r"""charset\s*=\s*["']?([^\s"';,]+)""", re.IGNORECASE)
_XML = re.compile(rb"""\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z][\w.-]*)["']""")
_META = re.compile(rb"""<meta[^>]{0,300}?charset\s*=\s*["']?([A-Za-z][\w.:-]*)""", re.IGNORECASE)
_DOUBLE = re.compile(
    rb"\xc3[\x82\x83](?:\xc2[\x80-\xbf]|\xe2\x80[\x93-\xa2]|\xe2\x82\xac|\xc5[\x92\x93\xa0\xa1\xb8\xbd\xbe])"
)
_SINGLE_BYTE = frozenset({"iso8859-1", "cp1252", "latin-1", "iso8859-15"})


@dataclass(slots=True, frozen=True)
class CharsetProblem:
    """Why reading as declared goes wrong.

    kind: "invalid" (a byte that the charset does not allow), "mismatch" (valid, but it is something else: mojibake),
    "bom" (a byte order mark before data that many parsers refuse), "double-encoded" (UTF-8 read as windows-1252 and
    encoded again), "truncated" (the content ends within a character), "unknown" (no such charset).
    """

    kind: str
    offset: int  # of the first wrong byte in the decoded content
    line: int
    column: int
    byte: int | None  # its value
    declared: str  # as declared; "utf-8" where that is the default; see `by`
    by: str  # header, xml, meta, default
    actual: str | None  # what the bytes fit: utf-8, windows-1252, utf-16-le ...
    message: str


def declared_charset(body: Body) -> tuple[str, str]:
    """(charset in lower case, who declared it: header, xml, meta, default)."""
    found = _PARAMETER.search(body.content_type)
    if found:
        return printable(found[1].lower().encode("ascii", "backslashreplace"), 40), "header"
    head = body.data()[:4096]
    inside = _XML.match(head.removeprefix(b"\xef\xbb\xbf"))
    if inside:
        return inside[1].decode("ascii").lower(), "xml"
    meta = _META.search(head) if body.kind() == "html" else None
    if meta:
        return meta[1].decode("ascii").lower(), "meta"
    return "utf-8", "default"


def charset_problem(body: Body) -> CharsetProblem | None:
    """The first thing wrong with a text body's characters; None for other bodies, and where no known byte is wrong."""
    if body.kind() not in TEXTUAL:
        return None
    data = body.data()
    declared, by = declared_charset(body)
    mark = bom(data)
    if mark == "utf-8" and body.kind() in ("json", "csv", "text", "xml"):
        text = f"the content begins with a UTF-8 byte order mark before its {body.kind()}"
        return CharsetProblem("bom", 0, 1, 1, 0xEF, declared, by, "utf-8", text)
    if mark is not None and not declared.startswith(mark[:6]):
        text = f"declared {declared}, but a byte order mark says {mark}"
        return CharsetProblem("mismatch", 0, 1, 1, data[0], declared, by, mark, text)
    try:
        name = codecs.lookup(declared).name
    except (LookupError, ValueError):
        return CharsetProblem("unknown", 0, 1, 1, None, declared, by, None, f"no charset {declared!r}")
    return _decoding_problem(body, data, declared, by, name)


def _decoding_problem(body: Body, data: bytes, declared: str, by: str, name: str) -> CharsetProblem | None:
    offset, cut = _first_invalid(data, name)
    if offset is not None:
        line, column = position(data, offset)
        if cut:
            if not body.data_final:
                return None
            text = f"the content ends within a {declared} character"
            return CharsetProblem("truncated", offset, line, column, data[offset], declared, by, name, text)
        actual = _fits(data, name)
        byte = data[offset]
        text = f"byte 0x{byte:02x} at {offset} is not {declared}" + (f"; the content fits {actual}" if actual else "")
        return CharsetProblem("invalid", offset, line, column, byte, declared, by, actual, text)
    if name in _SINGLE_BYTE and not data.isascii() and _first_invalid(data, "utf-8") == (None, False):
        offset = next(at for at, byte in enumerate(data) if byte > 127)
        line, column = position(data, offset)
        text = f"declared {declared}, but the content is valid UTF-8"
        return CharsetProblem("mismatch", offset, line, column, data[offset], declared, by, "utf-8", text)
    double = _DOUBLE.search(data) if name == "utf-8" else None
    if double:
        line, column = position(data, double.start())
        text = f"bytes at {double.start()} are UTF-8 that was encoded twice"
        return CharsetProblem(
            "double-encoded", double.start(), line, column, data[double.start()], declared, by, None, text
        )
    return None


def _first_invalid(data: bytes, name: str) -> tuple[int | None, bool]:
    """(offset of the first byte that `name` does not allow, or None; is it only the end that is missing?)."""
    try:
        data.decode(name)
    except UnicodeDecodeError as error:
        return error.start, error.end >= len(data) and _could_go_on(data[error.start :], name)
    except (LookupError, ValueError):  # codecs that are no text encodings: base64, hex
        return None, False
    return None, False


def _could_go_on(rest: bytes, name: str) -> bool:
    """Would more bytes make these few a character?"""
    try:
        codecs.getincrementaldecoder(name)().decode(rest, final=False)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _fits(data: bytes, declared: str) -> str | None:
    """Another charset that explains the bytes."""
    if declared != "utf-8" and _first_invalid(data, "utf-8")[0] is None:
        return "utf-8"
    if len(data) >= 4 and not len(data) % 2 and data.count(0) * 3 > len(data):
        return "utf-16-le" if not data[1] else "utf-16-be"
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    odd = [c for c in text if ord(c) > 127]
    return "windows-1252" if sum(c.isalpha() for c in odd) * 2 >= len(odd) else None


def text_of(body: Body) -> str:
    """The content as text for people and parsers: byte order mark, declared charset, else UTF-8; never raises.

    Undecodable bytes become lone surrogates (PEP 383), so that offsets can be counted back.
    """
    data = body.data()
    mark = bom(data)
    name = mark or declared_charset(body)[0]
    try:
        return data.decode("utf-8-sig" if mark == "utf-8" else name, "surrogateescape").removeprefix("\ufeff")
    except (LookupError, ValueError, UnicodeError):
        return data.decode("utf-8", "surrogateescape")
