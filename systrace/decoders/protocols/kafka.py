"""Kafka's protocol: requests and responses paired by correlation id, and the refusals in them."""

from __future__ import annotations

import struct
from collections import OrderedDict
from typing import NamedTuple

from systrace.decoders import decoder
from systrace.decoders.dialogue import FramedDialogue, words
from systrace.decoders.parts.kafka_fields import APIS, BENIGN, ERRORS, Fields, ShortError, refusal
from systrace.messages.replies import Reply, Request, ServerError, brief
from systrace.model import Message, Socket, Transfer

LARGEST = 104_857_600  # bytes: socket.request.max.bytes; responses may be larger only by configuration
HIGHEST_API, HIGHEST_VERSION = 100, 30
SASL_HANDSHAKE = 17


def _frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


_VERSIONS = _frame(struct.pack(">hhih", 18, 0, 1, 3) + b"job")
_METADATA = _frame(struct.pack(">hhih", 3, 0, 2, 3) + b"job" + struct.pack(">ih", 1, 6) + b"orders")


class _Head(NamedTuple):
    """The head of a request."""

    api: int
    version: int
    correlation: int
    client_id: str
    rest: bytes


@decoder
class Kafka(FramedDialogue):
    """One connection to one broker."""

    name = "kafka"
    ports = frozenset({9092, 9093, 9094, 19092, 29092})
    header = 4

    EXAMPLES = (
        (
            _VERSIONS + _METADATA,
            _frame(struct.pack(">ihi", 1, 0, 0))
            + _frame(struct.pack(">iiih", 2, 0, 1, 3) + struct.pack(">h", 6) + b"orders" + bytes(4)),
            [
                "ApiVersions v0, client job",
                "Metadata v0, client job",
                "ApiVersions: ok",
                "Metadata: 3 UNKNOWN_TOPIC_OR_PARTITION: orders",
            ],
        ),
        (
            _VERSIONS,
            _frame(struct.pack(">ihi", 1, 35, 0)),
            ["ApiVersions v0, client job", "ApiVersions: 35 UNSUPPORTED_VERSION"],
        ),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: kafka\r\n\r\n", b""),
        (_VERSIONS, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (_VERSIONS, b"\x15\x03\x03\x00\x02\x02\x50"),
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"N"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), b""),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._requests: OrderedDict[int, tuple[Request, int, int]] = OrderedDict()
        self._raw_sasl = False  # SaslHandshake 0: tokens without heads follow

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`; a response alone says too little."""
        if not client:
            return 20 if len(server) >= 8 and server[0] == 0 and _answer_fits(server, None) else 0
        asked = _client_score(client)
        if not server or not asked:
            return asked
        head = _head(client[4:])
        return asked if _answer_fits(server, head.correlation if head else None) else 0

    def frame_size(self, from_client: bool, head: bytes) -> int:
        """See `FramedDialogue.frame_size`."""
        if len(head) < 4:
            return 0 if head[:1] in (b"", b"\x00", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x06") else -1
        size = int.from_bytes(head, "big")
        return size + 4 if (size >= 4 or self._raw_sasl) and size <= LARGEST else -1

    def begins(self, from_client: bool, head: bytes) -> bool:
        """See `FramedDialogue.begins`."""
        if from_client:
            return _client_score(head) >= 60
        return len(head) >= 8 and int.from_bytes(head[4:8], "big", signed=True) in self._requests

    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """See `FramedDialogue.frame`."""
        if from_client:
            self._request(data[4:], first, out)
        else:
            self._response(data[4:], size, first, out)

    def _request(self, body: bytes, first: Transfer | None, out: list[Message]) -> None:
        head = _head(body)
        if head is None:
            if self._raw_sasl:
                out.append(self.ask(first, "authentication data", "SaslAuthenticate"))
            return
        name = APIS.get(head.api, f"api {head.api}")
        who = f", client {brief(head.client_id, 40)}" if head.client_id else ""
        request = self.make(Request, True, first, f"{name} v{head.version}{who}")
        request.verb = name
        self._raw_sasl = head.api == SASL_HANDSHAKE and head.version == 0
        request.wants_answer = not (head.api == 0 and _acknowledgements(head) == 0)
        if request.wants_answer:
            self._requests[head.correlation] = (request, head.api, head.version)
            if len(self._requests) > 1000:
                self._requests.popitem(last=False)
        out.append(request)

    def _response(self, body: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        correlation = int.from_bytes(body[:4], "big", signed=True)
        request, api, version = self._requests.pop(correlation, (None, -1, 0))
        if request is None:
            reply = self.make(Reply, False, first, f"answer of {size} bytes")
            self.answer(reply)
            out.append(reply)
            return
        problem = refusal(api, version, body[4:])
        if problem is None or problem[0] == 0 or problem[0] in BENIGN:
            reply = self.make(Reply, False, first, f"{request.verb}: {'ok' if problem else f'{size} bytes'}")
        else:
            code, text = problem
            label = ERRORS.get(code, "error")
            reply = self.make(ServerError, False, first, f"{request.verb}: {code} {label}{': ' if text else ''}{text}")
            reply.code, reply.text = str(code), words((text or label).encode())
        reply.request, request.answered = request, True
        out.append(reply)

    def settle_all(self) -> None:
        """See `Dialogue.settle_all`."""
        super().settle_all()
        for request, _, _ in self._requests.values():
            request.answered = True
        self._requests.clear()


def _head(body: bytes) -> _Head | None:
    """A request's head, None when these bytes are none (or are not all known)."""
    if len(body) < 10:
        return None
    api, version, correlation, length = struct.unpack_from(">hhih", body)
    if not (0 <= api <= HIGHEST_API and 0 <= version <= HIGHEST_VERSION and -1 <= length <= 255):
        return None
    name = body[10 : 10 + max(0, length)]
    if not name.isascii() or not name.decode("ascii").isprintable():
        return None
    return _Head(api, version, correlation, name.decode("ascii"), body[10 + max(0, length) :])


def _acknowledgements(head: _Head) -> int | None:
    """How many brokers a Produce request waits for: 0 means that no answer comes."""
    fields = Fields(head.rest, head.version >= 9)
    try:
        if fields.flexible:
            fields.take(1)  # no tags in the head
        if head.version >= 3:
            fields.string()  # transaction
        return fields.int16()
    except ShortError:
        return None


def _client_score(client: bytes) -> int:
    if len(client) < 14:
        return 20 if client[:1] == b"\x00" and len(client) < 6 else 0
    size, head = int.from_bytes(client[:4], "big"), _head(client[4:])
    if head is None or not 10 <= size <= LARGEST or len(head.client_id) + 10 > size:
        return 0
    if head.api not in APIS:
        return 45
    return 92 if head.client_id and head.correlation < 1 << 24 else 70


def _answer_fits(server: bytes, correlation: int | None) -> bool:
    """A sane length, and the correlation id of the first request."""
    if len(server) < 8:
        return len(server) < 4 or int.from_bytes(server[:4], "big") <= LARGEST
    size, number = struct.unpack_from(">ii", server)
    return 4 <= size <= LARGEST and (correlation is None or number == correlation)
