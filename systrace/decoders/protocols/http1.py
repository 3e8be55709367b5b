"""HTTP/1.0 and 1.1 (RFC 9110, 9112), counted through holes.

Both directions are decoded side by side: the method of a request decides whether its response has a body. After
CONNECT and 101 the connection is handed over. Where `-s` hides a message's framing the decoder is lost until a call
begins with a start line again; such messages come out as "clipped", never as truncated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from systrace.decoders import decoder, direction, returned_ns, times
from systrace.decoders.buffer import span
from systrace.decoders.parts.http1_heads import (
    ANY_REQUEST,
    ANY_RESPONSE,
    HEAD_END,
    HEAD_END_LENGTH,
    HEAD_LIMIT,
    MAYBE,
    NO,
    YES,
    framing,
    head_end,
    looks_like_request,
    looks_like_response,
    request_line,
    status_line,
)
from systrace.decoders.parts.http1_side import (
    CHUNK_DATA,
    CHUNK_END,
    CHUNK_SIZE,
    CLOSE,
    ENDED,
    HEAD,
    LAST_CHUNK,
    LENGTH,
    LOST,
    OVER,
    WAIT,
    Side,
    bodiless,
    drop,
    end_stray,
    may_be_bodiless,
    next_part,
    switches,
    take_body,
    where,
    whole_chunks,
)
from systrace.messages.body import Body
from systrace.messages.http import ENDING, HttpRequest, HttpResponse, request_summary
from systrace.messages.piece import Piece
from systrace.model import Message, Socket, Transfer

UNANSWERED = 1000  # requests remembered for pairing
_LOOK = 320  # bytes that tell a start line
_KEEP = 24  # bytes of a longer line that may be the beginning of one


@decoder
class Http1:
    """One connection's requests and responses."""

    name: ClassVar[str] = "http"
    ports: ClassVar[frozenset[int]] = frozenset({80, 3128, 5000, 8000, 8008, 8080, 8081, 8888, 9200})

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.handed_over = False
        self._client = Side(True)
        self._server = Side(False)
        self._requests: deque[HttpRequest] | None = None  # whose response has not begun
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
                message.detail = message.detail or where(side)
                self._finish(side, out, "clipped" if may_be_bodiless(message) else how)
        else:
            self._drop(side, buffer.size)
        out += end_stray(side, self.socket)
        if not from_client and self._client.state == LOST and self._client.message is not None:
            self._finish(self._client, out, self._client.message.incomplete_reason or "clipped")
        return out

    def leftover(self) -> list[tuple[bool, Piece]]:
        """See `Decoder.leftover`."""
        client, server = self._client.buffer, self._server.buffer
        return [(True, p) for p in client.pieces()] + [(False, p) for p in server.pieces()]

    # -------------------------------------------------------------------------------------------------------- states

    def _quick(self, side: Side, piece: Piece, out: list[Message]) -> bool:
        """The usual case: a call carries a whole head and, maybe, the body. False when it is not that."""
        parts = piece.parts
        data, missing = parts[0]
        end = head_end(data)
        if end < 0 or len(parts) > 1 or not data[0] > 32:
            return False
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

    def _took(self, side: Side, n: int, out: list[Message]) -> None:
        """`n` bytes of body passed."""
        side.left -= n
        if not side.left:
            if side.state == LENGTH:
                self._finish(side, out, "")
            elif side.state == CHUNK_DATA:
                side.state = CHUNK_END

    def _drain(self, side: Side, out: list[Message]) -> None:
        """Decode as far as the buffered bytes go."""
        buffer = side.buffer
        more = True
        while more and buffer.size:
            state = side.state
            if state == HEAD:
                more = self._head(side, out)
            elif state in (LENGTH, CHUNK_DATA):
                n = min(side.left, buffer.size)
                take_body(side, n)
                self._took(side, n, out)
            elif state == CLOSE:
                take_body(side, buffer.size)
            elif state == LOST:
                more = self._lost(side, out)
            elif state == OVER:
                more = False
            elif state == CHUNK_SIZE and buffer.known > 32 and side.message is not None:
                more = whole_chunks(side) or self._chunk(side, out)
            else:
                more = self._chunk(side, out)

    def _chunk(self, side: Side, out: list[Message]) -> bool:
        """The framing between chunks. False while more bytes are needed."""
        step = next_part(side)
        if step == ENDED:
            self._finish(side, out, "")
        return step != WAIT

    def _head(self, side: Side, out: list[Message]) -> bool:
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

    def _astray(self, side: Side) -> bool:
        """What stands where a start line is due is none."""
        side.first = side.buffer.here
        side.state = LOST
        return True

    def _resume(self, side: Side, piece: Piece, out: list[Message]) -> bool:
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
            and LAST_CHUNK.search(piece.data)
        ):
            self._drop(side, side.buffer.size)
            if message.body is not None:
                message.body.add_piece(piece)
            side.buffer.last = piece.event
            self._finish(side, out, "")
            return True
        return False

    def _lost(self, side: Side, out: list[Message]) -> bool:
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

    def _found(self, side: Side, out: list[Message]) -> None:
        """A start line ends what was lost."""
        if side.message is not None:
            self._finish(side, out, side.message.incomplete_reason or "clipped")
        out += end_stray(side, self.socket)
        side.state = HEAD

    # ------------------------------------------------------------------------------------------------------ messages

    def _begin(self, side: Side, head: bytes, event: Transfer | None, out: list[Message], cut: bool = False) -> bool:
        """A head came: make its message and find how its body ends. False when it is no head."""
        if side.from_client:
            request = request_line(head, cut)
            if request is None:
                return False
            method, target, version = request
            message: HttpRequest | HttpResponse = self._request(head, event, method, target, out)
        else:
            answer = status_line(head, cut)
            if answer is None:
                return False
            version, status, reason = answer
            message = self._response(head, event, status, reason, out)
        message.version = version
        side.message, side.first, side.seen = message, event, True
        if cut:
            message.head_cut, message.framing = True, "unknown"
            return True
        how = framing(head, side.from_client)
        message.notes = how.notes
        if not side.from_client and bodiless(message):
            message.declared_length = how.length
            return True
        message.framing, message.declared_length = how.kind, how.length
        side.expect(how.kind, how.length or 0)
        if how.kind != "none":
            message.body = Body(head)
        return True

    def _request(
        self, head: bytes, event: Transfer | None, method: str, target: str, out: list[Message]
    ) -> HttpRequest:
        server = self._server
        if server.state == LOST and server.message is not None:
            self._finish(server, out, server.message.incomplete_reason or "clipped")
            server.state = LOST
        if self._missed:
            self._requests = None
            self._missed = False
        message = HttpRequest(
            "http", self.socket.uid, direction(self.socket, True), None, None, request_summary(method, target), False
        )
        message.head, message.method, message.target = head, method, target
        message.server = str(self.socket.peer) if self.socket.peer is not None and self.socket.is_network else ""
        message.start_ns = times(event, None)[0]
        if not self._requests:
            self._requests = deque(maxlen=UNANSWERED)
        self._requests.append(message)
        return message

    def _response(
        self, head: bytes, event: Transfer | None, status: int, reason: str, out: list[Message]
    ) -> HttpResponse:
        client = self._client
        if client.state == LOST and client.message is not None and status != 100:  # after 100 the body is to come
            self._finish(client, out, client.message.incomplete_reason or "clipped")
            client.state, client.unframed = LOST, True
        summary = request_summary(str(status), reason)
        message = HttpResponse("http", self.socket.uid, direction(self.socket, False), None, None, summary, False)
        message.head, message.status, message.reason = head, status, reason
        message.start_ns = times(event, None)[0]
        message.interim = 100 <= status < 200 and status != 101
        if self._requests:
            message.request = self._requests[0] if message.interim else self._requests.popleft()
            if not message.interim:
                message.request.answered = True
            if not self._requests:
                self._requests = None
        return message

    def _finish(self, side: Side, out: list[Message], reason: str) -> None:
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
            message.body.ended = reason in ENDING
        out.append(message)
        side.message = None
        side.state = HEAD
        if isinstance(message, HttpResponse) and message.complete and switches(message):
            self.handed_over = True
            self._client.state = self._server.state = OVER

    def _unfinished_head(self, side: Side, how: str, out: list[Message]) -> None:
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

    def _drop(self, side: Side, n: int) -> None:
        """Bytes that no framing explains: they count as the lost message's body, or as stray."""
        if n and drop(side, n) and not side.from_client:
            self._missed = True
