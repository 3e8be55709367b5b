"""AMQP 0-9-1 (its specification, and RabbitMQ's extensions); of AMQP 1.0 only that it is spoken."""

from __future__ import annotations

import struct

from systrace.decoders import decoder
from systrace.decoders.dialogue import FramedDialogue, both, unfinished, words
from systrace.messages.replies import Greeting, Reply, ServerError, brief
from systrace.model import Message, Socket, Transfer

LARGEST = 128 << 20  # bytes of a frame; RabbitMQ offers 128 KiB
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
_CLASSES = {10: "connection", 20: "channel", 40: "exchange", 50: "queue", 60: "basic", 85: "confirm", 90: "tx"}
_METHODS = {
    (10, 10): "start",
    (10, 11): "start-ok",
    (10, 20): "secure",
    (10, 21): "secure-ok",
    (10, 30): "tune",
    (10, 31): "tune-ok",
    (10, 40): "open",
    (10, 41): "open-ok",
    (10, 50): "close",
    (10, 51): "close-ok",
    (10, 60): "blocked",
    (10, 61): "unblocked",
    (20, 10): "open",
    (20, 11): "open-ok",
    (20, 20): "flow",
    (20, 21): "flow-ok",
    (20, 40): "close",
    (20, 41): "close-ok",
    (40, 10): "declare",
    (40, 11): "declare-ok",
    (50, 10): "declare",
    (50, 11): "declare-ok",
    (50, 20): "bind",
    (50, 21): "bind-ok",
    (50, 30): "purge",
    (50, 31): "purge-ok",
    (50, 40): "delete",
    (50, 41): "delete-ok",
    (60, 10): "qos",
    (60, 11): "qos-ok",
    (60, 20): "consume",
    (60, 21): "consume-ok",
    (60, 30): "cancel",
    (60, 31): "cancel-ok",
    (60, 40): "publish",
    (60, 50): "return",
    (60, 60): "deliver",
    (60, 70): "get",
    (60, 71): "get-ok",
    (60, 72): "get-empty",
    (60, 80): "ack",
    (60, 90): "reject",
    (60, 120): "nack",
    (85, 10): "select",
    (85, 11): "select-ok",
    (90, 10): "select",
    (90, 11): "select-ok",
    (90, 20): "commit",
    (90, 21): "commit-ok",
    (90, 30): "rollback",
    (90, 31): "rollback-ok",
}
_ANSWERS = {(10, 10): "AMQP", (10, 20): "connection.start-ok", (10, 30): "connection.start-ok"}  # to what
_ASKS = {(10, 11), (10, 21)} | {key for key in _METHODS if _METHODS.get((key[0], key[1] + 1), "")[-3:] == "-ok"}


def _method(channel: int, group: int, method: int, arguments: bytes = b"") -> bytes:
    body = struct.pack(">HH", group, method) + arguments
    return struct.pack(">BHI", METHOD, channel, len(body)) + body + b"\xce"


_START = _method(0, 10, 10, b"\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US")


@decoder
class Amqp(FramedDialogue):
    """One connection."""

    name = "amqp"
    EVENTS = frozenset({"basic.consume"})
    ports = frozenset({5672})
    header = 8

    EXAMPLES = (
        (
            b"AMQP\x00\x00\x09\x01"
            + _method(0, 10, 11, b"\x00\x00\x00\x00\x05PLAIN")
            + _method(0, 10, 40, b"\x01/\x00\x00"),
            _START + _method(0, 10, 50, b"\x02\x12\x2fNOT_ALLOWED - access to vhost '/' refused for u\x00\x0a\x00\x28"),
            [
                "AMQP 0-9-1",
                "connection.start-ok",
                "connection.open /",
                "connection.start",
                "connection.close 530 NOT_ALLOWED - access to vhost '/' refused for u",
            ],
        ),
        (
            b"AMQP\x00\x00\x09\x01",
            b"AMQP\x00\x00\x08\x00",
            ["AMQP 0-9-1", "refused: server speaks AMQP 0-8-0"],
        ),
        (
            b"AMQP\x00\x00\x09\x01" + _method(1, 50, 10, b"\x00\x00\x04jobs\x01\x00\x00\x00\x00"),
            _START + _method(1, 20, 40, b"\x01\x94\x10NOT_FOUND - jobs\x00\x32\x00\x0a"),
            ["AMQP 0-9-1", "queue.declare jobs", "connection.start", "channel.close 404 NOT_FOUND - jobs"],
        ),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: mq\r\n\r\n", b""),
        (b"AMQP\x00\x00\x09\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        (b"\x01\x00\x00\x00\x00\x00\x04abcd\x00", b""),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._unknown: set[bool] = set()  # sides that speak AMQP 1.0
        self._publishing: list[int] = [0, 0]  # body bytes declared, and so far
        self._delivering: list[int] = [0, 0]

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_score(client) if client else None, _score(server) if server else None)

    def frame_size(self, from_client: bool, head: bytes) -> int:
        """See `FramedDialogue.frame_size`."""
        if head[:4] == b"AMQP"[: len(head)]:
            return 8 if len(head) == 8 else 0
        if len(head) < 7:
            return 0 if head[:1] in (b"\x01", b"\x02", b"\x03", b"\x08", b"") else -1
        size = int.from_bytes(head[3:7], "big")
        return size + 8 if head[0] in (METHOD, HEADER, BODY, HEARTBEAT) and size <= LARGEST else -1

    def begins(self, from_client: bool, head: bytes) -> bool:
        """See `FramedDialogue.begins`."""
        return _score(head) >= 60

    def opaque(self, from_client: bool) -> bool:
        """See `FramedDialogue.opaque`."""
        return from_client in self._unknown

    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """See `FramedDialogue.frame`."""
        if data[:4] == b"AMQP":
            self._protocol(from_client, data, first, out)
        elif data[:1] == b"\x01" and len(data) >= 11:
            group, method = struct.unpack_from(">HH", data, 7)
            self._method(from_client, (group, method), data[11:-1] if len(data) == size else data[11:], first, out)
        elif data[:1] == b"\x01" and len(data) < size:
            self.hid(from_client, out)
        else:
            count = self._publishing if from_client else self._delivering
            if data[:1] == b"\x02" and len(data) >= 19:
                count[:] = [int.from_bytes(data[11:19], "big"), 0]
            elif data[:1] == b"\x03":
                count[1] += size - 8

    def _protocol(self, from_client: bool, data: bytes, first: Transfer | None, out: list[Message]) -> None:
        """A protocol header: what the client speaks, or the server's refusal with what it would speak."""
        version = "-".join(str(number) for number in data[5:8])
        old = data[4:6] == b"\x00\x00"
        text = f"AMQP {version}" if old else f"AMQP 1.0 ({['plain', '?', 'TLS', 'SASL'][min(data[4], 3)]})"
        if not old:
            self._unknown.add(from_client)
        if from_client:
            out.append(self.ask(first, text, "AMQP"))
        elif old or True not in self._unknown:
            error = self.make(ServerError, False, first, f"refused: server speaks {text}")
            error.code, error.text = "version", text
            self.answer(error)
            out.append(error)
        else:
            self.answer(reply := self.make(Reply, False, first, text))
            out.append(reply)

    def _method(
        self, from_client: bool, key: tuple[int, int], rest: bytes, first: Transfer | None, out: list[Message]
    ) -> None:
        name = f"{_CLASSES.get(key[0], key[0])}.{_METHODS.get(key, key[1])}"
        if from_client:
            request = self.ask(first, brief(f"{name} {_subject(key, rest)}").strip(), name, key in _ASKS)
            if key in ((10, 50), (20, 40)) and len(rest) > 3:
                request.summary = brief(f"{name} {_refusal(rest)[0]} {_refusal(rest)[1]}")
            out.append(request)
        elif key in ((10, 50), (20, 40), (60, 50)) and len(rest) >= 3:
            code, text = _refusal(rest)
            error = self.make(ServerError, False, first, f"{name} {code} {brief(text, 180)}")
            error.code, error.text = code, text
            if key != (60, 50):
                self.answer(error)
            out.append(error)
        elif key == (10, 60):
            error = self.make(ServerError, False, first, f"{name}: {brief(_short(rest), 150)}")
            error.code, error.text = "blocked", words(_short(rest))
            out.append(error)
        else:
            kind = Greeting if key == (10, 10) else Reply
            reply = self.make(kind, False, first, name)
            self._pair(_ANSWERS.get(key) or name.removesuffix("-ok").removesuffix("-empty"), reply)
            out.append(reply)

    def _pair(self, asked: str, reply: Reply) -> None:
        """Methods answer the one that they are named after; others may be asked without wanting an answer."""
        for request in self.pending:
            if request.verb == asked:
                self.pending.remove(request)
                self.pending.appendleft(request)
                self.answer(reply)
                return

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `FramedDialogue.unfinished`."""
        declared, got = self._publishing if from_client else self._delivering
        if got < declared:
            text = f"message body: {got} of {declared} bytes"
            out.append(unfinished(self.make(Reply, from_client, None, text), how, declared, got))


def _short(data: bytes) -> bytes:
    """A short string: one byte of length."""
    return data[1 : 1 + data[0]] if data else b""


def _refusal(rest: bytes) -> tuple[str, str]:
    """(code, text) of close and return."""
    return str(int.from_bytes(rest[:2], "big")), words(_short(rest[2:]))


def _subject(key: tuple[int, int], rest: bytes) -> str:
    """What a method is about: the virtual host, the queue, the exchange and routing key."""
    if key == (10, 40):
        return brief(_short(rest), 40)
    if key[0] in (40, 50, 60) and key[1] in (10, 20, 30, 40, 70) and key not in ((60, 10), (60, 30)):
        name = _short(rest[2:])
        if key == (60, 40):
            return brief(name, 25) + "/" + brief(_short(rest[3 + len(name) :]), 25)
        return brief(name, 50)
    return ""


def _score(head: bytes) -> int:
    if head[:4] == b"AMQP":
        return 99 if len(head) < 8 or head[4] in (0, 2, 3) else 0
    if b"AMQP".startswith(head):
        return 30
    if len(head) < 11:
        return 25 if head[:1] == b"\x01" else 0
    size = int.from_bytes(head[3:7], "big")
    if head[0] != METHOD or struct.unpack_from(">HH", head, 7) not in _METHODS or size > 1 << 20:
        return 0
    if len(head) >= size + 8:
        return 94 if head[size + 7] == 0xCE else 0
    return 85
