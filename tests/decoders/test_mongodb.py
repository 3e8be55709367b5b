"""MongoDB's messages, by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from systrace.decoders.protocols.mongodb import MORE_TO_COME, OP_COMPRESSED, OP_MSG, OP_QUERY, OP_REPLY, MongoDb
from systrace.messages.replies import Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]


def bson(*elements: tuple[str, object]) -> bytes:
    """A document of strings, integers, doubles, documents (as bytes) and truth values."""
    body = b""
    for name, value in elements:
        key = name.encode() + b"\0"
        if isinstance(value, bool):
            body += b"\x08" + key + bytes([value])
        elif isinstance(value, str):
            body += b"\x02" + key + struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
        elif isinstance(value, bytes):
            body += b"\x04" + key + value
        elif isinstance(value, int):
            body += b"\x10" + key + struct.pack("<i", value)
        else:
            body += b"\x01" + key + struct.pack("<d", value)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def op(code: int, number: int, to: int, body: bytes) -> bytes:
    """A message."""
    return struct.pack("<iiii", len(body) + 16, number, to, code) + body


def msg(number: int, to: int, document: bytes, flags: int = 0) -> bytes:
    """OP_MSG with one document."""
    return op(OP_MSG, number, to, struct.pack("<IB", flags, 0) + document)


FIND = msg(7, 0, bson(("find", "orders"), ("filter", bson(("a", 1))), ("$db", "shop")))


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (
            bson(("ok", 0.0), ("errmsg", "not primary"), ("code", 10107), ("codeName", "NotWritablePrimary")),
            "10107",
            "not primary",
        ),
        (bson(("errmsg", "auth failed"), ("ok", 0), ("code", 18.0)), "18", "auth failed"),
        (
            bson(
                ("n", 0),
                ("writeErrors", bson(("0", bson(("index", 0), ("code", 11000), ("errmsg", "E11000 duplicate"))))),
                ("ok", 1.0),
            ),
            "11000",
            "E11000 duplicate",
        ),
    ],
)
def test_refusals(talk: Talk, answer: bytes, code: str, text: str) -> None:
    asked, error = talk(MongoDb, [(True, FIND, 0), (False, msg(1, 7, answer), 0)])
    assert isinstance(error, ServerError)
    assert (error.code, error.text, error.request) == (code, text, asked)


def test_old_handshake(talk: Talk) -> None:
    query = struct.pack("<i", 0) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1) + bson(("isMaster", 1))
    reply = struct.pack("<iqii", 8, 0, 0, 1) + bson(("ismaster", True), ("ok", 1.0))
    messages = talk(MongoDb, [(True, op(OP_QUERY, 1, 0, query), 0), (False, op(OP_REPLY, 9, 1, reply), 0)])
    assert [m.summary for m in messages] == ["isMaster", "isMaster: ok"]


def test_no_answer_is_due(talk: Talk) -> None:
    (message,) = talk(MongoDb, [(True, msg(7, 0, bson(("insert", "log"), ("$db", "x")), MORE_TO_COME), 0)])
    assert isinstance(message, Request)
    assert not message.unanswered


def test_several_answers(talk: Talk) -> None:
    ok = bson(("ok", 1.0))
    messages = talk(MongoDb, [(True, FIND, 0), (False, msg(1, 7, ok, MORE_TO_COME) + msg(2, 7, ok), 0)])
    assert [m.summary for m in messages] == ["find orders (shop)", "find: ok", "find: ok"]


def test_compressed_messages_are_counted(talk: Talk) -> None:
    packed = struct.pack("<iiB", OP_MSG, 100, 2) + b"\x78\x9c"
    messages = talk(MongoDb, [(True, op(OP_COMPRESSED, 1, 0, packed), 0), (False, op(OP_COMPRESSED, 2, 1, packed), 0)])
    assert [m.summary for m in messages] == ["compressed request", "request: answered, compressed"]


def test_an_answer_with_a_hole(talk: Talk) -> None:
    answer = msg(1, 7, bson(("cursor", b"\x09\0\0\0x\0\0\0\0"), ("ok", 0.0), ("errmsg", "never shown")))
    for keep in range(16, 60):
        messages = talk(MongoDb, [(True, FIND, 0), (False, answer[:keep], len(answer) - keep)])
        assert isinstance(messages[0], Request)
        assert not messages[0].unanswered


def test_secrets_are_not_repeated(talk: Talk) -> None:
    (message,) = talk(MongoDb, [(True, msg(7, 0, bson(("saslStart", 1), ("payload", "hush"), ("$db", "admin"))), 0)])
    assert message.summary == "saslStart (admin)"
