"""SMTP's dialogue, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.decoders.protocols.smtp import Smtp
from systrace.messages.replies import Greeting, Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]
HELLO = [(False, b"220 mx.example ESMTP\r\n", 0), (True, b"EHLO job\r\n", 0), (False, b"250-mx\r\n250 STARTTLS\r\n", 0)]


@pytest.mark.parametrize(
    "line", [b"421 4.3.2 try again later\r\n", b"554 5.7.1 blocked\r\n", b"554-5.7.1 bl\r\n554 ocked\r\n"]
)
def test_refused_instead_of_a_greeting(talk: Talk, line: bytes) -> None:
    (error,) = talk(Smtp, [(False, line, 0)])
    assert isinstance(error, ServerError)
    assert error.code == line[:3].decode()


def test_421_ends_the_session_whenever_it_comes(talk: Talk) -> None:
    error = talk(Smtp, [*HELLO, (False, b"421 4.4.2 timeout exceeded\r\n", 0)])[-1]
    assert isinstance(error, ServerError)
    assert error.request is None


def test_a_greeting_of_several_lines(talk: Talk) -> None:
    greeting = talk(Smtp, [(False, b"220-mx.example ESMTP\r\n220-no spam\r\n220 please\r\n", 0)])[0]
    assert isinstance(greeting, Greeting)
    assert greeting.text == "mx.example ESMTP no spam please"


def test_a_greeting_without_its_end(talk: Talk) -> None:
    greeting = talk(Smtp, [(False, b"220-mx.example ESMTP\r\n220-no", 0)], "reset")[0]
    assert not greeting.complete
    assert isinstance(greeting, Greeting)
    assert greeting.incomplete_reason == "reset"


def test_chunks_of_mail(talk: Talk) -> None:
    said = [*HELLO, (True, b"BDAT 20\r\nQUIT\r\n.\r\n01234567890BDAT 3 LAST\r\n\r\n\r", 0)]
    said += [(False, b"250 ok\r\n250 2.0.0 queued\r\n", 0)]
    assert [m.summary for m in talk(Smtp, said)][3:] == ["BDAT 20", "BDAT 3 LAST", "250 ok", "250 2.0.0 queued"]


def test_a_refused_data_command_is_followed_by_commands(talk: Talk) -> None:
    said = [*HELLO, (True, b"DATA\r\nRSET\r\n", 0), (False, b"503 5.5.1 no recipients\r\n250 ok\r\n", 0)]
    assert [m.summary for m in talk(Smtp, said)][3:] == ["DATA", "503 5.5.1 no recipients", "RSET", "250 ok"]


def test_a_mail_that_breaks_off(talk: Talk) -> None:
    said = [*HELLO, (True, b"DATA\r\n", 0), (False, b"354 go\r\n", 0), (True, b"a: b\r\n\r\nhello\r\n", 0)]
    last = talk(Smtp, said, "unfinished")[-1]
    assert last.summary == "mail cut after 15 bytes"
    assert not last.complete


def test_a_mail_without_an_answer(talk: Talk) -> None:
    said = [*HELLO, (True, b"DATA\r\n", 0), (False, b"354 go\r\n", 0), (True, b"a: b\r\n\r\n..\r\n.\r\n", 0)]
    last = talk(Smtp, said)[-1]
    assert isinstance(last, Request)
    assert last.summary == "mail of 11 bytes"
    assert last.unanswered


def test_starttls_is_handed_over(talk: Talk) -> None:
    said = [*HELLO, (True, b"STARTTLS\r\n", 0), (False, b"220 ready\r\n", 0), (True, b"\x16\x03\x01" * 9, 0)]
    assert [m.summary for m in talk(Smtp, said)][3:] == ["STARTTLS", "220 ready"]


def test_starttls_refused_goes_on_in_clear(talk: Talk) -> None:
    said = [*HELLO, (True, b"STARTTLS\r\n", 0), (False, b"454 4.7.0 TLS not available\r\n", 0), (True, b"QUIT\r\n", 0)]
    assert [m.summary for m in talk(Smtp, said)][4:] == ["454 4.7.0 TLS not available", "QUIT"]


def test_secrets_are_not_repeated(talk: Talk) -> None:
    said = [
        *HELLO,
        (True, b"AUTH PLAIN aHVzaA==\r\n", 0),
        (False, b"334 \r\n", 0),
        (True, b"aHVzaA==\r\naHVzaA==\r\n", 0),
    ]
    assert not any("aHVz" in m.summary for m in talk(Smtp, said))
