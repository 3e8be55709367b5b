"""MongoDB's wire protocol: OP_MSG, and OP_QUERY/OP_REPLY of old handshakes (MongoDB manual, "Wire Protocol")."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator

from systrace.decoders import decoder
from systrace.decoders.dialogue import FramedDialogue, both, words
from systrace.messages.replies import Reply, Request, ServerError, brief
from systrace.model import Message, Socket, Transfer

LARGEST = 48_000_000  # bytes: maxMessageSizeBytes
OP_REPLY, OP_QUERY, OP_COMPRESSED, OP_MSG = 1, 2004, 2012, 2013
_OLD = frozenset({2001, 2002, 2005, 2006, 2007})  # update, insert, get more, delete, kill cursors
_CODES = frozenset({OP_REPLY, OP_QUERY, OP_COMPRESSED, OP_MSG}) | _OLD
MORE_TO_COME = 2  # flag of OP_MSG: no answer is wanted, or another reply follows
_SIZES = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}

Value = str | int | float | bytes | None


def _document(**values: object) -> bytes:
    """A BSON document of strings, doubles and 32-bit integers; used by the examples."""
    body = b""
    for key, value in values.items():
        name = key.encode() + b"\x00"
        if isinstance(value, str):
            text = value.encode() + b"\x00"
            body += b"\x02" + name + struct.pack("<i", len(text)) + text
        else:
            body += b"\x01" + name + struct.pack("<d", value)
    return struct.pack("<i", len(body) + 5) + body + b"\x00"


def _op_msg(number: int, to: int, body: bytes) -> bytes:
    return struct.pack("<iiiiiB", len(body) + 21, number, to, OP_MSG, 0, 0) + body


_FIND = _op_msg(7, 0, _document(**{"find": "orders", "$db": "shop"}))
_FAILED = _document(ok=0.0, errmsg="command find requires authentication", code=13.0, codeName="Unauthorized")


@decoder
class MongoDb(FramedDialogue):
    """One connection."""

    name = "mongodb"
    ports = frozenset({27017, 27018, 27019})
    header = 16

    EXAMPLES = (
        (
            _FIND + _op_msg(8, 0, _document(**{"ping": 1.0, "$db": "admin"})),
            _op_msg(1, 7, _FAILED) + _op_msg(2, 8, _document(ok=1.0)),
            [
                "find orders (shop)",
                "ping (admin)",
                "find: 13 Unauthorized: command find requires authentication",
                "ping: ok",
            ],
        ),
        (_FIND, _op_msg(1, 7, _document(ok=1.0))[:25], ["find orders (shop)", "answer: 25 of 38 bytes"]),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: db:27017\r\n\r\n", b""),
        (_FIND, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"\x00\x00\x00\x10" + bytes(28), b""),
        (b"", b"-ERR unknown command\r\n"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._requests: OrderedDict[int, Request] = OrderedDict()

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_score(client, True) if client else None, _score(server, False) if server else None)

    def frame_size(self, from_client: bool, head: bytes) -> int:
        """See `FramedDialogue.frame_size`."""
        if len(head) < 16:
            return 0
        size = int.from_bytes(head[:4], "little")
        return size if 16 <= size <= LARGEST and int.from_bytes(head[12:16], "little") in _CODES else -1

    def begins(self, from_client: bool, head: bytes) -> bool:
        """See `FramedDialogue.begins`."""
        return _score(head, from_client) >= 60

    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """See `FramedDialogue.frame`."""
        if len(data) < 16:
            return
        number, to, code = struct.unpack_from("<iii", data, 4)
        flags = int.from_bytes(data[16:20], "little")
        values = dict(_elements(_body(code, data)))
        if from_client:
            self._request(number, code, flags, values, first, out)
        else:
            self._reply(to, code, flags, values, first, out)

    def _request(
        self, number: int, code: int, flags: int, values: dict[str, Value], first: Transfer | None, out: list[Message]
    ) -> None:
        name = next(iter(values), "")
        about = values.get(name)
        shown = f" {brief(about, 40)}" if isinstance(about, str) else ""
        database = values.get("$db")
        where = f" ({brief(database, 20)})" if isinstance(database, str) else ""
        kind = {OP_COMPRESSED: "compressed request", OP_MSG: "request", OP_QUERY: "query"}.get(code, "old request")
        request = self.make(Request, True, first, f"{brief(name, 20)}{shown}{where}" if name else kind)
        request.verb = brief(name, 20)
        request.wants_answer = code not in _OLD and not (code == OP_MSG and flags & MORE_TO_COME)
        if request.wants_answer:
            self._requests[number] = request
            if len(self._requests) > 1000:
                self._requests.popitem(last=False)
        out.append(request)

    def _reply(
        self, to: int, code: int, flags: int, values: dict[str, Value], first: Transfer | None, out: list[Message]
    ) -> None:
        more = code == OP_MSG and bool(flags & MORE_TO_COME)
        request = self._requests.get(to) if more else self._requests.pop(to, None)
        name = (request.verb if request else "") or "request"
        problem = _problem(values)
        reply: Reply
        if problem is None:
            ok = "ok" if "ok" in values else "answered" + (", compressed" if code == OP_COMPRESSED else "")
            reply = self.make(Reply, False, first, f"{name}: {ok}")
        else:
            number, label, text = problem
            reply = self.make(ServerError, False, first, f"{name}: {number} {label}: {brief(text, 150)}")
            reply.code, reply.text = number, words(text.encode())
        if request is not None:
            reply.request, request.answered = request, True
        out.append(reply)

    def settle_all(self) -> None:
        """See `Dialogue.settle_all`."""
        for request in self._requests.values():
            request.answered = True
        self._requests.clear()


def _problem(values: dict[str, Value]) -> tuple[str, str, str] | None:
    """(code, its name, text) of a refusal: `ok` is 0, or a write failed."""
    if values.get("ok") in (0, 0.0, False) and "ok" in values:
        code = values.get("code")
        number = str(int(code)) if isinstance(code, int | float) and code == code and abs(code) < 1e9 else ""
        return number, brief(str(values.get("codeName", "")), 40), str(values.get("errmsg", ""))
    failed = values.get("writeErrors")
    if isinstance(failed, bytes):
        inner = next((value for _, value in _elements(failed) if isinstance(value, bytes)), b"")
        fields = dict(_elements(inner))
        if "errmsg" in fields:
            return str(fields.get("code", "")), "writeErrors", str(fields["errmsg"])
    return None


def _body(code: int, data: bytes) -> bytes:
    """The first document of a message, as far as known."""
    if code == OP_MSG:
        return data[21:] if data[20:21] == b"\x00" else b""
    if code == OP_REPLY:
        return data[36:]
    if code == OP_QUERY:
        end = data.find(b"\x00", 20)
        return data[end + 9 :] if end >= 0 else b""
    return b""


def _elements(document: bytes) -> Iterator[tuple[str, Value]]:
    """(name, value) of a BSON document's elements, until its end, a hole or something unknown; documents as bytes."""
    at = 4
    while at < len(document) and document[at]:
        kind, end = document[at], document.find(b"\x00", at + 1)
        if end < 0:
            return
        name, at = brief(document[at + 1 : end], 60), end + 1
        size = _SIZES.get(kind, -1)
        if size < 0:
            if len(document) < at + 4:
                return
            length = int.from_bytes(document[at : at + 4], "little")
            size = length + {0x02: 4, 0x0D: 4, 0x0E: 4, 0x05: 5}.get(kind, 0)
            if kind not in (0x02, 0x03, 0x04, 0x05, 0x0D, 0x0E):
                return
        data = document[at : at + size]
        at += size
        if len(data) == size or kind in (0x02, 0x03, 0x04):
            yield name, _value(kind, data)


def _value(kind: int, data: bytes) -> Value:
    if kind == 0x01:
        return float(struct.unpack("<d", data)[0])
    if kind in (0x10, 0x12):
        return int.from_bytes(data, "little", signed=True)
    if kind == 0x08:
        return int(data != b"\x00")
    if kind == 0x02:
        return data[4:].rstrip(b"\x00").decode("utf-8", "replace")
    return data if kind in (0x03, 0x04) else None


def _score(head: bytes, client: bool) -> int:
    if len(head) < 16:
        return 15
    size, _, to, code = struct.unpack_from("<iiii", head)
    if code not in _CODES or not 16 <= size <= LARGEST:
        return 0
    answers = code == OP_REPLY or (to and code != OP_MSG)
    return 0 if client and answers else 95
