"""LDAP's messages, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.decoders.protocols.ldap import START_TLS, Ldap
from systrace.messages.replies import Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]


def tlv(tag: int, content: bytes) -> bytes:
    """A BER element, with its length in two bytes."""
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def message(number: int, tag: int, content: bytes) -> bytes:
    """An LDAP message."""
    return tlv(0x30, b"\x02\x01" + bytes([number]) + tlv(tag, content))


def result(number: int, tag: int, code: int, text: bytes = b"", more: bytes = b"") -> bytes:
    """An answer."""
    return message(number, tag, b"\x0a\x01" + bytes([code]) + b"\x04\x00" + tlv(4, text) + more)


BIND = message(1, 0x60, b"\x02\x01\x03\x04\x05cn=me\x80\x04hush")
SEARCH = message(2, 0x63, tlv(4, b"dc=x") + bytes(5))
ENTRY = message(2, 0x64, tlv(4, b"ou=a,dc=x") + tlv(0x30, b""))


@pytest.mark.parametrize(
    ("code", "text", "summary"),
    [
        (49, b"", "bind: 49 invalidCredentials"),
        (51, b"try later", "bind: 51 busy: try later"),
        (8, b"TLS needed", "bind: 8 strongerAuthRequired: TLS needed"),
        (123, b"", "bind: 123"),
    ],
)
def test_refusals(talk: Talk, code: int, text: bytes, summary: str) -> None:
    asked, error = talk(Ldap, [(True, BIND, 0), (False, result(1, 0x61, code, text), 0)])
    assert isinstance(error, ServerError)
    assert (error.summary, error.code) == (summary, str(code))
    assert error.request is asked
    assert asked.summary == "bind as cn=me"


@pytest.mark.parametrize("code", [0, 5, 6, 10, 14])
def test_what_is_no_refusal(talk: Talk, code: int) -> None:
    assert not isinstance(talk(Ldap, [(True, BIND, 0), (False, result(1, 0x61, code), 0)])[-1], ServerError)


def test_notice_of_disconnection(talk: Talk) -> None:
    notice = result(0, 0x78, 52, b"shutting down", tlv(0x8A, b"1.3.6.1.4.1.1466.20036"))
    error = talk(Ldap, [(True, SEARCH, 0), (False, notice, 0)])[-1]
    assert isinstance(error, ServerError)
    assert error.text == "shutting down"


def test_a_search_that_breaks_off(talk: Talk) -> None:
    messages = talk(Ldap, [(True, SEARCH, 0), (False, ENTRY * 3 + ENTRY[:9], 0)], "reset")
    assert [m.summary for m in messages if not m.complete] == [
        f"answer: 9 of {len(ENTRY)} bytes",
        "search cut after 3 entries: no result",
    ]
    assert isinstance(messages[0], Request)
    assert messages[0].unanswered


def test_answers_may_come_in_another_order(talk: Talk) -> None:
    said = [(True, BIND + SEARCH, 0), (False, ENTRY + result(2, 0x65, 0) + result(1, 0x61, 0), 0)]
    messages = talk(Ldap, said)
    assert [m.summary for m in messages][2:] == ["search: success (1 entry)", "bind: success"]
    assert not any(m.unanswered for m in messages if isinstance(m, Request))


@pytest.mark.parametrize(("code", "goes_on"), [(0, False), (52, True)])
def test_start_tls(talk: Talk, code: int, goes_on: bool) -> None:
    said = [(True, message(3, 0x77, tlv(0x80, START_TLS)), 0), (False, result(3, 0x78, code), 0), (True, BIND, 0)]
    messages = talk(Ldap, said)
    assert messages[0].summary == "StartTLS"
    assert (messages[-1].summary == "bind as cn=me") is goes_on


def test_half_a_result_is_none(talk: Talk) -> None:
    whole = result(1, 0x61, 49, b"no")
    for keep in range(6, len(whole)):
        messages = talk(Ldap, [(True, BIND, 0), (False, whole[:keep], len(whole) - keep)])
        assert isinstance(messages[0], Request)
        assert not messages[0].unanswered
        assert all(m.code == "49" for m in messages if isinstance(m, ServerError))
        assert not any("success" in m.summary for m in messages)
