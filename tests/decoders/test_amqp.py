"""AMQP's frames, by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from systrace.decoders.protocols.amqp import Amqp
from systrace.messages.replies import Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]
HEADER = b"AMQP\x00\x00\x09\x01"


def frame(kind: int, channel: int, body: bytes) -> bytes:
    """A frame."""
    return struct.pack(">BHI", kind, channel, len(body)) + body + b"\xce"


def method(channel: int, group: int, number: int, rest: bytes = b"") -> bytes:
    """A method frame."""
    return frame(1, channel, struct.pack(">HH", group, number) + rest)


def text(value: bytes) -> bytes:
    """A short string."""
    return bytes([len(value)]) + value


START = method(0, 10, 10, bytes(30))
OPENING = [(True, HEADER, 0), (False, START, 0)]


@pytest.mark.parametrize(
    ("data", "summary", "code"),
    [
        (
            method(0, 10, 50, b"\x01\x40" + text(b"CONNECTION_FORCED - shutdown") + bytes(4)),
            "connection.close 320 CONNECTION_FORCED - shutdown",
            "320",
        ),
        (
            method(1, 20, 40, b"\x01\x93" + text(b"ACCESS_REFUSED") + bytes(4)),
            "channel.close 403 ACCESS_REFUSED",
            "403",
        ),
        (method(0, 10, 60, text(b"low on memory")), "connection.blocked: low on memory", "blocked"),
        (
            method(1, 60, 50, b"\x01\x38" + text(b"NO_ROUTE") + text(b"") + text(b"k")),
            "basic.return 312 NO_ROUTE",
            "312",
        ),
        (b"AMQP\x00\x01\x00\x00", "refused: server speaks AMQP 1.0 (plain)", "version"),
    ],
)
def test_refusals(talk: Talk, data: bytes, summary: str, code: str) -> None:
    error = talk(Amqp, [*OPENING, (False, data, 0)])[-1]
    assert isinstance(error, ServerError)
    assert (error.summary, error.code) == (summary, code)


def test_a_session(talk: Talk) -> None:
    said = [
        *OPENING,
        (True, method(0, 10, 11, bytes(4) + text(b"PLAIN") + b"\0\0\0\5\0hush"), 0),
        (False, method(0, 10, 30, bytes(8)), 0),
    ]
    said += [
        (True, method(0, 10, 31, bytes(8)) + method(0, 10, 40, text(b"/jobs") + b"\0\0"), 0),
        (False, method(0, 10, 41, b"\0"), 0),
    ]
    said += [(True, method(1, 20, 10, b"\0") + method(1, 60, 70, b"\0\0" + text(b"queue") + b"\0"), 0)]
    said += [(False, method(1, 20, 11, bytes(4)) + method(1, 60, 72, b"\0"), 0)]
    said += [
        (
            True,
            method(1, 60, 40, b"\0\0" + text(b"ex") + text(b"key") + b"\0")
            + frame(2, 1, b"\0\x3c\0\0" + struct.pack(">QH", 5, 0))
            + frame(3, 1, b"hello"),
            0,
        )
    ]
    messages = talk(Amqp, said)
    assert [m.summary for m in messages if isinstance(m, Request)] == [
        "AMQP 0-9-1", "connection.start-ok", "connection.tune-ok", "connection.open /jobs", "channel.open",
        "basic.get queue", "basic.publish ex/key",
    ]  # fmt: skip
    assert not any(m.unanswered for m in messages if isinstance(m, Request))
    assert all(m.complete for m in messages)


def test_a_message_that_breaks_off(talk: Talk) -> None:
    head = frame(2, 1, b"\0\x3c\0\0" + struct.pack(">QH", 500, 0))
    messages = talk(Amqp, [*OPENING, (False, method(1, 60, 60, bytes(9)) + head + frame(3, 1, b"hello"), 0)])
    assert messages[-1].summary == "message body: 5 of 500 bytes"


def test_an_open_that_is_not_answered(talk: Talk) -> None:
    messages = talk(Amqp, [*OPENING, (True, method(0, 10, 40, text(b"/") + b"\0\0"), 0)])
    assert isinstance(messages[-1], Request)
    assert messages[-1].unanswered


def test_amqp_1_is_left_alone(talk: Talk) -> None:
    said = [(True, b"AMQP\x03\x01\x00\x00", 0), (False, b"AMQP\x03\x01\x00\x00" + b"\0\0\0\x20\x02\x01" * 9, 0)]
    assert [m.summary for m in talk(Amqp, said)] == ["AMQP 1.0 (SASL)", "AMQP 1.0 (SASL)"]
