"""POP3's dialogue, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.decoders.protocols.pop import Pop
from systrace.messages.replies import Reply, Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]
WELCOME = (False, b"+OK ready\r\n", 0)


def test_refused_instead_of_a_greeting(talk: Talk) -> None:
    (error,) = talk(Pop, [(False, b"-ERR [SYS/TEMP] too many connections\r\n", 0)])
    assert isinstance(error, ServerError)
    assert error.text == "[SYS/TEMP] too many connections"


@pytest.mark.parametrize(
    ("command", "answer", "summary"),
    [
        (b"RETR 1", b"+OK 6 octets\r\na\r\n..\r\n.\r\n", "+OK 6 octets (6 bytes)"),
        (b"LIST", b"+OK\r\n1 6\r\n.\r\n", "+OK (5 bytes)"),
        (b"LIST 1", b"+OK 1 6\r\n", "+OK 1 6"),
        (b"RETR 9", b"-ERR no such message\r\n", "-ERR no such message"),
        (b"CAPA", b"+OK\r\nSTLS\r\n.\r\n", "+OK (6 bytes)"),
    ],
)
def test_answers_of_one_and_of_several_lines(talk: Talk, command: bytes, answer: bytes, summary: str) -> None:
    messages = talk(Pop, [WELCOME, (True, command + b"\r\nNOOP\r\n", 0), (False, answer + b"+OK next\r\n", 0)])
    assert [m.summary for m in messages][-2:] == [summary, "+OK next"]
    assert not any(m.unanswered for m in messages if isinstance(m, Request))


def test_a_mail_that_breaks_off(talk: Talk) -> None:
    reply = talk(Pop, [WELCOME, (True, b"RETR 1\r\n", 0), (False, b"+OK 600 octets\r\nhello\r\n", 0)], "reset")[-1]
    assert isinstance(reply, Reply)
    assert (reply.summary, reply.complete) == ("+OK 600 octets (7 of 600 bytes)", False)
    assert (reply.received_length, reply.declared_length, reply.truncated) == (7, 600, True)


def test_secrets_are_not_repeated(talk: Talk) -> None:
    said = [
        WELCOME,
        (True, b"AUTH PLAIN\r\n", 0),
        (False, b"+ \r\n", 0),
        (True, b"aHVzaA==\r\n", 0),
        (False, b"-ERR no\r\n", 0),
    ]
    messages = talk(Pop, [*said, (True, b"APOP job hush\r\n", 0), (False, b"+OK\r\n", 0)])
    assert [m.summary for m in messages][1:] == ["AUTH", "+", "authentication data", "-ERR no", "APOP", "+OK"]
