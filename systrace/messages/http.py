"""Requests and responses, whichever version of HTTP carried them."""

from __future__ import annotations

import re

from systrace.dataclass import dataclass
from systrace.messages.body import Body
from systrace.messages.problem import printable
from systrace.model import Message

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*\Z")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s"';,]+)""", re.IGNORECASE)

ENDING = frozenset({"", "eof", "reset", "rst-stream"})  # reasons after which no more of a body comes
Headers = list[tuple[str, str]]  # (name in lower case, value), in order


@dataclass(slots=True)
class HttpMessage(Message):
    """What requests and responses share.

    `complete` is True only when all of the message is proven to have come. If not, `incomplete_reason` says why:
    "eof", "reset", "closed" (by the traced side), "unfinished" (the log ends): the message was cut, which `truncated`
    repeats for the first two; "malformed" (see `detail`); "clipped": `-s` hid its framing, so that nobody can tell.
    """

    version: str = ""  # "1.1", "1.0", "2"
    head: bytes = b""  # start line and fields as known; HTTP/2: written as HTTP/1 would
    head_cut: bool = False  # `-s` cut the head: fields may be missing, and the framing is not known
    body: Body | None = None  # None: no body is due
    framing: str = "none"  # length, chunked, close, none, unknown; stream (HTTP/2)
    declared_length: int | None = None
    received_length: int = 0  # body bytes that happened, chunk framing taken off
    incomplete_reason: str = ""
    detail: str = ""  # of the framing: "in chunk: 3 of 16", "chunk size 'ZZ'"
    notes: tuple[str, ...] = ()  # "bare-lf", "length-and-chunked", "two-lengths", "bad-length", "folded", "bad-field"
    trailers: Headers | None = None
    stream_id: int = 0  # HTTP/2
    parsed: Headers | None = None

    @property
    def headers(self) -> Headers:
        """(name in lower case, value) in order, as far as known; parsed when first asked for."""
        if self.parsed is None:
            self.parsed = parse_fields(self.head.partition(b"\n")[2])
        return self.parsed

    def header(self, name: str, default: str | None = None) -> str | None:
        """The first value of a field, by its name in any case."""
        name = name.lower()
        for key, value in self.headers:
            if key == name:
                return value
        return default

    @property
    def content_type(self) -> str:
        """Media type in lower case without parameters, "" when not declared."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """As declared, in lower case."""
        found = _CHARSET.search(self.header("content-type") or "")
        return found[1].lower() if found else None

    @property
    def truncated(self) -> bool:
        """The other side ended the connection before the message was whole: proven by its framing."""
        return self.incomplete_reason in ("eof", "reset") and self.framing != "close"


@dataclass(slots=True)
class HttpRequest(HttpMessage):
    """A request. `answered` tells whether the head of its final response came."""

    method: str = ""
    target: str = ""  # as sent: path, absolute URI (to a proxy) or host:port (CONNECT)
    answered: bool = False
    server: str = ""  # where it went, for requests that name no host, or whose head is cut

    @property
    def host(self) -> str:
        """Host field, or that of an absolute target; "" when unknown."""
        if self.method == "CONNECT":
            return self.target
        scheme, found, rest = self.target.partition("://")
        if found and scheme.isalpha():
            return rest.partition("/")[0].rpartition("@")[2]
        return self.header("host") or self.server

    @property
    def path(self) -> str:
        """The target's path and query, without scheme and host."""
        scheme, found, rest = self.target.partition("://")
        if found and scheme.isalpha():
            return "/" + rest.partition("/")[2]
        return self.target

    @property
    def url(self) -> str:
        """For people; the scheme is a guess (what we can read is not encrypted)."""
        return self.target if "://" in self.target or not self.host else f"http://{self.host}{self.target}"

    @property
    def via_proxy(self) -> bool:
        """CONNECT, or an absolute target: the peer is a proxy (RFC 9112 3.2)."""
        return self.method == "CONNECT" or "://" in self.target[:12]

    @property
    def notable(self) -> bool:
        """Cut short or damaged: kept in preference to others."""
        return self.incomplete_reason not in ("", "clipped")


@dataclass(slots=True)
class HttpResponse(HttpMessage):
    """A response; `request` is what it answers, None when the trace did not show it (or it came unasked: 408)."""

    status: int = 0
    reason: str = ""
    request: HttpRequest | None = None
    interim: bool = False  # 1xx: the final response is still to come

    @property
    def notable(self) -> bool:
        """An error, cut short or damaged: kept in preference to others."""
        return self.status >= 400 or self.incomplete_reason not in ("", "clipped")


@dataclass(slots=True)
class HttpStray(Message):
    """Bytes where a start line was due: more body than declared, the rest of a message whose start the trace misses."""

    size: int = 0
    sample: bytes = b""  # first known bytes, at most 256
    midstream: bool = False  # no message came before them on this side
    cut: bool = False  # `-s` hides whether they begin with a start line

    @property
    def notable(self) -> bool:
        """Kept in preference to others, unless they may be a message like any other."""
        return not self.cut


@dataclass(slots=True)
class Http2Error(Message):
    """GOAWAY or RST_STREAM: one side gives up the connection or one stream."""

    kind: str = ""  # goaway, rst-stream
    stream_id: int = 0  # of RST_STREAM; of GOAWAY the last one that was, or may have been, worked on
    code: int = 0
    name: str = ""
    debug: str = ""  # printable
    by_client: bool = False

    @property
    def notable(self) -> bool:
        """Kept in preference to others, unless it is a good-bye."""
        return self.code != 0


def parse_fields(block: bytes) -> Headers:
    """Field lines to pairs; folded lines are joined (RFC 9112 5.2), lines that are no field are left out."""
    fields: Headers = []
    for line in block.split(b"\n"):
        line = line.removesuffix(b"\r")
        if line[:1] in (b" ", b"\t") and fields:
            key, text = fields[-1]
            fields[-1] = (key, f"{text} {line.strip().decode('latin-1')}")
            continue
        name, colon, value = line.partition(b":")
        if colon and _NAME.match(name):
            fields.append((name.rstrip().decode("ascii").lower(), value.strip(b" \t").decode("latin-1")))
    return fields


def request_summary(method: str, target: str) -> str:
    """ "GET /path", printable and short."""
    text = f"{method} {target}"
    return text if len(text) <= 200 and text.isprintable() else printable(text.encode("utf-8", "replace"))


def bare_host(host: str) -> str:
    """A host without its port, to compare.

    >>> bare_host("API.example:443"), bare_host("[2001:db8::1]:80"), bare_host("2001:db8::1")
    ('api.example', '2001:db8::1', '2001:db8::1')
    """
    name, colon, port = host.rpartition(":")
    cut = colon and port.isdecimal() and (":" not in name or name.endswith("]"))
    return (name if cut else host).strip("[]").rstrip(".").lower()
