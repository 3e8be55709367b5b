"""One direction of an HTTP/1 connection, and the chunk framing of its bodies (RFC 9112 7.1)."""

from __future__ import annotations

import re

from systrace.decoders import direction, times
from systrace.decoders.buffer import Buffer, span
from systrace.decoders.parts.http1_heads import MAYBE, looks_like_request, looks_like_response
from systrace.messages.http import HttpRequest, HttpResponse, HttpStray, parse_fields
from systrace.messages.problem import printable
from systrace.model import Socket, Transfer

HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, CLOSE, LOST, OVER = range(9)

LINE_LIMIT = 16 << 10  # bytes of a chunk-size or trailer line
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?\Z", re.DOTALL)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
STRAY_SAMPLE = 256  # bytes
LAST_CHUNK = re.compile(rb"(?:\A|\n)0+\r?\n\r?\n\Z")


class Side:
    """One direction: the message under way and where in it we are."""

    __slots__ = (
        "buffer",
        "first",
        "from_client",
        "left",
        "message",
        "seen",
        "size",
        "state",
        "stray",
        "stray_size",
        "trailer",
        "unframed",
    )

    def __init__(self, from_client: bool) -> None:
        self.from_client = from_client
        self.buffer = Buffer()
        self.state = HEAD
        self.message: HttpRequest | HttpResponse | None = None
        self.first: Transfer | None = None  # the call that carried the message's first byte
        self.left = 0  # bytes of the body, or of this chunk, still to come
        self.size = 0  # of this chunk
        self.seen = False  # a start line was seen on this side
        self.stray = b""  # sample of the bytes where a start line was due
        self.stray_size = 0
        self.trailer = b""
        self.unframed = False  # the last message's end is not known: stray bytes may be of its body

    def expect(self, framing: str, length: int) -> None:
        """A head is over: what follows it."""
        self.left = length
        if framing == "length":
            self.state = LENGTH
        elif framing == "chunked":
            self.state = CHUNK_SIZE
        else:
            self.state = CLOSE if framing == "close" else HEAD


WAIT, GO_ON, ENDED = range(3)
_LF, _CR = 10, 13


def whole_chunks(side: Side) -> bool:
    """Whole chunks in the known bytes, at speed; False when there is none."""
    buffer = side.buffer
    run = buffer.peek(buffer.known)
    body = side.message.body if side.message is not None else None
    at = 0
    kept: list[bytes] = []
    while found := _CHUNK.match(run, at):
        size = int(found[1], 16)
        start = found.end()
        end = start + size
        if not size or run[end : end + 2] != b"\r\n":
            break
        kept.append(run[start:end])
        at = end + 2
    if at and body is not None:
        body.add(b"".join(kept), 0)
    buffer.skip(at)
    return at > 0


def take_body(side: Side, n: int) -> None:
    """The next `n` bytes are body."""
    body = side.message.body if side.message is not None else None
    for known, missing in side.buffer.take_parts(n):
        if body is not None:
            body.add(known, missing)


def next_part(side: Side) -> int:
    """Chunk-size line, the line end after a chunk, trailers: WAIT while the line is not whole, ENDED after the last."""
    if side.state == CHUNK_END:
        return _chunk_end(side)
    buffer = side.buffer
    end = buffer.find(b"\n")
    if end < 0:
        if buffer.stuck:
            _lose_body(side)
            return GO_ON
        return WAIT if buffer.known < LINE_LIMIT else _damaged(side, "endless line in chunk framing")
    line = buffer.peek(end + 1).rstrip(b"\r\n")
    if side.state == CHUNK_SIZE:
        found = _CHUNK_SIZE.match(line)
        if found is None:
            return _damaged(side, f"chunk size {printable(line[:40])!r}")
        side.left = side.size = int(found[1], 16)
        side.state = CHUNK_DATA if side.left else TRAILER
        side.trailer = b""
    elif not line:
        if side.message is not None and side.trailer:
            side.message.trailers = parse_fields(side.trailer)
        buffer.skip(end + 1)
        return ENDED
    elif len(side.trailer) < LINE_LIMIT:
        side.trailer += line + b"\n"
    buffer.skip(end + 1)
    return GO_ON


def _chunk_end(side: Side) -> int:
    """The line end after a chunk, CR LF or LF; one within a hole is taken to be CR LF."""
    buffer = side.buffer
    first = buffer.byte(0) if buffer.known else _CR
    if buffer.known == 1 and first == _CR and not buffer.stuck:
        return WAIT
    if first not in (_CR, _LF):
        return _damaged(side, f"no line end after a chunk, but {printable(buffer.peek(16))!r}")
    buffer.skip(2 if first == _CR else 1)
    side.state = CHUNK_SIZE
    return GO_ON


def _damaged(side: Side, detail: str) -> int:
    """The chunk framing is broken: nobody can read on from here."""
    if side.message is not None:
        side.message.detail = f"{detail} after {received(side)} bytes of body"
        side.message.incomplete_reason = "malformed"
    _lose_body(side)
    return GO_ON


def _lose_body(side: Side) -> None:
    """Where the next chunk begins is not known: what follows is body and framing in one."""
    if side.message is not None and side.message.body is not None:
        side.message.body.lose()
    side.state = LOST


def bodiless(message: HttpRequest | HttpResponse) -> bool:
    """RFC 9112 6.3: HEAD, 1xx, 204, 304, and CONNECT that succeeded."""
    if not isinstance(message, HttpResponse):
        return False
    status, method = message.status, message.request.method if message.request is not None else ""
    return status < 200 or status in (204, 304) or method == "HEAD" or (method == "CONNECT" and status < 300)


def received(side: Side) -> int:
    """Bytes of body so far."""
    return side.message.body.received if side.message is not None and side.message.body is not None else 0


def where(side: Side) -> str:
    """How far the body had come, for people."""
    got = received(side)
    if side.state == LENGTH and side.message is not None:
        return f"{got} of {side.message.declared_length} bytes"
    if side.state == CHUNK_DATA:
        return f"in a chunk: {side.size - side.left} of {side.size}, body {got} bytes"
    if side.state == TRAILER:
        return f"in the trailers, body {got} bytes"
    return f"between chunks, body {got} bytes" if side.state != CLOSE else f"{got} bytes"


def switches(message: HttpResponse) -> bool:
    """What follows this response is another protocol."""
    method = message.request.method if message.request is not None else ""
    return message.status == 101 or (method == "CONNECT" and 200 <= message.status < 300)


def may_be_bodiless(message: HttpRequest | HttpResponse) -> bool:
    """The request is not known, and no body came, or the next response in its place: it may have been HEAD."""
    if not isinstance(message, HttpResponse) or message.request is not None or message.body is None:
        return False
    return not message.body.received or message.body.raw()[:7] == b"HTTP/1."


def drop(side: Side, n: int) -> bool:
    """Take bytes that no framing explains: as the lost message's body (False), or as stray ones (True)."""
    data, _ = side.buffer.take(n)
    if side.message is not None:
        if side.message.body is not None:
            side.message.body.add(b"", n)
        return False
    if len(side.stray) < STRAY_SAMPLE and len(side.stray) == side.stray_size:
        side.stray = (side.stray + data)[:STRAY_SAMPLE]
    side.stray_size += n
    return True


def end_stray(side: Side, socket: Socket) -> list[HttpStray]:
    """Bytes where a start line was due are over: their message, if there were any."""
    if not side.stray_size:
        return []
    sample, size = side.stray, side.stray_size
    side.stray, side.stray_size = b"", 0
    last = side.buffer.last or side.first
    start_ns, end_ns = times(side.first, last)
    looks_like = looks_like_request if side.from_client else looks_like_response
    cut = side.unframed or (len(sample) < min(size, STRAY_SAMPLE) and looks_like(sample) == MAYBE)
    what = "of a message whose head is cut:" if cut else "where a start line was due:"
    side.unframed = False
    message = HttpStray(
        *("http", socket.uid, direction(socket, side.from_client), start_ns, end_ns),
        f"{size} bytes {what} {printable(sample, 60)}".rstrip(),
        True,
        span(side.first, last),
    )
    message.size, message.sample, message.midstream, message.cut = size, sample, not side.seen, cut
    return [message]
