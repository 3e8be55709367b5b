"""Tables and records of fixed width: cut, or with rows that do not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.bodies.tabular import csv_problem, fixed_width_problem
from systrace.messages.body import Body

Make = Callable[..., Body]


@pytest.mark.parametrize(
    ("data", "missing", "expected"),
    [
        (b"a;b;c\n1;2;3\n4;5;6\n", 0, None),
        (b'a,b\n1,"x,y"\n2,"two\nlines"\n3,z\n', 0, None),
        (b"a;b;c\n1;2;3\n4;5;6\n7;8", 0, ("truncated", 18, 4)),
        (b"a;b;c\n1;2;3\n4;5;6\n7;8", 9, None),
        (b"a;b;c\n1;2;3\n4;5\n7;8;9\n1;2;3\n", 0, ("ragged", 12, 3)),
        (b"just some text\nwithout any table\nin it\n", 0, None),
    ],
)
def test_tables(data: bytes, missing: int, expected: tuple[str, int, int] | None, make: Make) -> None:
    problem = csv_problem(make(data, missing=missing))
    assert (problem and (problem.kind, problem.offset, problem.line)) == expected


def test_fixed_width_records(make: Make) -> None:
    record = b"0001MILLER    2026-01-01000012345\r\n"
    assert fixed_width_problem(make(record * 9)) is None
    cut = fixed_width_problem(make(record * 9 + record[:11]))
    assert cut is not None
    assert (cut.kind, cut.line, cut.offset) == ("truncated", 10, len(record) * 9)
    short = fixed_width_problem(make(record * 9 + b"0001\r\n" + record * 9))
    assert short is not None
    assert (short.kind, short.line) == ("ragged", 10)
    assert fixed_width_problem(make(b"line\nof\ntext that is no record\nat all\nreally\n")) is None


@given(st.binary(max_size=300))
def test_hostile_bytes_never_raise(make: Make, data: bytes) -> None:
    body = make(data)
    assert all(p is None or p.offset <= len(data) for p in (csv_problem(body), fixed_width_problem(body)))
