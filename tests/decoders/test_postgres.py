"""PostgreSQL's messages, by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from systrace.decoders.protocols.postgres import EXAMPLE_STARTUP as STARTUP
from systrace.decoders.protocols.postgres import Postgres
from systrace.messages.replies import FramingError, Request, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]


def msg(kind: bytes, body: bytes = b"") -> bytes:
    """A typed message."""
    return kind + struct.pack(">I", len(body) + 4) + body


READY = msg(b"Z", b"I")
ROW = msg(b"D", b"\x00\x01\x00\x00\x00\x041234")


def error(severity: str, code: str, text: str) -> bytes:
    """An ErrorResponse."""
    return msg(b"E", f"S{severity}\0V{severity}\0C{code}\0M{text}\0\0".encode())


@pytest.mark.parametrize(("severity", "code"), [("FATAL", "53300"), ("PANIC", "XX000"), ("ERROR", "57014")])
def test_refusals(talk: Talk, severity: str, code: str) -> None:
    *_, last = talk(Postgres, [(True, STARTUP, 0), (False, error(severity, code, "in its own words"), 0)])
    assert isinstance(last, ServerError)
    assert (last.code, last.text) == (code, "in its own words")
    assert last.summary == f"{severity} {code}: in its own words"


def test_a_hole_in_a_refusal_leaves_whole_fields_only(talk: Talk) -> None:
    whole = error("FATAL", "53300", "sorry, too many clients already")
    for keep in range(5, len(whole)):
        *_, last = talk(Postgres, [(True, STARTUP, 0), (False, whole[:keep], len(whole) - keep)])
        assert isinstance(last, ServerError)
        assert last.code in ("", "53300")
        assert "sorry, too many clients already".startswith(last.text)


def test_password_exchange(talk: Talk) -> None:
    scram = [
        msg(b"R", struct.pack(">I", n) + rest) for n, rest in ((10, b"SCRAM-SHA-256\0\0"), (11, b"r=x"), (12, b"v=x"))
    ]
    said = [(True, STARTUP, 0), (False, scram[0], 0), (True, msg(b"p", b"SCRAM-SHA-256\0n,,n=,r=secret"), 0)]
    said += [(False, scram[1], 0), (True, msg(b"p", b"c=biws,r=secret,p=secret"), 0)]
    said += [(False, scram[2] + msg(b"R", bytes(4)) + READY, 0)]
    messages = talk(Postgres, said)
    assert [m.summary for m in messages] == [
        "startup: user job, database dwh", "asks for authentication: sasl", "authentication data",
        "asks for authentication: sasl", "authentication data", "ready, idle",
    ]  # fmt: skip
    assert not any(m.unanswered for m in messages if isinstance(m, Request))


def test_extended_queries(talk: Talk) -> None:
    batch = msg(b"P", b"\0select a from t\0\0\0") + msg(b"B", bytes(8)) + msg(b"E", bytes(5)) + msg(b"S")
    again = msg(b"B", b"\0named\0" + bytes(6)) + msg(b"E", bytes(5)) + msg(b"S")
    answer = msg(b"1") + msg(b"2") + ROW * 3 + msg(b"C", b"SELECT 3\0") + READY
    messages = talk(Postgres, [(True, STARTUP + batch + again, 0), (False, READY + answer + answer, 0)])
    assert [m.summary for m in messages][1:] == [
        "query: select a from t", "prepared statement", "ready, idle", "SELECT 3 (3 rows)", "SELECT 3 (3 rows)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    ["alter role job password 'hush'", "CREATE USER job WITH ENCRYPTED PASSWORD\n$$hush$$", "select set_token('hush')"],
)
def test_secrets_are_not_repeated(talk: Talk, query: str) -> None:
    messages = talk(Postgres, [(True, STARTUP + msg(b"Q", query.encode() + b"\0"), 0)])
    assert "hush" not in messages[-1].summary
    assert messages[-1].summary.startswith(f"query: {query.split()[0]}")


def test_an_answer_that_breaks_off_in_a_row(talk: Talk) -> None:
    said = [(True, STARTUP + msg(b"Q", b"select\0"), 0), (False, READY + ROW * 5 + ROW[:7], 0)]
    messages = talk(Postgres, said, "reset")
    assert [m.summary for m in messages if not m.complete] == [
        "row: 7 of 15 bytes",
        "answer cut after 5 rows, 75 bytes: not completed",
    ]
    query = next(m for m in messages if m.summary.startswith("query"))
    assert isinstance(query, Request)
    assert query.unanswered


def test_rows_are_counted_through_holes(talk: Talk) -> None:
    big = msg(b"D", b"\x00\x01" + struct.pack(">I", 5000) + b"x" * 5000)
    said = [(True, STARTUP + msg(b"Q", b"select\0"), 0), (False, READY, 0), (False, big[:32], len(big) - 32)]
    messages = talk(Postgres, [*said, (False, ROW + msg(b"C", b"SELECT 2\0") + READY, 0)])
    assert messages[-1].summary == "SELECT 2 (2 rows)"


def test_nonsense_after_messages_is_told_once(talk: Talk) -> None:
    said = [(True, STARTUP, 0), (False, READY, 0), (False, b"<html>oops</html>", 0), (False, b"<html>again", 0)]
    found = [m for m in talk(Postgres, said) if isinstance(m, FramingError)]
    assert [(m.offset, m.sample) for m in found] == [(6, b"<html>oops</html>")]


def test_joined_later(talk: Talk) -> None:
    messages = talk(Postgres, [(True, msg(b"Q", b"commit\0"), 0), (False, msg(b"C", b"COMMIT\0") + READY, 0)])
    assert [m.summary for m in messages] == ["query: commit", "COMMIT"]


def test_encryption_is_handed_over(talk: Talk) -> None:
    ask = struct.pack(">II", 8, 80877103)
    decoded = talk(Postgres, [(True, ask, 0), (False, b"S", 0), (True, b"\x16\x03\x01", 0)])
    assert [m.summary for m in decoded] == ["asks for TLS", "TLS accepted"]
    assert Postgres.identify(ask + b"\x16\x03\x01", b"S\x16\x03\x03") >= 90
