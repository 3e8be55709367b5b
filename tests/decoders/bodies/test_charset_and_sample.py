"""Character sets, sniffing, and the bounded sample."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import zlib
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from systrace.decoders import Piece
from systrace.decoders.bodies.body import HEAD_LIMIT, TAIL_LIMIT, Body, Gap
from systrace.decoders.bodies.charset import charset_problem, declared_charset, text_of
from systrace.decoders.bodies.problem import printable
from systrace.decoders.bodies.sniffing import KINDS, sniff
from systrace.model import Transfer

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


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"a": 1}', "json"),
        (b' [ {"a"', "json"),
        (b"[]", "json"),
        (b"true", "json"),
        (b")]}',\n{}", "json"),
        (b"[section]\nkey = value", "text"),
        (b"{ not json", "text"),
        (b"<!DOCTYPE HTML PUBLIC>", "html"),
        (b"\r\n\r\n<html lang=de>", "html"),
        (b"<!-- x --><body>", "html"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "xml"),
        (b"<soapenv:Envelope xmlns:soapenv='x'>", "xml"),
        (b"a;b;c\n1;2;3\n", "csv"),
        (b"a\tb\n1\t2\n3\t4\n", "csv"),
        (b"ORA-12541: TNS:no listener\n", "text"),
        ("Grüße".encode("latin-1"), "text"),
        ('{"a": 1}'.encode("utf-16-le"), "json"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (zlib.compress(TEXT), "zlib"),
        (zstd.compress(b"x"), "zstd"),
        (bz2.compress(b"x"), "bzip2"),
        (lzma.compress(b"x"), "xz"),
        (b"PK\x03\x04\x14", "zip"),
        (b"%PDF-1.7", "pdf"),
        (pickle.dumps({"a": 1}), "pickle"),
        (b"\x16\x03\x01\x02\x00", "tls"),
        (b"HTTP/1.1 200 OK", "http"),
        (b"\x00\x01\x02\x03", "binary"),
        (b"", "unknown"),
    ],
)
def test_kinds(data: bytes, kind: str) -> None:
    assert sniff(data) == kind
    assert kind in KINDS


def test_empty_is_not_unknown(make: Make) -> None:
    assert make(b"").kind() == "empty"
    assert make(b"", missing=9).kind() == "unknown"


@given(st.binary(max_size=200))
def test_every_kind_is_listed(data: bytes) -> None:
    assert sniff(data) in KINDS
    assert printable(data).isprintable()


def test_the_sample_is_bounded_and_says_what_it_lacks(call: Callable[..., Transfer]) -> None:
    body = Body()
    size = 0
    for at in range(100):
        chunk = bytes([at]) * 10_000
        body.add_piece(Piece.of(call(False, [(chunk, 0)])))
        size += len(chunk)
    assert body.received == size
    assert HEAD_LIMIT <= len(body.raw()) < HEAD_LIMIT + 10_000
    assert TAIL_LIMIT <= len(body.tail()) < TAIL_LIMIT + 10_000
    assert body.gaps == [Gap(len(body.raw()), size - len(body.raw()) - len(body.tail()))]
    assert not body.whole
    assert body.tail().endswith(b"\x63")
    body.shrink(1000)
    assert (body.held, body.received, len(body.raw()), body.tail()) == (1000, size, 1000, b"")


def test_gaps_merge(make: Make) -> None:
    body = make(b"ab", missing=2)
    body.add(b"", 3)
    body.add(b"cd", 0)
    body.add(b"ef", 1)
    assert body.parts == [(b"ab", 5), (b"cdef", 1)]
    assert body.gaps == [Gap(2, 5), Gap(11, 1)]
    assert (body.raw(), body.tail(), body.received) == (b"ab", b"", 12)
