"""What bytes are, whatever was declared: the kinds that batch jobs really receive.

`sniff` answers with one of KINDS: "empty" when it is known that there are no bytes, "unknown" when none is known.
"""

from __future__ import annotations

import re

KINDS = frozenset(
    {"empty", "unknown", "json", "html", "xml", "csv", "text", "binary", "gzip", "zlib", "zstd", "bzip2", "xz", "zip"}
    | {"pdf", "image", "parquet", "java", "executable", "sqlite", "http", "tls", "pickle"}
)
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"%PDF-", "pdf"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"GIF8", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"PAR1", "parquet"),
    (b"\xac\xed\x00\x05", "java"),  # Java object stream
    (b"\xca\xfe\xba\xbe", "java"),  # class file
    (b"\x7fELF", "executable"),
    (b"SQLite format 3\x00", "sqlite"),
    (b"HTTP/1.", "http"),
    (b"HTTP/2", "http"),
)
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_HTML = re.compile(
    rb"(?>\s*(?:<!--.*?-->\s*)*)<(?:!doctype\s+html|html|head|body|title|meta|center|h[1-6]|table|script|div|p|br)\b",
    re.IGNORECASE | re.DOTALL,
)
_XML = re.compile(rb"\s*(?:<\?xml\b|<!--|<!doctype\b|<[A-Za-z_][\w.:-]*(?:\s|/?>))", re.IGNORECASE)
_JSON = re.compile(
    rb"\s*(?:"
    rb"\{\s*(?:\"|\}|\Z)|"
    rb"\[\s*(?:[\[\{\"\]\d-]|true|false|null|\Z)|"
    rb"\"(?:[^\"\\\x00-\x1f]|\\.)*\"\s*\Z|"
    rb"(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\s*\Z)"
)
_JSON_PREFIX = re.compile(
    rb"\s*(?:\)\]\}'|for\s*\(;;\);|while\s*\(1\);|[\w$.]{1,60}\(\s*[\{\[])"
)  # JSONP and anti-hijack
_MARKUP = ((_HTML, "html"), (_XML, "xml"), (_JSON, "json"), (_JSON_PREFIX, "json"))
_SAMPLE = 4096


def sniff(data: bytes, empty: bool = False) -> str:
    """The kind of a content from its first known bytes; `empty` when it is known to have none."""
    if not data:
        return "empty" if empty else "unknown"
    head = data[:_SAMPLE]
    magic = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if magic is not None:
        return magic
    if looks_like_tls(head):
        return "tls"
    if looks_like_zlib(head):
        return "zlib"
    text = _as_ascii(head)
    if text is None:
        return "pickle" if head[0] == 0x80 and head[1:2] in (b"\2", b"\3", b"\4", b"\5") else "binary"
    if not text.strip():
        return "text"
    known = next((kind for pattern, kind in _MARKUP if pattern.match(text)), None)
    return known or ("csv" if _looks_like_csv(text) else "text")


def looks_like_tls(head: bytes) -> bool:
    """A TLS record: type 20-23, version 3.0-3.4 (RFC 8446 5.1)."""
    return len(head) >= 3 and 20 <= head[0] <= 23 and head[1] == 3 and head[2] <= 4


def looks_like_zlib(head: bytes) -> bool:
    """A zlib header (RFC 1950 2.2) as compressors write it, followed by something that is no text."""
    return len(head) >= 3 and head[0] == 0x78 and head[1] in (0x01, 0x5E, 0x9C, 0xDA) and not head[:64].isascii()


def bom(data: bytes) -> str | None:
    """The charset that a byte order mark tells: utf-8, utf-16-le, utf-16-be, utf-32-le, utf-32-be."""
    if data.startswith(b"\xff\xfe\x00\x00"):
        return "utf-32-le"
    if data.startswith(b"\x00\x00\xfe\xff"):
        return "utf-32-be"
    return next((name for mark, name in _BOMS if data.startswith(mark)), None)


def _as_ascii(head: bytes) -> bytes | None:
    """The text with its byte order mark and 16-bit form taken off; None when it is binary."""
    mark = bom(head)
    if mark == "utf-8":
        head = head[3:]
    elif mark is not None:
        wide = 4 if "32" in mark else 2
        body = head[wide:]
        return body[wide - 1 :: wide] if mark.endswith("be") else body[::wide]
    else:
        head = _narrowed(head)
    if b"\x00" in head:
        return None
    control = sum(head.count(c) for c in _CONTROLS)
    return None if control * 20 > len(head) else head


def _narrowed(head: bytes) -> bytes:
    """UTF-16 without a byte order mark, told by its first two characters, as ASCII; anything else as it is."""
    zeros = [not byte for byte in head[:4]]
    if zeros == [False, True, False, True]:
        return head[::2]
    return head[1::2] if zeros == [True, False, True, False] else head


_CONTROLS = [bytes([c]) for c in range(1, 32) if c not in (8, 9, 10, 11, 12, 13, 27)]


def _looks_like_csv(text: bytes) -> bool:
    """At least three lines (or two whole ones) with the same number, at least one, of one of the usual separators."""
    lines = [line for line in text.split(b"\n")[:20] if line.strip()]
    if len(text) == _SAMPLE and len(lines) > 1:
        lines.pop()
    if len(lines) < 2:
        return False
    for separator in (b"\t", b";", b",", b"|"):
        counts = {line.count(separator) for line in lines}
        if len(counts) == 1 and counts != {0}:
            return True
    return False
