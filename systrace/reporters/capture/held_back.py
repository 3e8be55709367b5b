"""What no mask finds a secret in, and a reader of the capture would unpack: compressed bodies, frames after an upgrade.

Bodies with a content coding (RFC 9110 8.4.1), what follows `101 Switching Protocols` (WebSocket frames of clients are
XORed, RFC 6455 5.3; those of both sides may be compressed, RFC 7692), and compressed headers (RFC 7541).
"""

from __future__ import annotations

import re
from dataclasses import field

from systrace.dataclass import dataclass

_HEAD = re.compile(rb"HTTP/1\.[01] \d{3}|[A-Z]{3,20} [^ \r\n]{1,8192} HTTP/1\.[01]\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_CODED = re.compile(rb"(?im)^(?:content|transfer)-encoding:[ \t]*(?!identity\b|chunked[ \t]*$)[^ \t\r\n]")
_SWITCHED = re.compile(rb"HTTP/1\.[01] 101")
_HTTP = "http"
_COMPRESSED_HEADERS = ("http2", "grpc")
_LONGEST_HEAD = 64 << 10
_TAIL = 16  # bytes: a status line may begin in one call and go on in the next


@dataclass(slots=True)
class _Direction:
    head: bytes | None = None  # of a message that has not come to its end
    coded: bool = False  # so is the body
    tail: bytes = b""


@dataclass(slots=True)
class HeldBack:
    """One connection of which something may not be shown."""

    protocol: str
    _directions: tuple[_Direction, ...] = field(default_factory=tuple)
    _switched: bool = False

    def __post_init__(self) -> None:
        """A body whose head came before the log began may be coded."""
        self._directions = tuple(_Direction(coded=self.protocol == _HTTP) for _ in range(2))

    def shown(self, sent: bool, data: bytes, *, whole: bool) -> int:
        """How many of the next bytes, from the first on, may be shown. Not `whole`: what follows them is not in the log."""
        if self.protocol in _COMPRESSED_HEADERS:
            return 0
        way = self._directions[sent]
        shown = self._shown(way, data)
        if not whole and way.head is not None:
            way.head, way.coded = None, True  # its end is not in the log, nor what it says of the body
        return shown

    def _shown(self, way: _Direction, data: bytes) -> int:
        at, shown = 0, len(data)
        while at < len(data):
            if self._switched:
                return min(at, shown)
            if way.head is not None:
                at = self._in_head(way, data, at)
                continue
            before = way.tail if not at else b""
            rest = before + data[at:]
            head = _HEAD.search(rest)
            if way.coded and (head is None or head.start() > len(before)):
                shown = min(at, shown)
            way.tail = data[-_TAIL:]
            if head is None:
                break
            way.head, way.coded = head[0], False
            at = max(at, at + head.end() - len(before))
        return shown

    def _in_head(self, way: _Direction, data: bytes, at: int) -> int:
        """Where it ends in these bytes, which may hold it in part only."""
        assert way.head is not None
        whole = way.head + data[at:]
        end = _END.search(whole, max(0, len(way.head) - 3))
        if end is None and len(whole) <= _LONGEST_HEAD:
            way.head = whole
            return len(data)
        stop = end.end() if end is not None else len(whole)
        way.coded = end is None or _CODED.search(whole, 0, stop) is not None
        self._switched |= _SWITCHED.match(whole) is not None
        at, way.head, way.tail = at + stop - len(way.head), None, b""
        return at
