"""MySQL's packets, by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from systrace.decoders.protocols.mysql import CLIENT_COMPRESS, MySql
from systrace.messages.replies import Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]


def packet(seq: int, payload: bytes) -> bytes:
    """A packet."""
    return len(payload).to_bytes(3, "little") + bytes([seq % 256]) + payload


HELLO = packet(0, b"\x0a8.0.36\x00" + bytes(8) + b"12345678\x00" + b"\xff\xf7" + bytes(30))
OK = b"\x00\x00\x00\x02\x00\x00\x00"
EOF_ = b"\xfe\x00\x00\x02\x00"


def login(flags: int = 0x8000) -> bytes:
    """The client's first packet."""
    return packet(1, struct.pack("<IIB23x", flags, 1 << 24, 33) + b"job\x00\x00")


def start(flags: int = 0x8000) -> list[tuple[bool, bytes, int]]:
    """A session up to the first command."""
    return [(False, HELLO, 0), (True, login(flags), 0), (False, packet(2, OK), 0)]


def columns(count: int) -> bytes:
    """The head of a result with so many columns, without its end."""
    heads = [packet(i + 2, b"\x03def" + bytes(18)) for i in range(count)]
    return packet(1, bytes([count]) if count < 251 else b"\xfc" + struct.pack("<H", count)) + b"".join(heads)


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (b"\xff\x10\x04Too many connections", "1040", "Too many connections"),
        (b"\xff\x10\x04#08004Too many connections", "1040", "Too many connections"),
        (
            b"\xff\x69\x04Host 'job' is blocked because of many connection errors",
            "1129",
            "Host 'job' is blocked because of many connection errors",
        ),
        (
            b"\xff\x6a\x04Host '10.0.0.7' is not allowed to connect to this MySQL server",
            "1130",
            "Host '10.0.0.7' is not allowed to connect to this MySQL server",
        ),
    ],
)
def test_refused_instead_of_a_greeting(talk: Talk, data: bytes, code: str, text: str) -> None:
    (error,) = talk(MySql, [(False, packet(0, data), 0)])
    assert isinstance(error, ServerError)
    assert (error.code, error.text) == (code, text)
    assert MySql.identify(b"", packet(0, data)) >= 90


def test_an_error_in_the_session(talk: Talk) -> None:
    for code in (1205, 1053, 1927):
        said = [
            *start(),
            (True, packet(0, b"\x03select 1"), 0),
            (False, packet(1, b"\xff" + struct.pack("<H", code) + b"#HY000x"), 0),
        ]
        last = talk(MySql, said)[-1]
        assert isinstance(last, ServerError)
        assert last.code == str(code)


@pytest.mark.parametrize("end", [EOF_, b"\xfe" + OK[1:]])
@pytest.mark.parametrize("count", [1, 3, 300])
def test_results_with_and_without_the_first_eof(talk: Talk, end: bytes, count: int) -> None:
    rows = b"".join(packet(count + 3 + i, b"\x01x" * count) for i in range(500))
    middle = packet(count + 2, EOF_) if end == EOF_ else b""
    said = [
        *start(),
        (True, packet(0, b"\x03select x"), 0),
        (False, columns(count) + middle + rows + packet(9, end), 0),
    ]
    assert talk(MySql, said)[-1].summary == "500 rows"


def test_several_results(talk: Talk) -> None:
    more = b"\xfe\x00\x00\x0a\x00"
    answer = columns(1) + packet(3, EOF_) + packet(4, b"\x01x") + packet(5, more)
    answer += packet(6, b"\x01") + packet(7, b"\x03def" + bytes(18)) + packet(8, EOF_) + packet(9, EOF_)
    messages = talk(MySql, [*start(), (True, packet(0, b"\x03call p()"), 0), (False, answer, 0)])
    assert [m.summary for m in messages][-2:] == ["query: call p()", "1 row"]


def test_prepared_statements(talk: Talk) -> None:
    prepared = packet(1, b"\x00\x01\x00\x00\x00\x01\x00\x02\x00\x00\x00\x00")
    parts = [packet(2, b"\x03def"), packet(3, b"\x03def"), packet(4, EOF_), packet(5, b"\x03def"), packet(6, EOF_)]
    said = [*start(), (True, packet(0, b"\x16select ?, ?"), 0), (False, prepared + b"".join(parts), 0)]
    said += [
        (True, packet(0, b"\x17" + bytes(9)), 0),
        (False, packet(1, OK), 0),
        (True, packet(0, b"\x19\x01\0\0\0"), 0),
    ]
    messages = talk(MySql, said)
    assert [m.summary for m in messages][3:] == ["prepare: select ?, ?", "prepared", "execute", "OK", "close statement"]
    assert not any(m.unanswered for m in messages if isinstance(m, Request))


def test_an_answer_that_breaks_off(talk: Talk) -> None:
    said = [
        *start(),
        (True, packet(0, b"\x03select x"), 0),
        (False, columns(1) + packet(3, EOF_) + packet(4, b"\x01x") + b"\x64\0\0\x05abc", 0),
    ]
    assert [m.summary for m in talk(MySql, said) if not m.complete] == [
        "answer: 7 of 104 bytes",
        "answer cut after 1 rows: not completed",
    ]


def test_compressed_sessions_are_not_misread(talk: Talk) -> None:
    said = [
        *start(0x8000 | CLIENT_COMPRESS),
        (True, b"\x0a\x00\x00\x00\x00\x00\x00" + bytes(10), 0),
        (False, b"\xff" * 50, 0),
    ]
    assert [m.summary for m in talk(MySql, said)][-1] == "OK"


def test_passwords_in_statements(talk: Talk) -> None:
    said = [*start(), (True, packet(0, b"\x03CREATE USER 'a' IDENTIFIED BY 'hush'"), 0)]
    assert talk(MySql, said)[-1].summary == "query: CREATE USER 'a' IDENTIFIED …"
