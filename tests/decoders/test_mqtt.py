"""MQTT's packets, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.decoders.protocols.mqtt import Mqtt
from systrace.messages.replies import FramingError, Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]


def packet(first: int, body: bytes) -> bytes:
    """A control packet of less than 16 kB."""
    low, high = len(body) & 0x7F, len(body) >> 7
    return bytes((first, low | 0x80, high) if high else (first, low)) + body


def connect(level: int, name: bytes = b"\x00\x04MQTT", rest: bytes = b"") -> bytes:
    """A CONNECT of client "job"."""
    properties = b"\x05\x11\x00\x00\x00\x0a" if level == 5 else b""
    return packet(0x10, name + bytes((level, 0xC2, 0, 60)) + properties + b"\x00\x03job" + rest)


SECRET = b"\x00\x05batch\x00\x06s3cret"


@pytest.mark.parametrize(
    ("level", "data", "summary", "code"),
    [
        (3, b"\x20\x02\x00\x04", "CONNACK 4 BAD_USER_NAME_OR_PASSWORD", "4"),
        (4, b"\x20\x02\x00\x03", "CONNACK 3 SERVER_UNAVAILABLE", "3"),
        (4, b"\x20\x02\x00\x00\x90\x04\x00\x01\x00\x80", "SUBACK 0x80 UNSPECIFIED_ERROR", "0x80"),
        (5, b"\x20\x03\x00\x86\x00", "CONNACK 0x86 BAD_USER_NAME_OR_PASSWORD", "0x86"),
        (5, b"\x20\x03\x00\x00\x00\x40\x04\x00\x01\x97\x00", "PUBACK 0x97 QUOTA_EXCEEDED", "0x97"),
        (5, b"\x20\x03\x00\x00\x00\xe0\x01\x8e", "DISCONNECT 0x8e SESSION_TAKEN_OVER", "0x8e"),
    ],
)
def test_refusals(talk: Talk, level: int, data: bytes, summary: str, code: str) -> None:
    name = b"\x00\x06MQIsdp" if level == 3 else b"\x00\x04MQTT"
    said = [(True, connect(level, name, SECRET), 0)]
    said += [(True, packet(0x82, b"\x00\x01" + b"\x00" * (level == 5) + b"\x00\x01#\x00"), 0)]
    error = talk(Mqtt, [*said, (False, data, 0)])[-1]
    assert isinstance(error, ServerError)
    assert (error.summary, error.code) == (summary, code)


def test_passwords_stay_secret(talk: Talk) -> None:
    for level in (4, 5):
        first = talk(Mqtt, [(True, connect(level, rest=SECRET), 0)])[0]
        assert first.summary.endswith(", client job")
        assert isinstance(first, Request)
        assert first.unanswered


def test_a_session(talk: Talk) -> None:
    said = [(True, connect(4), 0), (False, b"\x20\x02\x01\x00", 0)]
    said += [(True, packet(0x34, b"\x00\x03a/b\x00\x07" + b"x" * 3000), 0), (False, b"\x50\x02\x00\x07", 0)]
    said += [(True, b"\x62\x02\x00\x07", 0), (False, b"\x70\x02\x00\x07", 0)]
    said += [(True, b"\xc0\x00", 0), (False, b"\xd0\x00", 0), (False, packet(0x30, b"\x00\x03c/dhello"), 0)]
    messages = talk(Mqtt, [*said, (True, b"\xe0\x00", 0)])
    assert [m.summary for m in messages] == [
        "CONNECT 3.1.1, client job", "CONNACK", "PUBLISH a/b", "PUBREC", "PUBREL", "PUBCOMP", "PINGREQ", "PINGRESP",
        "PUBLISH c/d", "DISCONNECT",
    ]  # fmt: skip
    assert not any(m.unanswered for m in messages if isinstance(m, Request))


def test_what_no_packet_is(talk: Talk) -> None:
    strange = talk(Mqtt, [(True, connect(4), 0), (False, b"\x20\x02\x00\x00", 0), (False, b"\xf7garbage", 0)])
    assert isinstance(strange[-1], FramingError)


def test_heads_cut_anywhere_are_no_fault() -> None:
    for data in (b"\x20\xff\x87\x00", b"\x20\xff\xff\xff\x7f", b"\x20\x02\x00\x05", b"\x20\x80\x80\x01\x00"):
        for end in range(len(data) + 1):
            assert 0 <= Mqtt.identify(b"", data[:end]) < 60  # never taken by the broker's word alone
