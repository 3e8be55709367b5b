"""memcached's text protocol, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.decoders.protocols.memcached import Memcached
from systrace.messages.replies import Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]


@pytest.mark.parametrize(
    ("asked", "answer", "summaries"),
    [
        (b"get a b", b"VALUE a 0 1\r\nx\r\nVALUE b 0 2 99\r\nyy\r\nEND", ["get a b", "2 values, 3 bytes"]),
        (b"get a", b"END", ["get a", "no value"]),
        (b"incr a 1", b"7", ["incr a 1", "7"]),
        (b"mg a v", b"VA 5 t9\r\nhello", ["mg a v", "1 value"]),
        (b"mg a v", b"EN", ["mg a v", "EN"]),
        (b"ms a 5\r\nhello", b"HD", ["ms a (5 bytes)", "HD"]),
        (b"cas a 0 0 3 9\r\nabc", b"EXISTS", ["cas a (3 bytes)", "EXISTS"]),
    ],
)
def test_answers(talk: Talk, asked: bytes, answer: bytes, summaries: list[str]) -> None:
    messages = talk(Memcached, [(True, asked + b"\r\nversion\r\n", 0), (False, answer + b"\r\nVERSION 1.6\r\n", 0)])
    asked_too, answered = [m.summary for m in messages[:2]], [m.summary for m in messages[2:]]
    assert [asked_too[0], answered[0]] == summaries
    assert [asked_too[1], answered[1]] == ["version", "VERSION 1.6"]


@pytest.mark.parametrize(
    "line",
    [
        b"ERROR",
        b"CLIENT_ERROR bad data chunk",
        b"SERVER_ERROR out of memory",
        b"ERROR Too many open connections",
    ],
)
def test_refusals(talk: Talk, line: bytes) -> None:
    error = talk(Memcached, [(True, b"get a\r\n", 0), (False, line + b"\r\n", 0)])[-1]
    assert isinstance(error, ServerError)
    assert error.summary == line.decode()
    assert error.code == line.split()[0].decode()


@pytest.mark.parametrize(
    ("answer", "summary"),
    [
        (b"VALUE a 0 500\r\nabc", "value cut: 3 of 500 bytes"),
        (b"VALUE a 0 3\r\nabc\r\n", "answer cut after 1 values, 0 lines: no END"),
        (b"STAT a 1\r\n", "answer cut after 0 values, 1 lines: no END"),
    ],
)
def test_answers_that_break_off(talk: Talk, answer: bytes, summary: str) -> None:
    messages = talk(Memcached, [(True, b"get a\r\n", 0), (False, answer, 0)], "reset")
    assert messages[-1].summary == summary
    assert isinstance(messages[0], Request)
    assert messages[0].unanswered


def test_values_are_counted_through_holes(talk: Talk) -> None:
    said = [(True, b"get a\r\nget b\r\n", 0), (False, b"VALUE a 0 5000\r\nabc", 4999), (False, b"END\r\nEND\r\n", 0)]
    assert [m.summary for m in talk(Memcached, said)][2:] == ["1 value, 5000 bytes", "no value"]


def test_no_answer_is_due(talk: Talk) -> None:
    messages = talk(Memcached, [(True, b"set a 0 0 1 noreply\r\nx\r\nquit\r\n", 0)])
    assert not any(m.unanswered for m in messages if isinstance(m, Request))
