"""MQTT 3.1, 3.1.1 and 5.0: who connects, what it publishes and subscribes to, and what the broker refuses."""

from __future__ import annotations

from systrace.decoders import decoder
from systrace.decoders.dialogue import FramedDialogue, both
from systrace.messages.replies import Reply, Request, ServerError, brief
from systrace.model import Message, Socket, Transfer

LARGEST = 268_435_455  # bytes: four digits of seven bits (3.1.1, 2.2.3)
_TYPES = ("", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE",
          "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH")  # fmt: skip
_ANSWERS = {"CONNACK": "CONNECT", "PUBACK": "PUBLISH", "PUBREC": "PUBLISH", "PUBCOMP": "PUBREL", "SUBACK": "SUBSCRIBE",
            "UNSUBACK": "UNSUBSCRIBE", "PINGRESP": "PINGREQ"}  # fmt: skip
_BY_CLIENT = frozenset(("CONNECT", "SUBSCRIBE", "UNSUBSCRIBE", "PINGREQ"))
_BY_SERVER = frozenset(("CONNACK", "SUBACK", "UNSUBACK", "PINGRESP"))
_VERSIONS = {3: "3.1", 4: "3.1.1", 5: "5.0"}
_REFUSALS = {  # of a CONNECT, before 5.0 (3.1.1, 3.2.2.3)
    1: "UNACCEPTABLE_PROTOCOL_VERSION", 2: "IDENTIFIER_REJECTED", 3: "SERVER_UNAVAILABLE", 4: "BAD_USER_NAME_OR_PASSWORD",
    5: "NOT_AUTHORIZED",
}  # fmt: skip
_REASONS = {  # of 5.0 (2.4), those that refuse
    0x80: "UNSPECIFIED_ERROR", 0x81: "MALFORMED_PACKET", 0x82: "PROTOCOL_ERROR", 0x83: "IMPLEMENTATION_SPECIFIC_ERROR",
    0x84: "UNSUPPORTED_PROTOCOL_VERSION", 0x85: "CLIENT_IDENTIFIER_NOT_VALID", 0x86: "BAD_USER_NAME_OR_PASSWORD",
    0x87: "NOT_AUTHORIZED", 0x88: "SERVER_UNAVAILABLE", 0x89: "SERVER_BUSY", 0x8A: "BANNED", 0x8B: "SERVER_SHUTTING_DOWN",
    0x8C: "BAD_AUTHENTICATION_METHOD", 0x8D: "KEEP_ALIVE_TIMEOUT", 0x8E: "SESSION_TAKEN_OVER", 0x8F: "TOPIC_FILTER_INVALID",
    0x90: "TOPIC_NAME_INVALID", 0x91: "PACKET_IDENTIFIER_IN_USE", 0x92: "PACKET_IDENTIFIER_NOT_FOUND",
    0x93: "RECEIVE_MAXIMUM_EXCEEDED", 0x94: "TOPIC_ALIAS_INVALID", 0x95: "PACKET_TOO_LARGE", 0x96: "MESSAGE_RATE_TOO_HIGH",
    0x97: "QUOTA_EXCEEDED", 0x98: "ADMINISTRATIVE_ACTION", 0x99: "PAYLOAD_FORMAT_INVALID", 0x9A: "RETAIN_NOT_SUPPORTED",
    0x9B: "QOS_NOT_SUPPORTED", 0x9C: "USE_ANOTHER_SERVER", 0x9D: "SERVER_MOVED", 0x9E: "SHARED_SUBSCRIPTIONS_NOT_SUPPORTED",
    0x9F: "CONNECTION_RATE_EXCEEDED", 0xA0: "MAXIMUM_CONNECT_TIME", 0xA1: "SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED",
    0xA2: "WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED",
}  # fmt: skip
_JOB = b"\x00\x03job"


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first, len(body))) + body


_CONNECT = _packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c" + _JOB)
_CONNECT5 = _packet(0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + _JOB)


@decoder
class Mqtt(FramedDialogue):
    """One connection to a broker."""

    name = "mqtt"
    EVENTS = frozenset({"SUBSCRIBE"})
    ports = frozenset({1883})
    header = 5

    EXAMPLES = (
        (
            _CONNECT + _packet(0x32, b"\x00\x06shop/a\x00\x01on"),
            _packet(0x20, b"\x00\x00") + _packet(0x40, b"\x00\x01"),
            ["CONNECT 3.1.1, client job", "PUBLISH shop/a", "CONNACK", "PUBACK"],
        ),
        (_CONNECT, _packet(0x20, b"\x00\x05"), ["CONNECT 3.1.1, client job", "CONNACK 5 NOT_AUTHORIZED"]),
        (
            _CONNECT5 + _packet(0x82, b"\x00\x01\x00\x00\x06shop/#\x00"),
            _packet(0x20, b"\x00\x00\x00") + _packet(0x90, b"\x00\x01\x00\x87") + _packet(0xE0, b"\x8b\x00"),
            [
                "CONNECT 5.0, client job", "SUBSCRIBE shop/#", "CONNACK", "SUBACK 0x87 NOT_AUTHORIZED",
                "DISCONNECT 0x8b SERVER_SHUTTING_DOWN",
            ],
        ),
    )  # fmt: skip
    NOT_ME = (
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (_CONNECT, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (_CONNECT, b"\x15\x03\x01\x00\x02\x02\x16"),
        (b"", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        (b"\x10\x00\x00\x00\x08\x00\x04MQTT\x04", b""),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._version = 4

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_client_score(client) if client else None, _server_score(server) if server else None)

    def frame_size(self, from_client: bool, head: bytes) -> int:
        """See `FramedDialogue.frame_size`."""
        if not head:
            return 0
        name, flags = _TYPES[head[0] >> 4], head[0] & 15
        strange = flags & 6 == 6 if name == "PUBLISH" else flags != 2 * (name in ("PUBREL", "SUBSCRIBE", "UNSUBSCRIBE"))
        if not name or strange or name in (_BY_SERVER if from_client else _BY_CLIENT):
            return -1
        length, digits = _length(head[1:5])
        if not digits:
            return 0 if len(head) < 5 else -1
        return 1 + digits + length

    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """See `FramedDialogue.frame`."""
        name, qos = _TYPES[data[0] >> 4], data[0] >> 1 & 3
        body = data[1 + _length(data[1:5])[1] :]
        if name == "CONNECT":
            out.append(self._connect(body, first))
        elif name == "PUBLISH":
            topic = brief(_text(body), 60)
            if from_client:
                out.append(self.ask(first, f"PUBLISH {topic}", name, qos > 0))
            else:
                out.append(self.make(Reply, False, first, f"PUBLISH {topic}"))
        elif from_client:
            self._said(name, body, first, out)
        elif name in _ANSWERS or name in ("DISCONNECT", "AUTH"):
            self._answered(name, body, len(data) == size, first, out)

    def _connect(self, body: bytes, first: Transfer | None) -> Request:
        rest = body[2 + len(_text(body)) :]
        self._version = rest[0] if rest else 4
        at = 4
        if self._version == 5:
            length, digits = _length(rest[4:8])
            at += digits + length
        client = brief(_text(rest[at:]), 40)
        version = _VERSIONS.get(self._version, str(self._version))
        return self.ask(first, f"CONNECT {version}" + (f", client {client}" if client else ""), "CONNECT")

    def _said(self, name: str, body: bytes, first: Transfer | None, out: list[Message]) -> None:
        """What the client says beside CONNECT and PUBLISH; its acknowledgements are no messages of their own."""
        if name in ("SUBSCRIBE", "UNSUBSCRIBE"):
            at = 2
            if self._version == 5:
                length, digits = _length(body[2:6])
                at += digits + length
            out.append(self.ask(first, f"{name} {brief(_text(body[at:]), 60)}", name))
        elif name in ("PINGREQ", "PUBREL"):
            out.append(self.ask(first, name, name))
        elif name == "DISCONNECT":
            out.append(self.ask(first, name, name, wants_answer=False))

    def _answered(self, name: str, body: bytes, whole: bool, first: Transfer | None, out: list[Message]) -> None:
        code = _code(name, body, self._version) if whole else 0
        table = _REFUSALS if name == "CONNACK" and code < 0x80 else _REASONS
        if (code >= 0x80 or (name == "CONNACK" and code)) or (name == "DISCONNECT" and code in _REASONS):
            shown, text = hex(code) if code >= 0x80 else str(code), table.get(code, "REFUSED")
            reply: Reply = self.make(ServerError, False, first, f"{name} {shown} {text}")
            reply.code, reply.text = shown, text
        else:
            reply = self.make(Reply, False, first, name)
        asked = next((request for request in self.pending if request.verb == _ANSWERS.get(name)), None)
        if asked is not None:
            self.pending.remove(asked)
            self.pending.appendleft(asked)
            self.answer(reply)
        out.append(reply)


def _length(digits: bytes) -> tuple[int, int]:
    """(value, bytes that it takes) of a number in digits of seven bits, the lowest first; (0, 0) while it is not whole."""
    value = 0
    for index, digit in enumerate(digits[:4]):
        value |= (digit & 0x7F) << 7 * index
        if digit < 0x80:
            return value, index + 1
    return 0, 0


def _text(data: bytes) -> bytes:
    """A string: two bytes of length."""
    return data[2 : 2 + int.from_bytes(data[:2], "big")]


def _code(name: str, body: bytes, version: int) -> int:
    """The return or reason code; of several, the first that refuses; 0 where there is none."""
    if name == "CONNACK":
        return body[1] if len(body) > 1 else 0
    if name in ("SUBACK", "UNSUBACK"):
        codes = body[2:]
        if version == 5:
            length, digits = _length(codes[:4])
            codes = codes[digits + length :]
        return next((code for code in codes if code >= 0x80), 0)
    if version < 5:
        return 0
    if name in ("DISCONNECT", "AUTH"):
        return body[0] if body else 0
    return body[2] if len(body) > 2 else 0


def _client_score(head: bytes) -> int:
    if head[:1] != b"\x10":
        return 0
    length, digits = _length(head[1:5])
    if not digits:
        return 30 if len(head) < 5 else 0
    rest = head[1 + digits :]
    for name, levels in ((b"\x00\x04MQTT", (4, 5)), (b"\x00\x06MQIsdp", (3,))):
        if rest[: len(name)] == name[: len(rest)] and length >= len(name) + 6:
            known = len(rest) > len(name)
            return 30 if len(rest) < len(name) else 99 if not known or rest[len(name)] & 0x7F in levels else 0
    return 0


def _server_score(head: bytes) -> int:
    """A CONNACK: the broker says nothing before it."""
    if head[:1] != b"\x20":
        return 0
    if len(head) < 4:
        return 30
    length, digits = _length(head[1:5])
    if not digits or len(head) < 3 + digits:
        return 30 if digits and length >= 2 else 0
    flags, code = head[1 + digits], head[2 + digits]
    if length < 2 or flags > 1 or (length == 2 and code > 5 and code not in _REASONS):
        return 0
    return 50
