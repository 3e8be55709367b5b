"""What summaries show, and what messages say of themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.messages.replies import SUMMARY, Reply, Request, ServerError, Unit, brief, statement, verb


@given(st.binary(max_size=1000))
def test_everything_is_short_and_printable(data: bytes) -> None:
    for text in (brief(data), statement(data), verb(data)):
        assert text.isprintable()
        assert len(text) <= SUMMARY


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (b"select *\n  from t", "select * from t"),
        (b"ALTER ROLE job PASSWORD 'hush'", "ALTER ROLE job PASSWORD …"),
        (b"create user x identified with y by 'hush'", "create user x identified …"),
        (b"update t set api_key = $1", "update t set api_key …"),
        (b"select password from users", "select password from users"),
        (b"insert into tokens values ('hush')", "insert into tokens …"),
        (b"\xff\x00\x1b[2J", "\\xff\\x00\\x1b[2J"),
    ],
)
def test_statements(query: bytes, shown: str) -> None:
    assert statement(query) == shown


@pytest.mark.parametrize(
    ("query", "word"), [(b"select 1", "SELECT"), (b"BEGIN;", "BEGIN"), (b"", ""), (b"  \n with x as (", "WITH")]
)
def test_verbs(query: bytes, word: str) -> None:
    assert verb(query) == word


def test_what_is_notable() -> None:
    common = ("x", "S1", "received", None, None, "", True)
    assert ServerError(*common).notable
    for reason, notable, truncated in (
        ("", False, False),
        ("clipped", False, False),
        ("eof", True, True),
        ("reset", True, True),
        ("unfinished", True, False),
    ):
        unit = Unit(*common, incomplete_reason=reason)
        assert (unit.notable, unit.truncated) == (notable, truncated)
    assert Request(*common).unanswered
    assert not Request(*common, answered=True).unanswered
    assert not Request(*common, wants_answer=False).unanswered
    assert Reply(*common).request is None
