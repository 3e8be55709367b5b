"""HTTP/2 frames (RFC 9113) on clear connections; requests and responses come out like those of HTTP/1.

Where `-s` hides a frame's header the decoder looks at the start of each call for the next one. Streams that were
under way then come out as "clipped".
"""

from __future__ import annotations

from typing import ClassVar

from systrace.decoders import decoder, direction, returned_ns, times
from systrace.decoders.buffer import Buffer, StreamDecoder, span
from systrace.decoders.parts.grpc_status import grpc_status
from systrace.decoders.parts.hpack_fields import FieldTable
from systrace.messages.body import Body
from systrace.messages.http import ENDING, Http2Error, HttpRequest, HttpResponse, request_summary
from systrace.messages.problem import printable
from systrace.model import Message, Socket, Transfer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY = 1, 4, 8, 32
_HEADER = 9
_FRAME_LIMIT = 1 << 20  # bytes; SETTINGS may allow more, nobody does
_BLOCK_LIMIT = 256 << 10
_STREAMS = 10_000  # under way at once; more are forgotten
_FIXED = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}

ERRORS = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"),
    *("FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
    *("INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
)


class _Half:
    """One direction of the connection."""

    __slots__ = (
        *("block", "block_cut", "block_flags", "block_stream"),
        *("data_end", "data_left", "data_stream", "preface", "table", "unsynced"),
    )

    def __init__(self) -> None:
        self.table: FieldTable | None = None  # made when the first block comes: hpack is imported late
        self.preface = True  # it may still come
        self.unsynced = False
        self.block = bytearray()
        self.block_cut = False
        self.block_stream = 0
        self.block_flags = 0
        self.data_left = 0  # of a DATA frame's payload
        self.data_stream = 0
        self.data_end = False  # that frame ends its stream


@decoder
class Http2(StreamDecoder):
    """One connection's streams."""

    name: ClassVar[str] = "http2"
    ports: ClassVar[frozenset[int]] = frozenset({80, 2379, 8080, 50051})

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._halves = (_Half(), _Half())  # server, client
        self._open: dict[tuple[int, bool], HttpRequest | HttpResponse] = {}  # (stream, from client)
        self._first: dict[tuple[int, bool], Transfer | None] = {}
        self._asked: dict[int, HttpRequest] = {}  # without a response yet

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        if client and not (client.startswith(PREFACE) or PREFACE.startswith(client)):
            return 0
        if server and not _plausible(server[:_HEADER]):
            return 0
        if client:
            return 100 if len(client) >= 8 else 50
        settings = len(server) >= _HEADER and server[3] == SETTINGS and not server[4]
        return 60 if settings else 0

    def advance(self, from_client: bool) -> list[Message]:
        """Frames that are whole, and as much of a DATA frame as has come."""
        out: list[Message] = []
        half, buffer = self._halves[from_client], self.client if from_client else self.server
        while buffer.size:
            if half.data_left:
                self._data(from_client, out)
                continue
            if from_client and half.preface and not self._skip_preface(half, buffer):
                break
            header = buffer.peek(_HEADER)
            plausible = _plausible(header)
            if len(header) < _HEADER and plausible and not buffer.stuck:
                break
            if len(header) < _HEADER or not plausible:
                half.unsynced = True
                self._lose_bodies(from_client)
                buffer.skip_call()
                continue
            if half.unsynced:
                half.unsynced = False
                self._lose(half)
            length = int.from_bytes(header[:3], "big")
            if header[3] != DATA and buffer.size < _HEADER + length:
                break
            self._frame(from_client, header, length, out)
        return out

    def ended(self, from_client: bool, how: str) -> list[Message]:
        """Streams that this side did not end."""
        out: list[Message] = []
        half = self._halves[from_client]
        reason = "clipped" if half.unsynced else how
        for stream, side in list(self._open):
            if side == from_client:
                message = self._open[stream, side]
                self._finish(stream, side, message.incomplete_reason or reason, out)
        return out

    # -------------------------------------------------------------------------------------------------------- frames

    def _skip_preface(self, half: _Half, buffer: Buffer) -> bool:
        """False while it has not come as a whole."""
        head = buffer.peek(len(PREFACE))
        if PREFACE.startswith(head) and len(head) < len(PREFACE) and not buffer.stuck:
            return False
        half.preface = False
        if head == PREFACE:
            buffer.skip(len(PREFACE))
        return buffer.size > 0

    def _lose(self, half: _Half) -> None:
        """Frames were missed: header blocks among them may have changed the table."""
        if half.table is not None:
            half.table.decode(b"", cut=True)
        half.block.clear()
        for message in self._open.values():
            message.incomplete_reason = message.incomplete_reason or "clipped"

    def _lose_bodies(self, from_client: bool) -> None:
        """What is skipped may be of any of the open streams."""
        for (_, side), message in self._open.items():
            if side == from_client and message.body is not None:
                message.body.lose()

    def _frame(self, from_client: bool, header: bytes, length: int, out: list[Message]) -> None:
        half, buffer = self._halves[from_client], self.client if from_client else self.server
        kind, flags = header[3], header[4]
        stream = int.from_bytes(header[5:9], "big") & 0x7FFFFFFF
        event = buffer.here
        buffer.skip(_HEADER)
        if kind == DATA:
            half.data_left, half.data_stream, half.data_end = length, stream, bool(flags & _END_STREAM)
            if not length:
                self._data(from_client, out)
            return
        payload, missing = buffer.take(length)
        if kind in (HEADERS, PUSH_PROMISE):
            half.block.clear()
            half.block_cut, half.block_flags = False, flags
            payload = _unpadded(payload, flags, 5 if kind == HEADERS and flags & _PRIORITY else 0)
            half.block_stream = stream
            if kind == PUSH_PROMISE:
                payload, half.block_stream = payload[4:], 0
            self._first.setdefault((stream, from_client), event)
        if kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
            half.block_cut = half.block_cut or missing > 0
            if len(half.block) < _BLOCK_LIMIT:
                half.block += payload
            if flags & _END_HEADERS or missing:
                self._fields(from_client, event, out)
        elif kind == RST_STREAM and len(payload) == 4:
            self._given_up(from_client, "rst-stream", stream, payload, event, out)
        elif kind == GOAWAY and len(payload) >= 8:
            last = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
            self._given_up(from_client, "goaway", last, payload[4:], event, out)

    def _data(self, from_client: bool, out: list[Message]) -> None:
        """What has come of a DATA frame. Padding counts as content: nobody pads."""
        half, buffer = self._halves[from_client], self.client if from_client else self.server
        message = self._open.get((half.data_stream, from_client))
        n = min(half.data_left, buffer.size)
        for known, missing in buffer.take_parts(n):
            if message is not None:
                if message.body is None:
                    message.body = Body(message.head)
                    if message.incomplete_reason:
                        message.body.lose()  # frames were missed before the first of those that are known
                message.body.add(known, missing)
        half.data_left -= n
        if not half.data_left and half.data_end and message is not None:
            self._finish(half.data_stream, from_client, message.incomplete_reason, out)

    def _fields(self, from_client: bool, event: Transfer | None, out: list[Message]) -> None:
        """A header block is whole (or all of it that is known): a head, an interim response or trailers."""
        half = self._halves[from_client]
        if half.table is None:
            half.table = FieldTable()
        cut = half.block_cut
        fields = [(_text(name), _text(value)) for name, value in half.table.decode(bytes(half.block), cut)]
        half.block.clear()
        stream, ends = half.block_stream, bool(half.block_flags & _END_STREAM)
        if not stream:
            return
        message = self._open.get((stream, from_client))
        if message is None or (isinstance(message, HttpResponse) and message.interim):
            self._begin(stream, from_client, fields, cut, out)
        else:
            message.trailers = fields
        message = self._open.get((stream, from_client))
        if ends and message is not None:
            self._finish(stream, from_client, message.incomplete_reason, out)

    # ------------------------------------------------------------------------------------------------------ messages

    def _begin(
        self, stream: int, from_client: bool, fields: list[tuple[str, str]], cut: bool, out: list[Message]
    ) -> None:
        pseudo = {name: value for name, value in fields if name.startswith(":")}
        plain = [(name, value) for name, value in fields if not name.startswith(":")]
        if ":authority" in pseudo and from_client:
            plain.insert(0, ("host", pseudo[":authority"]))
        message: HttpRequest | HttpResponse
        message, line = self._request(stream, pseudo) if from_client else self._response(stream, pseudo)
        message.summary = message.summary.strip()
        message.version, message.stream_id, message.framing, message.head_cut = "2", stream, "stream", cut
        message.parsed = plain
        text = "".join(f"{name}: {value}\r\n" for name, value in plain)
        message.head = f"{line}\r\n{text}\r\n".encode("utf-8", "replace")
        length = message.header("content-length") or ""
        message.declared_length = int(length) if length.isdigit() and len(length) < 19 else None
        if isinstance(message, HttpResponse) and message.interim:
            message.complete = True
            out.append(message)
            return
        if len(self._open) < _STREAMS:
            self._open[stream, from_client] = message

    def _request(self, stream: int, pseudo: dict[str, str]) -> tuple[HttpRequest, str]:
        """The request, and its first line as HTTP/1.1 would write it."""
        method, target = pseudo.get(":method", "?"), pseudo.get(":path", pseudo.get(":authority", "?"))
        message = HttpRequest(*self._common(stream, True), request_summary(method, target), False)
        message.method, message.target = method, target
        if len(self._asked) < _STREAMS:
            self._asked[stream] = message
        return message, f"{method} {target} HTTP/2"

    def _response(self, stream: int, pseudo: dict[str, str]) -> tuple[HttpResponse, str]:
        """The same for an answer."""
        status = pseudo.get(":status", "")
        message = HttpResponse(*self._common(stream, False), request_summary(status or "?", ""), False)
        message.status = int(status) if status.isdigit() and len(status) == 3 else 0
        message.interim = 100 <= message.status < 200
        message.request = self._asked.get(stream)
        if message.request is not None and not message.interim:
            self._asked.pop(stream, None)
            message.request.answered = True
        return message, f"HTTP/2 {status}"

    def _common(self, stream: int, from_client: bool) -> tuple[str, str, str, int | None, None]:
        start = times(self._first.get((stream, from_client)), None)[0]
        return "http2", self.socket.uid, direction(self.socket, from_client), start, None

    def _finish(self, stream: int, from_client: bool, reason: str, out: list[Message]) -> None:
        message = self._open.pop((stream, from_client))
        first = self._first.pop((stream, from_client), None)
        buffer = self.client if from_client else self.server
        message.end_ns = None if buffer.last is None else returned_ns(buffer.last)
        message.events = span(first, buffer.last)
        message.complete, message.incomplete_reason = not reason, reason
        if message.body is not None:
            message.received_length = message.body.received
            message.body.complete = not reason
            message.body.ended = reason in ENDING
        out.append(message)
        if isinstance(message, HttpResponse):
            status = grpc_status(message)
            if status is not None:
                out.append(status)

    def _given_up(
        self, by_client: bool, kind: str, stream: int, payload: bytes, event: Transfer | None, out: list[Message]
    ) -> None:
        code = int.from_bytes(payload[:4], "big")
        name = ERRORS[code] if code < len(ERRORS) else f"0x{code:x}"
        if kind == "rst-stream":
            for side in (True, False):
                message = self._open.get((stream, side))
                if message is not None:
                    message.detail = f"{'client' if by_client else 'server'} reset the stream: {name}"
                    self._finish(stream, side, "rst-stream", out)
            self._asked.pop(stream, None)
        start, end = times(event, event)
        debug = printable(payload[4:])
        out.append(
            Http2Error(
                *("http2", self.socket.uid, direction(self.socket, by_client), start, end),
                summary=f"{kind} {name} stream {stream} {debug}".strip(),
                complete=True,
                events=span(event, event),
                kind=kind,
                stream_id=stream,
                code=code,
                name=name,
                debug=debug,
                by_client=by_client,
            )
        )


def _plausible(header: bytes) -> bool:
    """Could a frame begin like this? Sizes and stream numbers have to fit the type."""
    if len(header) < _HEADER:
        return header[:1] in (b"", b"\0") and (len(header) < 4 or header[3] <= 0x10)
    length, kind = int.from_bytes(header[:3], "big"), header[3]
    stream = int.from_bytes(header[5:9], "big")
    if length > _FRAME_LIMIT or kind > 0x10 or stream >= 1 << 31:
        return False
    if kind in (SETTINGS, PING, GOAWAY) and stream:
        return False
    if kind in (DATA, HEADERS, RST_STREAM, PRIORITY, CONTINUATION, PUSH_PROMISE) and not stream:
        return False
    return length == _FIXED.get(kind, length) and not (kind == SETTINGS and length % 6)


def _unpadded(payload: bytes, flags: int, skip: int) -> bytes:
    """A HEADERS payload without padding and priority."""
    if flags & _PADDED and payload:
        payload = payload[1 : len(payload) - payload[0]] if payload[0] < len(payload) else b""
    return payload[skip:]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
