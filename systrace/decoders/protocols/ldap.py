"""LDAP (RFC 4511): BER messages, of which the outer structure is enough."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from systrace.decoders import decoder
from systrace.decoders.dialogue import FramedDialogue, both, unfinished, words
from systrace.messages.replies import Reply, Request, ServerError, brief
from systrace.model import Message, Socket, Transfer

LARGEST = 256 << 20  # bytes of a message; servers accept 0.25 to 10 MB, entries may be larger
START_TLS = b"1.3.6.1.4.1.1466.20037"
_GOOD = frozenset({0, 5, 6, 10, 14})  # success, compareFalse, compareTrue, referral, saslBindInProgress
_REQUESTS = {
    0x60: "bind",
    0x42: "unbind",
    0x63: "search",
    0x66: "modify",
    0x68: "add",
    0x4A: "delete",
    0x6C: "rename",
    0x6E: "compare",
    0x50: "abandon",
    0x77: "extended",
}
_RESULTS = {
    0x61: "bind",
    0x65: "search",
    0x67: "modify",
    0x69: "add",
    0x6B: "delete",
    0x6D: "rename",
    0x6F: "compare",
    0x78: "extended",
}
_PARTS = {0x64: "entry", 0x73: "reference", 0x79: "intermediate response"}
_CODES = {
    1: "operationsError",
    2: "protocolError",
    3: "timeLimitExceeded",
    4: "sizeLimitExceeded",
    7: "authMethodNotSupported",
    8: "strongerAuthRequired",
    11: "adminLimitExceeded",
    13: "confidentialityRequired",
    16: "noSuchAttribute",
    19: "constraintViolation",
    20: "attributeOrValueExists",
    21: "invalidAttributeSyntax",
    32: "noSuchObject",
    34: "invalidDNSyntax",
    48: "inappropriateAuthentication",
    49: "invalidCredentials",
    50: "insufficientAccessRights",
    51: "busy",
    52: "unavailable",
    53: "unwillingToPerform",
    65: "objectClassViolation",
    68: "entryAlreadyExists",
    80: "other",
}


class Element(NamedTuple):
    """One BER element: its tag, what is known of its content, its declared length, the offset after it."""

    tag: int
    content: bytes
    length: int
    end: int


@decoder
class Ldap(FramedDialogue):
    """One connection."""

    name = "ldap"
    ports = frozenset({389, 3268})
    header = 8

    EXAMPLES = (
        (
            b"\x30\x1b\x02\x01\x01\x60\x16\x02\x01\x03\x04\x0bcn=job,dc=x\x80\x04s3cr\x30\x05\x02\x01\x02\x42\x00",
            b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00",
            ["bind as cn=job,dc=x", "unbind", "bind: 49 invalidCredentials"],
        ),
        (
            b"\x30\x29\x02\x01\x02\x63\x24\x04\x04dc=x\x0a\x01\x02\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00"
            b"\x87\x0bobjectClass\x30\x00",
            b"",
            ["search dc=x"],
        ),
        (
            b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",
            b"\x30\x1c\x02\x01\x01\x61\x17\x0a\x01\x35\x04\x00\x04\x10shutting down...",
            ["bind", "bind: 53 unwillingToPerform: shutting down..."],
        ),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: dir\r\n\r\n", b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), b""),
        (b"0123456789", b""),
        (b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._requests: OrderedDict[int, Request] = OrderedDict()
        self._parts: dict[int, int] = {}  # message id -> entries so far
        self._starts_tls: set[int] = set()

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        asked = _score(client, _REQUESTS) if client else None
        return both(asked, _score(server, {**_RESULTS, **_PARTS}) if server else None)

    def frame_size(self, from_client: bool, head: bytes) -> int:
        """See `FramedDialogue.frame_size`."""
        if not head:
            return 0
        if head[0] != 0x30:
            return -1
        outer = _element(head, 0)
        if outer is None:
            return 0 if len(head) < 6 else -1
        return outer.end if outer.end <= LARGEST else -1

    def begins(self, from_client: bool, head: bytes) -> bool:
        """See `FramedDialogue.begins`."""
        return _score(head, _REQUESTS if from_client else {**_RESULTS, **_PARTS}) >= 60

    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """See `FramedDialogue.frame`."""
        outer = _element(data, 0)
        number = _element(outer.content, 0) if outer else None
        operation = _element(outer.content, number.end) if outer and number else None
        if number is None or operation is None or number.tag != 2:
            if not from_client:
                self.settle_all()  # a hole
            return
        identity = int.from_bytes(number.content, "big")
        if from_client:
            self._request(identity, operation, first, out)
        else:
            self._response(identity, operation, first, out)

    def _request(self, identity: int, operation: Element, first: Transfer | None, out: list[Message]) -> None:
        name = _REQUESTS.get(operation.tag, f"operation {operation.tag:#x}")
        about = operation.content if operation.tag in (0x4A, 0x42, 0x50) else b""
        part = _element(operation.content, 0)
        if operation.tag == 0x60 and part is not None:
            part = _element(operation.content, part.end)  # after the version
            name = "bind as" if part is not None and part.content else "bind"
        if operation.tag & 0x20 and part is not None:
            about = part.content
        if operation.tag == 0x77:
            name = "StartTLS" if about == START_TLS else "extended"
            about = b"" if about == START_TLS else about
            if name == "StartTLS":
                self._starts_tls.add(identity)
                self.waits = True
        if operation.tag in (0x42, 0x50):
            about = b""
        request = self.make(Request, True, first, f"{name} {brief(about, 60)}".strip())
        request.verb = _REQUESTS.get(operation.tag, "")
        request.wants_answer = operation.tag not in (0x42, 0x50)
        if request.wants_answer:
            self._requests[identity] = request
            if len(self._requests) > 1000:
                self._requests.popitem(last=False)
        out.append(request)

    def _response(self, identity: int, operation: Element, first: Transfer | None, out: list[Message]) -> None:
        if operation.tag in _PARTS:
            self._parts[identity] = self._parts.get(identity, 0) + 1
            return
        reply: Reply
        code_part = _element(operation.content, 0)
        matched = _element(operation.content, code_part.end) if code_part else None
        text_part = _element(operation.content, matched.end) if matched else None
        if operation.tag not in _RESULTS:
            return
        entries = self._parts.pop(identity, 0)
        if code_part is None or len(code_part.content) < code_part.length:  # a hole
            reply = self.make(Reply, False, first, f"{_RESULTS[operation.tag]}: answered")
            self._pair(identity, reply)
            out.append(reply)
            return
        code = int.from_bytes(code_part.content, "big")
        text = words(text_part.content) if text_part else ""
        name = _RESULTS[operation.tag]
        if code in _GOOD:
            more = f" ({entries} entr{'ies' if entries != 1 else 'y'})" if operation.tag == 0x65 else ""
            reply = self.make(Reply, False, first, f"{name}: {'success' if not code else f'result {code}'}{more}")
        else:
            said = f"{name}: {code} {_CODES.get(code, '')}".strip() + (f": {brief(text, 150)}" if text else "")
            reply = self.make(ServerError, False, first, said)
        reply.code, reply.text = str(code), text or _CODES.get(code, "")
        self._pair(identity, reply)
        out.append(reply)
        if identity in self._starts_tls:
            self.handed_over = code == 0
            self._starts_tls.discard(identity)
            self.release(out)

    def _pair(self, identity: int, reply: Reply) -> None:
        request = self._requests.pop(identity, None)
        if request is not None:
            reply.request, request.answered = request, True

    def settle_all(self) -> None:
        """See `Dialogue.settle_all`."""
        self._parts.clear()
        for request in self._requests.values():
            request.answered = True
        self._requests.clear()

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `FramedDialogue.unfinished`."""
        if from_client:
            return
        for identity, entries in self._parts.items():
            reply = self.make(Reply, False, self.server.last, f"search cut after {entries} entries: no result")
            reply.request = self._requests.get(identity)
            out.append(unfinished(reply, how, None, 0))
        self._parts.clear()


def _element(data: bytes, at: int) -> Element | None:
    """The element at `at`, None when its header is not known; of its content what is known."""
    if len(data) < at + 2:
        return None
    tag, length, at = data[at], data[at + 1], at + 2
    if length == 0x80 or length > 0x84:
        return None  # LDAP forbids indefinite lengths (RFC 4511 5.1)
    if length > 0x80:
        count = length - 0x80
        if len(data) < at + count:
            return None
        length, at = int.from_bytes(data[at : at + count], "big"), at + count
    return Element(tag, data[at : at + length], length, at + length)


def _score(head: bytes, operations: dict[int, str]) -> int:
    """How surely bytes begin an LDAP message with one of these operations."""
    if head[0] != 0x30:
        return 0
    outer = _element(head, 0)
    if outer is None:
        return 20 if len(head) < 6 else 0
    number = _element(outer.content, 0)
    if number is None or not outer.content[number.end :]:
        return 25 if outer.content[:1] in (b"", b"\x02") and len(head) < 10 else 0
    if number.tag != 2 or not 1 <= number.length <= 4 or outer.content[number.end] not in operations:
        return 0
    operation = _element(outer.content, number.end)
    if operation is not None and operation.end > outer.length:
        return 0
    return 92 if operation is not None else 60
