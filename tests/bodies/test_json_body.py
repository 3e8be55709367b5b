"""Truncated against malformed JSON, with jiter as the oracle."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import jiter
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.bodies.json_body import json_problem, json_value, text_problem
from systrace.messages.body import HEAD_LIMIT, Body
from systrace.messages.problem import Problem

Make = Callable[..., Body]


@pytest.mark.parametrize(
    ("data", "kind", "offset", "line", "column", "message"),
    [
        (b'{"a": [1, 2', "truncated", 11, 1, 12, "Expecting ',' delimiter"),
        (b'{"a": "be', "truncated", 9, 1, 10, "Unterminated string"),
        (b'{"a": tru', "truncated", 9, 1, 10, "Expecting value"),
        (b'{"a": 1.', "truncated", 8, 1, 9, "Expecting ',' delimiter"),
        (b'{"a": 1e', "truncated", 8, 1, 9, "Expecting ',' delimiter"),
        (b'["\\u12', "truncated", 6, 1, 7, "Invalid \\uXXXX escape"),
        (b'{"a":1,\n "b" 2}', "malformed", 13, 2, 6, "Expecting ':' delimiter"),
        (b"<html>", "malformed", 0, 1, 1, "Expecting value"),
        (b"{'a': 1}", "malformed", 1, 1, 2, "Expecting property name enclosed in double quotes"),
        (b'{"a": 1}{"b": 2}', "malformed", 8, 1, 9, "Extra data"),
        (b'{"a": 1} e', "malformed", 9, 1, 10, "Extra data"),
        ('{"é": x}'.encode(), "malformed", 7, 1, 7, "Expecting value"),
        (b"  \r\n", "empty", 0, 1, 1, "nothing but blanks"),
        (b"", "empty", 0, 1, 1, "no content"),
        (b'{"a": NaN}', "nonstandard", 6, 1, 7, "NaN is not JSON, though some parsers accept it"),
        (b'\xef\xbb\xbf{"a": 1}', "nonstandard", 0, 1, 1, "Unexpected UTF-8 BOM (decode using utf-8-sig)"),
        (b'{"a": 1}\n{"a": 2', "truncated", 16, 2, 8, "Expecting ',' delimiter"),
        (b'{"a": 1}\n{"a" 2}\n{"a": 3}\n', "malformed", 14, 2, 6, "Expecting ':' delimiter"),
    ],
)
def test_problems(data: bytes, kind: str, offset: int, line: int, column: int, message: str, make: Make) -> None:
    assert json_problem(make(data)) == Problem(kind, offset, line, column, message)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": [1, 2.5e3, true, null, "x\\u00e9"]}',
        b" [] \n",
        b'{"a": 1}\n{"a": 2}\n',
        b'{"a": 1}\r\n\r\n{"a": 2}',
        b')]}\',\n{"a": 1}',
        b'callback({"a": 1});',
        '{"ü": "ß"}'.encode("utf-16"),
        b'"text"',
    ],
)
def test_nothing_wrong(data: bytes, make: Make) -> None:
    assert json_problem(make(data)) is None


def test_words_and_place_are_those_of_a_jobs_traceback(make: Make) -> None:
    data = b'{"a": 1,\n  "b": oops}'
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(data)
    problem = json_problem(make(data))
    assert problem is not None
    assert str(caught.value).startswith(f"{problem.message}: line {problem.line} column {problem.column} ")


def test_bytes_that_are_not_known_prove_nothing(make: Make) -> None:
    assert json_problem(make(b'{"a": [1, 2', missing=40)) is None
    broken = json_problem(make(b'{"a": [1, x, ', missing=40))
    assert broken is not None
    assert (broken.kind, broken.offset) == ("malformed", 10)


def test_a_body_that_still_comes_is_not_truncated(make: Make) -> None:
    body = make(b'{"a": [1, 2', complete=False)
    body.ended = False
    assert json_problem(body) is None
    empty = make(b"", complete=False)
    empty.ended = False
    assert json_problem(empty) is None


def test_a_compressed_body_that_ends_early_truncates_its_json(make: Make) -> None:
    text = json.dumps(list(range(9000)))
    packed = gzip.compress(text.encode())
    problem = json_problem(make(packed[: len(packed) // 2], fields="content-encoding: gzip", complete=False))
    assert problem is not None
    assert problem.kind == "truncated"
    assert json_problem(make(packed, fields="content-encoding: gzip")) is None


def test_the_end_of_a_large_body_is_looked_at(make: Make) -> None:
    row = b'{"id": 1, "name": "x"},'
    rows = b"[" + row * (HEAD_LIMIT * 2 // len(row))
    for tail, expected in ((b'{"id": 2}]', None), (b'{"id": 2, "na', "truncated")):
        body = make(b"")
        whole = rows + tail
        for at in range(0, len(whole), 4096):
            body.add(whole[at : at + 4096], 0)
        problem = json_problem(body)
        assert (problem and problem.kind) == expected


def test_values(make: Make) -> None:
    assert json_value(make(b'{"a": 1}')) == {"a": 1}
    assert json_value(make(b'{"a": 1', missing=1)) is None
    assert json_value(make(b"no")) is None


def test_deep_nesting_is_no_fault(make: Make) -> None:
    assert json_problem(make(b"[" * 100_000)) is None


_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=8,
)


_DOCUMENTS = st.one_of(
    st.lists(_VALUES, min_size=1), st.dictionaries(st.text(max_size=4), _VALUES, min_size=1, max_size=4)
)


@settings(max_examples=100, deadline=None)
@given(_DOCUMENTS, st.booleans())
def test_no_prefix_of_a_document_is_malformed(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert text_problem(text) is None
    for at in range(1, len(text)):
        problem = text_problem(text[:at])
        assert problem is not None, text[:at]
        assert problem.kind == "truncated", text[:at]


_MUTATION = st.tuples(st.floats(0, 0.999), st.sampled_from(list('{}[]",:x0-.e\\ tn\n')), st.booleans())


@settings(max_examples=400, deadline=None)
@given(st.lists(_VALUES, min_size=1), _MUTATION)
def test_jiter_agrees_on_damaged_documents(value: Any, mutation: tuple[float, str, bool]) -> None:
    text = json.dumps(value)
    where, char, insert = mutation
    at = int(where * len(text))
    text = text[:at] + char + text[at + (not insert) :]
    ours = text_problem(text)
    try:
        jiter.from_json(text.encode(), allow_inf_nan=False)
        theirs = None
    except ValueError as error:
        theirs = "truncated" if str(error).startswith("EOF") else "malformed"
    if theirs is None:
        assert ours is None
    elif ours is None or ours.kind != theirs:
        # where they differ on purpose: newline-delimited JSON, escapes that only jiter checks, calls
        assert "\n" in text or "\\" in text or "(" in text, (ours, theirs, text)
