"""Kafka's messages, by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from systrace.decoders.parts.kafka_fields import refusal
from systrace.decoders.protocols.kafka import Kafka
from systrace.messages.replies import FramingError, Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]


def frame(body: bytes) -> bytes:
    """A message."""
    return struct.pack(">i", len(body)) + body


def request(api: int, version: int, number: int = 7, rest: bytes = b"") -> bytes:
    """A request of the client "job"."""
    return frame(struct.pack(">hhih", api, version, number, 3) + b"job" + rest)


def text(value: bytes) -> bytes:
    """A string."""
    return struct.pack(">h", len(value)) + value


def compact(value: bytes) -> bytes:
    """A string of the flexible versions."""
    return bytes([len(value) + 1]) + value


I16, I32 = struct.Struct(">h").pack, struct.Struct(">i").pack


@pytest.mark.parametrize(
    ("api", "version", "body", "expected"),
    [
        (18, 3, I16(35) + b"\1", (35, "")),
        (18, 0, I16(0) + I32(0), (0, "")),
        (17, 1, I16(33) + I32(0), (33, "")),
        (36, 0, I16(58) + text(b"Authentication failed") + I32(0), (58, "Authentication failed")),
        (36, 2, b"\0" + I16(58) + compact(b"no") + b"\1", (58, "no")),
        (10, 0, I16(15) + I32(-1) + text(b"") + I32(-1), (15, "")),
        (10, 3, b"\0" + I32(0) + I16(15) + compact(b"none yet"), (15, "none yet")),
        (
            10,
            4,
            b"\0"
            + I32(0)
            + b"\2"
            + compact(b"g")
            + I32(-1)
            + compact(b"")
            + I32(-1)
            + I16(30)
            + compact(b"denied")
            + b"\0\0",
            (30, "denied"),
        ),
        (11, 5, I32(0) + I16(27), (27, "")),
        (12, 0, I16(25), (25, "")),
        (12, 4, b"\0" + I32(0) + I16(27), (27, "")),
        (22, 1, I32(0) + I16(51), (51, "")),
        (0, 3, I32(1) + text(b"orders") + I32(1) + I32(2) + I16(10) + bytes(16), (10, "orders-2")),
        (0, 9, b"\0\2" + compact(b"orders") + b"\2" + I32(2) + I16(19), (19, "orders-2")),
        (1, 11, I32(0) + I16(70) + I32(0), (70, "")),
        (1, 11, I32(0) + I16(0) + I32(0), None),
        (
            3,
            1,
            I32(1) + I32(0) + text(b"host") + I32(9092) + text(b"") + I32(0) + I32(1) + I16(29) + text(b"t"),
            (29, "t"),
        ),
        (
            3,
            9,
            b"\0"
            + I32(0)
            + b"\2"
            + I32(0)
            + compact(b"host")
            + I32(9092)
            + b"\0\0"
            + compact(b"id")
            + I32(0)
            + b"\2"
            + I16(3)
            + compact(b"t"),
            (3, "t"),
        ),
        (8, 2, I32(1) + text(b"t") + I32(1) + I32(0) + I16(22), (22, "t-0")),
        (19, 2, I32(0) + I32(1) + text(b"t") + I16(36) + text(b"exists"), (36, "exists")),
        (20, 1, I32(0) + I32(1) + text(b"t") + I16(3), (3, "t")),
        (99, 0, b"", None),
        (3, 1, b"\0\0", None),
    ],
)
def test_where_the_error_is(api: int, version: int, body: bytes, expected: tuple[int, str] | None) -> None:
    assert refusal(api, version, body) == expected


def test_answers_are_paired_by_their_number(talk: Talk) -> None:
    asked = request(18, 0, 1) + request(12, 0, 2)
    messages = talk(Kafka, [(True, asked, 0), (False, frame(I32(2) + I16(0)) + frame(I32(1) + I16(0)), 0)])
    assert [m.summary for m in messages][2:] == ["Heartbeat: ok", "ApiVersions: ok"]
    assert not any(m.unanswered for m in messages if isinstance(m, Request))


@pytest.mark.parametrize(("acknowledgements", "wanted"), [(0, False), (1, True), (-1, True)])
def test_whether_produce_is_answered(talk: Talk, acknowledgements: int, wanted: bool) -> None:
    for version, before in ((2, b""), (3, I16(-1)), (9, b"\0\0")):
        (message,) = talk(Kafka, [(True, request(0, version, 5, before + I16(acknowledgements) + bytes(20)), 0)])
        assert isinstance(message, Request)
        assert message.unanswered is wanted


def test_refused_credentials_end_the_connection(talk: Talk) -> None:
    said = [(True, request(36, 0, 3, b"\0\0\0\4hush"), 0), (False, frame(I32(3) + I16(58) + text(b"no") + I32(0)), 0)]
    error = talk(Kafka, said)[-1]
    assert isinstance(error, ServerError)
    assert (error.text, error.code) == ("no", "58")
    assert error.summary == "SaslAuthenticate: 58 SASL_AUTHENTICATION_FAILED: no"


def test_old_tokens_have_no_head(talk: Talk) -> None:
    said = [(True, request(17, 0, 1, text(b"PLAIN")), 0), (False, frame(I32(1) + I16(0) + I32(0)), 0)]
    messages = talk(Kafka, [*said, (True, frame(b"\0job\0hush"), 0), (False, frame(b""), 0)])
    assert [m.summary for m in messages] == [
        "SaslHandshake v0, client job",
        "SaslHandshake: ok",
        "authentication data",
        "answer of 4 bytes",
    ]
    assert isinstance(messages[2], Request)
    assert not messages[2].unanswered


def test_an_answer_that_breaks_off(talk: Talk) -> None:
    messages = talk(Kafka, [(True, request(1, 4), 0), (False, struct.pack(">ii", 5000, 7) + b"abc", 0)], "reset")
    assert messages[-1].summary == "answer: 11 of 5004 bytes"
    assert isinstance(messages[0], Request)
    assert messages[0].unanswered


def test_an_impossible_length(talk: Talk) -> None:
    said = [(True, request(18, 0, 1), 0), (False, frame(I32(1) + I16(0)), 0), (False, b"HTTP/1.1 400", 0)]
    (error,) = [m for m in talk(Kafka, said) if isinstance(m, FramingError)]
    assert (error.offset, error.sample) == (10, b"HTTP/1.1 400")
