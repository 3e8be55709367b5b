"""RESP, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.decoders.protocols.redis import Redis
from systrace.messages.replies import FramingError, Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]
GET = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"


@pytest.mark.parametrize(
    ("answer", "summary"),
    [
        (b"+OK\r\n", "OK"),
        (b":42\r\n", "integer 42"),
        (b"$-1\r\n", "nil"),
        (b"_\r\n", "nil"),
        (b"*-1\r\n", "nil"),
        (b"*0\r\n", "array of 0"),
        (b"$0\r\n\r\n", "value of 0 bytes"),
        (b"$5\r\na\r\nbc\r\n", "value of 5 bytes"),
        (b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n+x\r\n", "array of 3"),
        (b"%1\r\n+a\r\n~2\r\n#t\r\n,1.5\r\n", "array of 1"),
        (b"(123456789012345678901234567890\r\n", "big number 123456789012345678901234567890"),
        (b"=7\r\ntxt:abc\r\n", "value of 7 bytes"),
    ],
)
def test_values(talk: Talk, answer: bytes, summary: str) -> None:
    for step in (0, 1):
        messages = talk(Redis, [(True, GET, 0), (False, answer + b":7\r\n", 0)], step=step)
        assert [m.summary for m in messages] == ["GET k", summary, "integer 7"]
        assert isinstance(messages[0], Request)
        assert not messages[0].unanswered


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ERR unknown command 'x'", "ERR"),
        ("NOAUTH Authentication required.", "NOAUTH"),
        ("LOADING Redis is loading the dataset in memory", "LOADING"),
        ("DENIED Redis is running in protected mode", "DENIED"),
        ("ERR max number of clients reached", "ERR"),
        ("ERR Protocol error: invalid bulk length", "ERR"),
        ("MOVED 3999 192.0.2.7:6381", "MOVED"),
    ],
)
def test_refusals(talk: Talk, text: str, code: str) -> None:
    error = talk(Redis, [(True, GET, 0), (False, f"-{text}\r\n".encode(), 0)])[-1]
    assert isinstance(error, ServerError)
    assert (error.code, error.text) == (code, text)
    assert error.request is not None


def test_pushes_answer_nothing(talk: Talk) -> None:
    messages = talk(Redis, [(True, GET, 0), (False, b">2\r\n$10\r\ninvalidate\r\n$1\r\nk\r\n$1\r\nv\r\n", 0)])
    assert [m.summary for m in messages][1:] == ["push: invalidate k", "value of 1 bytes"]


@pytest.mark.parametrize(
    ("answer", "summary"),
    [
        (b"$5000\r\nabc", "value cut: 3 of 5000 bytes"),
        (b"*3\r\n:1\r\n$10\r\nabc", "value cut: item 2, 3 of 10 bytes of an array of 3"),
        (b"*3\r\n:1\r\n", "value cut: item 2 of an array of 3"),
    ],
)
def test_answers_that_break_off(talk: Talk, answer: bytes, summary: str) -> None:
    messages = talk(Redis, [(True, GET, 0), (False, answer, 0)])
    assert messages[-1].summary == summary
    assert not messages[-1].complete
    assert isinstance(messages[0], Request)
    assert messages[0].unanswered


def test_values_are_counted_through_holes(talk: Talk) -> None:
    said = [(True, GET + GET, 0), (False, b"$5000\r\nabc", 4999), (False, b":1\r\n", 0)]
    assert [m.summary for m in talk(Redis, said)][2:] == ["value of 5000 bytes", "integer 1"]


def test_no_value_begins_so(talk: Talk) -> None:
    messages = talk(Redis, [(True, GET, 0), (False, b":1\r\nHTTP/1.1 502\r\n", 0)])
    assert isinstance(messages[-1], FramingError)
    assert messages[-1].offset == 4


def test_endless_nesting_ends(talk: Talk) -> None:
    talk(Redis, [(False, b"*1\r\n" * 10_000, 0)])


@pytest.mark.parametrize("command", [b"AUTH job hush", b"CONFIG SET requirepass hush", b"HELLO 3 AUTH job hush"])
def test_secrets_are_not_repeated(talk: Talk, command: bytes) -> None:
    parts = command.split()
    coded = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    for data in (coded, command + b"\r\n"):
        assert [m.summary for m in talk(Redis, [(True, data, 0)])] == [parts[0].decode()]
