"""HTTP/1.0 and 1.1 (RFC 9110, 9112), counted through holes.

Both directions are decoded side by side: the method of a request decides whether its response has a body. After
CONNECT and 101 the connection is handed over. Where `-s` hides a message's framing the decoder is lost until a call
begins with a start line again; such messages come out as "clipped", never as truncated.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from systrace.decoders import Piece, decoder, direction, returned_ns, times
from systrace.decoders.bodies.body import Body
from systrace.decoders.bodies.problem import printable
from systrace.decoders.buffer import Buffer, span
from systrace.decoders.http1_heads import (
    ANY_REQUEST,
    ANY_RESPONSE,
    HEAD_END,
    HEAD_END_LENGTH,
    HEAD_LIMIT,
    MAYBE,
    NO,
    YES,
    Framing,
    framing,
    looks_like_request,
    looks_like_response,
    request_line,
    status_line,
)
from systrace.decoders.http_messages import (
    HttpMessage,
    HttpRequest,
    HttpResponse,
    HttpStray,
    parse_fields,
    request_summary,
)
from systrace.model import Message, Socket, Transfer

__all__ = ["Http1", "HttpMessage", "HttpRequest", "HttpResponse", "HttpStray"]

HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, CLOSE, LOST, OVER = range(9)

LINE_LIMIT = 16 << 10  # bytes of a chunk-size or trailer line
STRAY_SAMPLE = 256
UNANSWERED = 1000  # requests remembered for pairing
_LOOK = 320  # bytes that tell a start line
_KEEP = 24  # bytes of a longer line that may be the beginning of one
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?\Z", re.DOTALL)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_LAST_CHUNK = re.compile(rb"(?:\A|\n)0+\r?\n\r?\n\Z")


class _Side:
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


@decoder
class Http1:
    """One connection's requests and responses."""

    name: ClassVar[str] = "http"
    ports: ClassVar[frozenset[int]] = frozenset({80, 3128, 5000, 8000, 8008, 8080, 8081, 8888, 9200})

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.handed_over = False
        self._client = _Side(True)
        self._server = _Side(False)
        self._requests: deque[HttpRequest] = deque(maxlen=UNANSWERED)  # whose response has not begun
        self._missed = False  # the server sent something that could not be read since the last request

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        scores: list[int] = []
        if client:
            look = looks_like_request(client.lstrip(b"\r\n"))
            scores.append(98 if look == YES else 0 if look == NO else 55 if b" " in client else 30)
        if server:
            look = looks_like_response(server)
            scores.append(100 if look == YES else 0 if look == NO else 92 if len(server) >= 5 else 40)
        return max(scores) if scores and 0 not in scores else 0

    def feed(self, from_client: bool, piece: Piece) -> Iterable[Message]:
        """See `Decoder.feed`; in the middle of a body the payload is not even decoded."""
        side = self._client if from_client else self._server
        out: list[Message] = []
        if side.state == LOST and self._resume(side, piece, out):
            return out
        if not side.buffer.size:
            state = side.state
            if state == HEAD:
                if self._quick(side, piece, out):
                    return out
            elif state == CLOSE or (state in (LENGTH, CHUNK_DATA) and piece.size <= side.left):
                if side.message is not None and side.message.body is not None:
                    side.message.body.add_piece(piece)
                side.buffer.last = piece.event
                self._took(side, piece.size, out)
                return out
        side.buffer.add(piece)
        self._drain(side, out)
        return out

    def end(self, from_client: bool, how: str) -> Iterable[Message]:
        """See `Decoder.end`."""
        side = self._client if from_client else self._server
        out: list[Message] = []
        message, state, buffer = side.message, side.state, side.buffer
        if state == OVER:
            return out
        if state == HEAD:
            if buffer.size:
                self._unfinished_head(side, how, out)
        elif message is not None:
            if state == LOST:
                self._drop(side, buffer.size)
                self._finish(side, out, message.incomplete_reason or "clipped")
            elif state == CLOSE and how == "eof":
                self._finish(side, out, "")
            else:
                message.detail = message.detail or _where(side)
                self._finish(side, out, how)
        else:
            self._drop(side, buffer.size)
        self._end_stray(side, out)
        if not from_client and self._client.state == LOST and self._client.message is not None:
            self._finish(self._client, out, self._client.message.incomplete_reason or "clipped")
        return out

    def leftover(self) -> list[tuple[bool, Piece]]:
        """See `Decoder.leftover`."""
        client, server = self._client.buffer, self._server.buffer
        return [(True, p) for p in client.pieces()] + [(False, p) for p in server.pieces()]

    # -------------------------------------------------------------------------------------------------------- states

    def _quick(self, side: _Side, piece: Piece, out: list[Message]) -> bool:
        """The usual case: a call carries a whole head and, maybe, the body. False when it is not that."""
        parts = piece.parts
        data, missing = parts[0]
        found = HEAD_END.search(data)
        if found is None or len(parts) > 1 or not data[0] > 32:
            return False
        end = found.end()
        event = piece.event
        if not self._begin(side, data[:end], event, out):
            return False
        side.buffer.last = event
        rest = len(data) - end + missing
        if side.state == HEAD or not side.left:
            if side.state in (HEAD, LENGTH):
                self._finish(side, out, "")
        elif rest and rest <= side.left and side.message is not None and side.message.body is not None:
            side.message.body.add(data[end:], missing)
            self._took(side, rest, out)
            return True
        if rest:
            side.buffer.add(Piece(data[end:], missing, event))
            self._drain(side, out)
        return True

    def _took(self, side: _Side, n: int, out: list[Message]) -> None:
        """`n` bytes of body passed."""
        side.left -= n
        if not side.left:
            if side.state == LENGTH:
                self._finish(side, out, "")
            elif side.state == CHUNK_DATA:
                side.state = CHUNK_END

    def _drain(self, side: _Side, out: list[Message]) -> None:
        """Decode as far as the buffered bytes go."""
        buffer = side.buffer
        more = True
        while more and buffer.size:
            state = side.state
            if state == HEAD:
                more = self._head(side, out)
            elif state in (LENGTH, CHUNK_DATA):
                n = min(side.left, buffer.size)
                self._body(side, n)
                self._took(side, n, out)
            elif state == CLOSE:
                self._body(side, buffer.size)
            elif state == LOST:
                more = self._lost(side, out)
            elif state == OVER:
                more = False
            elif state == CHUNK_SIZE and buffer.known > 32 and side.message is not None:
                more = self._chunks(side) or self._chunk(side, out)
            else:
                more = self._chunk(side, out)

    def _chunks(self, side: _Side) -> bool:
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

    def _body(self, side: _Side, n: int) -> None:
        body = side.message.body if side.message is not None else None
        for known, missing in side.buffer.take_parts(n):
            if body is not None:
                body.add(known, missing)

    def _head(self, side: _Side, out: list[Message]) -> bool:
        """A start line is due. False while its head is not whole."""
        buffer = side.buffer
        if buffer.byte(0) in (10, 13):  # RFC 9112 2.2: empty lines before it are to be ignored
            buffer.skip(1)
            return True
        head = buffer.peek(_LOOK)
        look = looks_like_request(head) if side.from_client else looks_like_response(head)
        if look == MAYBE and not buffer.stuck:
            return False
        if look == NO or (look == MAYBE and not head[4:]):
            return self._astray(side)
        end = buffer.search(HEAD_END, HEAD_END_LENGTH)
        cut = end < 0
        if cut and not buffer.stuck and buffer.known < HEAD_LIMIT:
            return False
        event = buffer.here
        block = buffer.peek(buffer.known if cut else end)
        if not self._begin(side, block, event, out, cut):
            return self._astray(side)
        if cut:
            buffer.skip_call()
            side.state = LOST
        else:
            buffer.skip(end)
            if side.state == HEAD or (side.state == LENGTH and not side.left):
                self._finish(side, out, "")
        return True

    def _astray(self, side: _Side) -> bool:
        """What stands where a start line is due is none."""
        side.first = side.buffer.here
        side.state = LOST
        return True

    def _resume(self, side: _Side, piece: Piece, out: list[Message]) -> bool:
        """The framing is not known: does this call begin with a start line, or is it the last chunk (then True)?"""
        head = piece.data[:_LOOK]
        message = side.message
        if (looks_like_request(head) if side.from_client else looks_like_response(head)) == YES:
            self._drop(side, side.buffer.size)
            self._found(side, out)
        elif (
            message is not None
            and message.framing == "chunked"
            and not message.incomplete_reason
            and not piece.missing
            and _LAST_CHUNK.search(piece.data)
        ):
            self._drop(side, side.buffer.size)
            side.buffer.last = piece.event
            self._finish(side, out, "")
            return True
        return False

    def _lost(self, side: _Side, out: list[Message]) -> bool:
        """The framing is not known: search for the next start line. False when more bytes are needed."""
        buffer = side.buffer
        run = buffer.peek(buffer.known)
        found = (ANY_REQUEST if side.from_client else ANY_RESPONSE).search(run)
        if found:
            self._drop(side, found.start())
            self._found(side, out)
            return True
        if buffer.stuck:
            self._drop(side, buffer.known + buffer.hole)
            return True
        last_line = len(run) - run.rfind(b"\n") - 1
        self._drop(side, len(run) - min(len(run), last_line if last_line <= _LOOK else _KEEP))
        return False

    def _found(self, side: _Side, out: list[Message]) -> None:
        """A start line ends what was lost."""
        if side.message is not None:
            self._finish(side, out, side.message.incomplete_reason or "clipped")
        self._end_stray(side, out)
        side.state = HEAD

    def _drop(self, side: _Side, n: int) -> None:
        """Bytes that no framing explains: they count as the lost message's body, or as stray."""
        if not n:
            return
        message = side.message
        data, _ = side.buffer.take(n)
        if message is not None:
            if message.body is not None:
                message.body.add(b"", n)
            return
        if len(side.stray) < STRAY_SAMPLE and len(side.stray) == side.stray_size:
            side.stray = (side.stray + data)[:STRAY_SAMPLE]
        side.stray_size += n
        self._missed = self._missed or not side.from_client

    def _chunk(self, side: _Side, out: list[Message]) -> bool:
        """Chunk-size line, the line end after a chunk, trailers. False while the line is not whole."""
        buffer = side.buffer
        if side.state == CHUNK_END:
            if not buffer.known:
                buffer.skip(2)
                side.state = CHUNK_SIZE
                return True
            if buffer.byte(0) == 13 and buffer.known == 1 and not buffer.stuck:
                return False
            if buffer.byte(0) not in (10, 13):
                return self._damaged(side, f"no line end after a chunk, but {printable(buffer.peek(16))!r}")
            buffer.skip(2 if buffer.byte(0) == 13 else 1)
            side.state = CHUNK_SIZE
            return True
        end = buffer.find(b"\n")
        if end < 0:
            if buffer.stuck:
                side.state = LOST
                return True
            return False if buffer.known < LINE_LIMIT else self._damaged(side, "endless line in chunk framing")
        line = buffer.peek(end + 1).rstrip(b"\r\n")
        if side.state == CHUNK_SIZE:
            found = _CHUNK_SIZE.match(line)
            if found is None:
                return self._damaged(side, f"chunk size {printable(line[:40])!r}")
            side.left = side.size = int(found[1], 16)
            side.state = CHUNK_DATA if side.left else TRAILER
            side.trailer = b""
        elif not line:
            if side.message is not None and side.trailer:
                side.message.trailers = parse_fields(side.trailer)
            buffer.skip(end + 1)
            self._finish(side, out, "")
            return True
        elif len(side.trailer) < LINE_LIMIT:
            side.trailer += line + b"\n"
        buffer.skip(end + 1)
        return True

    def _damaged(self, side: _Side, detail: str) -> bool:
        """The chunk framing is broken: nobody can read on from here."""
        if side.message is not None:
            side.message.detail = f"{detail} after {_received(side)} bytes of body"
            side.message.incomplete_reason = "malformed"
        side.state = LOST
        return True

    # ------------------------------------------------------------------------------------------------------ messages

    def _begin(self, side: _Side, head: bytes, event: Transfer | None, out: list[Message], cut: bool = False) -> bool:
        """A head came: make its message and find how its body ends. False when it is no head."""
        if side.from_client:
            request = request_line(head, cut)
            if request is None:
                return False
            message: HttpRequest | HttpResponse = self._request(head, event, request.method, request.target, out)
            message.version = request.version
        else:
            status = status_line(head, cut)
            if status is None:
                return False
            message = self._response(head, event, status.status, status.reason, out)
            message.version = status.version
        side.message, side.first, side.seen = message, event, True
        if cut:
            message.head_cut, message.framing = True, "unknown"
            return True
        how = framing(head, side.from_client)
        message.notes = how.notes
        if not side.from_client and _bodiless(message):
            message.declared_length = how.length
            return True
        message.framing, message.declared_length = how.kind, how.length
        side.state = self._state(side, how)
        if how.kind != "none":
            message.body = Body(head)
        return True

    def _state(self, side: _Side, how: Framing) -> int:
        side.left = how.length or 0
        if how.kind == "length":
            return LENGTH
        return {"chunked": CHUNK_SIZE, "close": CLOSE}.get(how.kind, HEAD)

    def _request(
        self, head: bytes, event: Transfer | None, method: str, target: str, out: list[Message]
    ) -> HttpRequest:
        server = self._server
        if server.state == LOST and server.message is not None:
            self._finish(server, out, server.message.incomplete_reason or "clipped")
            server.state = LOST
        if self._missed:
            self._requests.clear()
            self._missed = False
        message = HttpRequest(
            "http", self.socket.uid, direction(self.socket, True), None, None, request_summary(method, target), False
        )
        message.head, message.method, message.target = head, method, target
        message.start_ns = times(event, None)[0]
        self._requests.append(message)
        return message

    def _response(
        self, head: bytes, event: Transfer | None, status: int, reason: str, out: list[Message]
    ) -> HttpResponse:
        client = self._client
        if client.state == LOST and client.message is not None:
            self._finish(client, out, client.message.incomplete_reason or "clipped")
            client.state = LOST
        summary = request_summary(str(status), reason)
        message = HttpResponse("http", self.socket.uid, direction(self.socket, False), None, None, summary, False)
        message.head, message.status, message.reason = head, status, reason
        message.start_ns = times(event, None)[0]
        message.interim = 100 <= status < 200 and status != 101
        if self._requests:
            message.request = self._requests[0] if message.interim else self._requests.popleft()
            if not message.interim:
                message.request.answered = True
                message.request.answer_ns = message.start_ns
        return message

    def _finish(self, side: _Side, out: list[Message], reason: str) -> None:
        """The message under way is over; `reason` says why it is not complete, "" when it is."""
        message = side.message
        if message is None:
            return
        last = side.buffer.last or side.first
        message.end_ns = None if last is None else returned_ns(last)
        message.events = span(side.first, last)
        message.complete = not reason
        message.incomplete_reason = reason
        if message.body is not None:
            message.received_length = message.body.received
            message.body.complete = not reason
        out.append(message)
        side.message = None
        side.state = HEAD
        if isinstance(message, HttpResponse) and message.complete and self._switches(message):
            self.handed_over = True
            self._client.state = self._server.state = OVER

    def _switches(self, message: HttpResponse) -> bool:
        method = message.request.method if message.request is not None else ""
        return message.status == 101 or (method == "CONNECT" and 200 <= message.status < 300)

    def _unfinished_head(self, side: _Side, how: str, out: list[Message]) -> None:
        """The direction ended within a head."""
        event = side.buffer.here
        head = side.buffer.peek(HEAD_LIMIT)
        if self._begin(side, head, event, out, cut=True) and side.message is not None:
            side.message.head_cut = False
            side.message.detail = f"in the head, after {len(head)} bytes"
            side.buffer.skip(side.buffer.size)
            self._finish(side, out, how)
        elif head.strip():
            side.first = event
            self._drop(side, side.buffer.size)

    def _end_stray(self, side: _Side, out: list[Message]) -> None:
        """Bytes where a start line was due are over."""
        if not side.stray_size:
            return
        sample, size = side.stray, side.stray_size
        side.stray, side.stray_size = b"", 0
        last = side.buffer.last or side.first
        start_ns, end_ns = times(side.first, last)
        message = HttpStray(
            "http",
            self.socket.uid,
            direction(self.socket, side.from_client),
            start_ns,
            end_ns,
            f"{size} bytes where a start line was due: {printable(sample, 60)}",
            True,
            span(side.first, last),
        )
        message.size, message.sample, message.midstream = size, sample, not side.seen
        out.append(message)


def _bodiless(message: HttpRequest | HttpResponse) -> bool:
    """RFC 9112 6.3: HEAD, 1xx, 204, 304, and CONNECT that succeeded."""
    if not isinstance(message, HttpResponse):
        return False
    status, method = message.status, message.request.method if message.request is not None else ""
    return status < 200 or status in (204, 304) or method == "HEAD" or (method == "CONNECT" and status < 300)


def _received(side: _Side) -> int:
    return side.message.body.received if side.message is not None and side.message.body is not None else 0


def _where(side: _Side) -> str:
    """How far the body had come, for people."""
    got = _received(side)
    if side.state == LENGTH and side.message is not None:
        return f"{got} of {side.message.declared_length} bytes"
    if side.state == CHUNK_DATA:
        return f"in a chunk: {side.size - side.left} of {side.size}, body {got} bytes"
    if side.state == TRAILER:
        return f"in the trailers, body {got} bytes"
    return f"between chunks, body {got} bytes" if side.state != CLOSE else f"{got} bytes"
