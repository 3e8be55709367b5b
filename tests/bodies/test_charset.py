"""Character sets."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from systrace.bodies.charset import charset_problem, declared_charset, text_of
from systrace.messages.body import Body

Make = Callable[..., Body]

TEXT = b"The quick brown fox. " * 400


@pytest.mark.parametrize(
    ("data", "fields", "kind", "offset", "byte", "actual"),
    [
        ('{"n": "Müller"}'.encode("latin-1"), "content-type: application/json", "invalid", 8, 0xFC, "windows-1252"),
        (b'\xef\xbb\xbf{"a": 1}', "", "bom", 0, 0xEF, "utf-8"),
        (
            "name;ort\nMüller;Köln\n".encode(),
            "content-type: text/csv; charset=iso-8859-1",
            "mismatch",
            10,
            0xC3,
            "utf-8",
        ),
        (
            '{"a": "b"}'.encode("utf-16"),
            "content-type: application/json; charset=utf-8",
            "mismatch",
            0,
            0xFF,
            "utf-16-le",
        ),
        (b'{"n": "M\xc3\x83\xc2\xbcller"}', "", "double-encoded", 8, 0xC3, None),
        (b'{"n": "M\xc3', "", "truncated", 8, 0xC3, "utf-8"),
        (b'{"a": 1}', "content-type: text/plain; charset=klingon", "unknown", 0, None, None),
        (b'<?xml version="1.0" encoding="utf-8"?>\n<a>\xe9t\xe9 </a>', "", "invalid", 42, 0xE9, "windows-1252"),
        ("Grüße, 世界".encode(), "content-type: text/plain; charset=us-ascii", "invalid", 2, 0xC3, "utf-8"),
    ],
)
def test_charset_problems(
    data: bytes, fields: str, kind: str, offset: int, byte: int | None, actual: str | None, make: Make
) -> None:
    problem = charset_problem(make(data, fields=fields))
    assert problem is not None
    assert (problem.kind, problem.offset, problem.byte, problem.actual) == (kind, offset, byte, actual)


@pytest.mark.parametrize(
    ("data", "missing", "fields"),
    [
        ('{"n": "Müller — 世界 😀"}'.encode(), 0, ""),
        ("Müller".encode("latin-1"), 0, "content-type: text/plain; charset=ISO-8859-1"),
        (b'{"n": "M\xc3', 5, ""),
        (gzip.compress(TEXT, mtime=0), 0, ""),
        ("<a>é</a>".encode("utf-16"), 0, 'content-type: text/xml; charset="utf-16"'),
        ("日本".encode("shift_jis"), 0, "content-type: text/plain; charset=Shift_JIS"),
    ],
)
def test_no_charset_problem(data: bytes, missing: int, fields: str, make: Make) -> None:
    assert charset_problem(make(data, missing, fields)) is None


def test_who_declares(make: Make) -> None:
    assert declared_charset(make(b"x", fields="content-type: text/plain; charset='Latin1'")) == ("latin1", "header")
    assert declared_charset(make(b'<?xml version="1.0" encoding="KOI8-R"?><a/>')) == ("koi8-r", "xml")
    assert declared_charset(make(b'<html><meta charset="gbk">')) == ("gbk", "meta")
    assert declared_charset(make(b"x")) == ("utf-8", "default")
    assert text_of(make("é".encode("latin-1"), fields="content-type: text/plain; charset=latin1")) == "é"
