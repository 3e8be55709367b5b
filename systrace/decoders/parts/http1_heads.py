"""HTTP/1 heads: what a start line looks like, and how fields say where the message ends (RFC 9112)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from systrace.messages.body import codings, field

HEAD_END = re.compile(rb"\n\r?\n")
HEAD_END_LENGTH = 3
HEAD_LIMIT = 256 << 10  # bytes; servers stop at 8 to 64 KiB

_METHODS = (
    b"GET POST PUT HEAD DELETE OPTIONS PATCH CONNECT TRACE PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT "
    b"SEARCH PURGE MKCALENDAR LINK UNLINK BIND NOTIFY SUBSCRIBE UNSUBSCRIBE M-SEARCH"
).split()
_METHOD = rb"(?:" + b"|".join(sorted(_METHODS, reverse=True)) + rb")"
_REQUEST_LINE = re.compile(rb"([A-Za-z][A-Za-z-]{0,31}) ([^\r\n]*?) HTTP/(1\.\d)[ \t]*\r?\n")
_REQUEST_CUT = re.compile(rb"([A-Z][A-Z-]{0,31}) ([^\s]*)(?: (?:HTTP/?(1\.\d)?)?)?")
_REQUEST_LOOK = re.compile(
    _METHOD + rb" (?:[/*?]|[A-Za-z][A-Za-z0-9+.-]*://|[\w.-]{1,253}:\d{1,5} |\[[\da-fA-F:.]+\]:\d)"
)
_STATUS_LINE = re.compile(rb"HTTP/(1\.\d) (\d{3})(?: ([^\r\n]*))?\r?\n")
_STATUS_CUT = re.compile(rb"HTTP/(1\.\d) (\d{3})(?: ([^\r\n]*))?")
_STATUS_LOOK = re.compile(rb"HTTP/1\.\d \d\d\d(?:[ \r\n]|\Z)")
ANY_REQUEST = re.compile(_METHOD + rb" [^\s]{1,8000} HTTP/1\.\d\r?\n")
ANY_RESPONSE = re.compile(rb"HTTP/1\.\d \d{3}(?: [^\r\n]*)?\r?\n")
_OTHER_VERSION = re.compile(rb"[^\r\n]* (?:RTSP|SIP|ICAP|HTTP/2|HTTP/3)")
_LENGTH = re.compile(rb"\ncontent-length[ \t]*:([^\r\n]*)")

_CACHED = 200  # bytes; there are few different status lines, and longer ones are not kept

NO, MAYBE, YES = 0, 1, 2


def looks_like_request(head: bytes) -> int:
    """NO, MAYBE (too short to tell) or YES, from at least 32 bytes or all that there are."""
    if _REQUEST_LOOK.match(head):
        return NO if _OTHER_VERSION.match(head) else YES
    method, space, target = head.partition(b" ")
    if space:
        if method not in _METHODS or len(head) > 300 or any(c in target for c in b" \r\n"):
            return YES if _REQUEST_LINE.match(head) and method.isupper() else NO
        return MAYBE if len(target) < 256 else NO
    return MAYBE if any(known.startswith(head) for known in _METHODS) else NO


def looks_like_response(head: bytes) -> int:
    """NO, MAYBE (too short to tell) or YES."""
    if _STATUS_LOOK.match(head):
        return YES
    if len(head) < 12:
        model = b"HTTP/1.1 200"
        same = all(a == b or (48 <= a <= 57 and 48 <= b <= 57) for a, b in zip(head, model, strict=False))
        return MAYBE if same else NO
    return NO


def head_end(data: bytes) -> int:
    """Index after the empty line that ends a head, or -1: that of HEAD_END's first match, at speed."""
    end = data.find(b"\n\r\n")
    bare = data.find(b"\n\n", 0, end if end >= 0 else len(data))
    return bare + 2 if bare >= 0 else end + 3 if end >= 0 else -1


def request_line(head: bytes, cut: bool) -> tuple[str, str, str] | None:
    """(method, target, version) of a head; of a cut one what there is, "" for the rest."""
    words = head[: head.find(b"\n") + 1].split(b" ")
    if len(words) == 3 and words[2] == b"HTTP/1.1\r\n" and len(words[0]) < 32 and words[0].isalpha():  # most are
        return words[0].decode("ascii"), _text(words[1]), "1.1"
    found = _REQUEST_LINE.match(head) or (_REQUEST_CUT.match(head) if cut else None)
    if found is None:
        return None
    method, target, version = found.groups()
    return method.decode("latin-1"), _text(target), (version or b"").decode("latin-1")


def status_line(head: bytes, cut: bool) -> tuple[str, int, str] | None:
    """(version, status, reason) of a head; of a cut one what there is."""
    line = head[: head.find(b"\n") + 1 or len(head)]
    return _status_line(line, cut) if len(line) < _CACHED else _status_line.__wrapped__(line, cut)


@lru_cache(maxsize=256)
def _status_line(line: bytes, cut: bool) -> tuple[str, int, str] | None:
    found = _STATUS_LINE.match(line) or (_STATUS_CUT.match(line) if cut else None)
    if found is None:
        return None
    version, status, reason = found.groups()
    return version.decode("latin-1"), int(status), _text(reason or b"").strip()


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


class Framing(NamedTuple):
    """How the end of a body is found."""

    kind: str  # length, chunked, close, none
    length: int | None = None
    notes: tuple[str, ...] = ()


_NO_BODY = Framing("none")
_TO_THE_END = Framing("close")


def framing(head: bytes, request: bool) -> Framing:
    """RFC 9112 6.3, but for the cases that only status and method decide."""
    low = head.lower()
    start = low.find(b"\ncontent-length:")
    if low.find(b"\ntransfer-encoding") < 0 and head.endswith(b"\r\n\r\n"):  # the usual cases, fast
        if start < 0:
            if b"\ncontent-length" not in low:
                return _NO_BODY if request else _TO_THE_END
        else:
            end = low.find(b"\n", start + 16)
            value = low[start + 16 : end].strip()
            if value.isdigit() and len(value) < 19 and low.find(b"\ncontent-length", end) < 0:
                return Framing("length", int(value))
    return _odd_framing(head, low, request)


def _odd_framing(head: bytes, low: bytes, request: bool) -> Framing:
    """Chunks, contradictions, bare line feeds."""
    notes: tuple[str, ...] = () if head.endswith(b"\r\n\r\n") else ("bare-lf",)
    length, kind = None, "none" if request else "close"
    values = {value.strip() for found in _LENGTH.findall(low) for value in found.split(b",")}
    if len(values) > 1:
        notes += ("two-lengths",)
    if values:
        value = min(values)
        if value.isdigit() and len(value) < 19:
            length, kind = int(value), "length"
        else:
            notes += ("bad-length",)
    transfer = codings(field(head, b"\ntransfer-encoding:"))
    if transfer:
        if length is not None:
            notes += ("length-and-chunked",)
        kind = "chunked" if transfer[-1] == "chunked" else "none" if request else "close"
        length = None
    return Framing(kind, length, notes)
