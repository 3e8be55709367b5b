"""IMAP's dialogue, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.decoders.protocols.imap import Imap
from systrace.messages.replies import Greeting, Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]
WELCOME = (False, b"* OK ready\r\n", 0)


@pytest.mark.parametrize("greeting", [b"* OK [CAPABILITY] x\r\n", b"* PREAUTH x\r\n"])
def test_greetings(talk: Talk, greeting: bytes) -> None:
    assert isinstance(talk(Imap, [(False, greeting, 0)])[0], Greeting)
    assert Imap.identify(b"", greeting) >= 90


def test_bye_is_an_error_unless_it_was_asked_for(talk: Talk) -> None:
    bye = (False, b"* BYE Disconnected for inactivity.\r\n", 0)
    error = talk(Imap, [WELCOME, (True, b"1 IDLE\r\n", 0), (False, b"+ idling\r\n", 0), bye])[-1]
    assert isinstance(error, ServerError)
    assert error.text == "Disconnected for inactivity."
    assert not isinstance(talk(Imap, [WELCOME, (True, b"1 LOGOUT\r\n", 0), bye])[-1], ServerError)


@pytest.mark.parametrize("status", ["NO", "BAD"])
def test_refusals_are_paired_by_their_tag(talk: Talk, status: str) -> None:
    said = [
        WELCOME,
        (True, b"a SELECT x\r\nb NOOP\r\n", 0),
        (False, f"b OK\r\na {status} [NONEXISTENT] no\r\n".encode(), 0),
    ]
    error = talk(Imap, said)[-1]
    assert isinstance(error, ServerError)
    assert error.request is not None
    assert (error.code, error.request.summary) == (status, "SELECT x")


def test_literals_are_no_lines(talk: Talk) -> None:
    said = [WELCOME, (True, b"a APPEND INBOX {10}\r\n", 0), (False, b"+ go\r\n", 0), (True, b"b NOOP\r\n\r\n\r\n", 0)]
    messages = talk(Imap, [*said, (False, b"* 1 FETCH (BODY {16}\r\na NO no\r\nb BAD\r\n UID 1)\r\na OK done\r\n", 0)])
    assert [m.summary for m in messages][1:] == ["APPEND INBOX {10}", "OK done (+1 lines)"]


def test_a_literal_that_breaks_off(talk: Talk) -> None:
    said = [WELCOME, (True, b"a FETCH 1 BODY[]\r\n", 0), (False, b"* 1 FETCH (BODY[] {5000}\r\nabc", 0)]
    messages = talk(Imap, said)
    assert messages[-1].summary == "literal cut: 3 of 5000 bytes"
    assert isinstance(messages[1], Request)
    assert messages[1].unanswered


def test_secrets_are_not_repeated(talk: Talk) -> None:
    said = [
        WELCOME,
        (True, b"a AUTHENTICATE PLAIN\r\n", 0),
        (False, b"+ \r\n", 0),
        (True, b"aHVzaA==\r\nb LOGIN job hush\r\n", 0),
    ]
    assert [m.summary for m in talk(Imap, said)][1:] == ["AUTHENTICATE", "LOGIN"]
