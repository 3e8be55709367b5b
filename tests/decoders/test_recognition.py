"""Which protocol a socket is taken for when both sides, or only one, or the wrong ones speak."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.decoders import DECODERS
from systrace.decoders.conversation import Decoding
from systrace.decoders.protocols.mysql import MySql
from systrace.decoders.protocols.postgres import EXAMPLE_STARTUP, Postgres
from systrace.messages.mismatch import Mismatch
from systrace.messages.replies import ServerError
from systrace.model import Endpoint, Message, Socket, Transfer

Call = Callable[..., Transfer]
C, S = True, False
GET = (C, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
HTTP = (S, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
ALERT = (S, b"\x15\x03\x01\x00\x02\x02\x46")
PING = (C, b"*1\r\n$4\r\nPING\r\n")
HELLO = (S, MySql.EXAMPLES[0][1][:60])


def hear(call: Call, said: list[tuple[bool, bytes]], port: int = 40000) -> tuple[Socket, list[Message]]:
    """Let a socket of a client carry this; both sides end."""
    decoding = Decoding()
    socket = Socket("S1", "inet", "stream", role="client", peer=Endpoint("inet", "192.0.2.7", port))
    for at, (client, data) in enumerate(said):
        decoding.moved(socket, call(client, [(data, 0)], at))
    decoding.ended(socket, False, "eof")
    decoding.ended(socket, True, "closed")
    messages = decoding.finish()
    assert not decoding.failures
    return socket, messages


@pytest.mark.parametrize(
    ("said", "spoken", "answered"),
    [
        ([GET, (S, b"220 mx ESMTP\r\n")], "http", "smtp"),
        ([(S, b"220 mx ESMTP\r\n"), GET], "smtp", "http"),
        ([(S, b"SSH-2.0-x\r\n"), GET], "ssh", "http"),
        ([PING, HTTP], "redis", "http"),
        ([PING, ALERT], "redis", "tls"),
        ([GET, (S, b"-ERR wrong number of arguments for 'get' command\r\n")], "http", "redis"),
        ([(C, EXAMPLE_STARTUP), HTTP], "postgres", "http"),
        ([HELLO, GET], "mysql", "http"),
        ([HELLO, (C, EXAMPLE_STARTUP)], "mysql", "postgres"),
        ([(C, DECODERS["kafka"].EXAMPLES[0][0]), ALERT], "kafka", "tls"),  # type: ignore[attr-defined]
        ([(C, DECODERS["mongodb"].EXAMPLES[0][0]), HTTP], "mongodb", "http"),  # type: ignore[attr-defined]
        ([(C, b"AMQP\x00\x00\x09\x01"), HTTP], "amqp", "http"),
        ([(C, DECODERS["ldap"].EXAMPLES[2][0]), HTTP], "ldap", "http"),  # type: ignore[attr-defined]
    ],
)
def test_two_protocols(call: Call, said: list[tuple[bool, bytes]], spoken: str, answered: str) -> None:
    (mismatch,) = [message for message in hear(call, said)[1] if isinstance(message, Mismatch)]
    assert (mismatch.spoken, mismatch.answered) == (spoken, answered)


@pytest.mark.parametrize(
    ("said", "name", "port"),
    [
        ([(S, b"\x17\x00\x00\x00\xff\x10\x04Too many connections")], "mysql", 0),
        ([(S, b"421 Too many users\r\n")], "ftp", 21),
        ([(S, b"421 Too many users\r\n")], "smtp", 25),
        ([(S, b"-ERR max number of clients reached\r\n"), PING], "redis", 0),
        ([(S, b"+OK hi\r\n"), (C, b"USER x\r\n"), (S, b"-ERR no\r\n")], "pop", 0),
        ([(S, b"220 Welcome\r\n"), (C, b"USER x\r\n"), (S, b"530 no\r\n")], "ftp", 0),
        ([(S, b"220 Welcome\r\n"), (C, b"EHLO x\r\n"), (S, b"421 no\r\n")], "smtp", 0),
        ([(S, b"* BYE no\r\n")], "imap", 0),
        ([(C, EXAMPLE_STARTUP), (S, Postgres.EXAMPLES[1][1])], "postgres", 0),
    ],
)
def test_refusals_are_seen_whatever_the_port(call: Call, said: list[tuple[bool, bytes]], name: str, port: int) -> None:
    socket, messages = hear(call, said, port)
    assert socket.app_protocol == name
    assert any(isinstance(message, ServerError) for message in messages)
    assert not any(isinstance(message, Mismatch) for message in messages)


def test_an_unknown_protocol_that_breaks_off(call: Call) -> None:
    socket, messages = hear(call, [(C, b"\0\0\0\5\1\xfeabc"), (S, b"\0\0\3\xe8\x81abc")])
    assert socket.app_protocol == "length-prefixed"
    assert messages[-1].summary == "frame: 8 of 1004 bytes"


@pytest.mark.parametrize(
    ("name", "before", "answer"),
    [
        ("smtp", [(S, b"220 mx ESMTP\r\n"), (C, b"STARTTLS\r\n")], b"220 go\r\n"),
        ("ftp", [(S, b"220 FTP\r\n"), (C, b"AUTH TLS\r\n")], b"234 go\r\n"),
        ("pop", [(S, b"+OK POP3\r\n"), (C, b"STLS\r\n")], b"+OK go\r\n"),
        ("imap", [(S, b"* OK x\r\n"), (C, b"a STARTTLS\r\n")], b"a OK go\r\n"),
        ("postgres", [(C, b"\x00\x00\x00\x08\x04\xd2\x16\x2f")], b"S"),
    ],
)
def test_tls_is_decoded_after_it_was_agreed(
    call: Call, name: str, before: list[tuple[bool, bytes]], answer: bytes
) -> None:
    socket, messages = hear(call, [*before, (S, answer), (C, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"), ALERT])
    assert messages[0].protocol == name
    assert socket.app_protocol == "tls"
    assert {message.protocol for message in messages} == {name, "tls"}
