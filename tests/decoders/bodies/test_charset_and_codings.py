"""Character sets, content codings, sniffing, and the bounded sample."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import zlib
from collections.abc import Callable

import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from systrace.decoders import Piece
from systrace.decoders.bodies.body import HEAD_LIMIT, TAIL_LIMIT, Body, Gap
from systrace.decoders.bodies.charset import charset_problem, declared_charset, text_of
from systrace.decoders.bodies.content_codings import decode_content
from systrace.decoders.bodies.problem import Problem, printable
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


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


@pytest.mark.parametrize("name", PACKERS)
def test_codings_are_undone(name: str, make: Make) -> None:
    packed = PACKERS[name](TEXT)
    body = make(packed, fields=f"content-encoding: {name.upper()}")
    assert (body.data(), body.data_whole, body.kind()) == (TEXT, True, "text")
    cut = decode_content(packed[:-9], (name,), whole=True)
    assert cut.problem is not None
    assert cut.problem.kind == "truncated"
    assert TEXT.startswith(cut.data)
    assert decode_content(packed[:-9], (name,), whole=False).problem is None
    if name != "br":  # its package loses what came out of a slice with a fault
        assert decode_content(packed + b"tail", (name,), whole=True).data == TEXT


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd"])
def test_declared_but_not_encoded(name: str) -> None:
    plain = decode_content(b'{"plain": true}', (name,), whole=True)
    assert plain.problem is not None
    assert (plain.problem.kind, plain.data) == ("not-encoded", b'{"plain": true}')


def test_damage_is_located() -> None:
    noise = bytes((n * n * 31 + n) % 251 for n in range(20_000))
    packed = bytearray(gzip.compress(noise, mtime=0))
    packed[-3] ^= 0xFF
    packed[-6] ^= 0xFF
    result = decode_content(bytes(packed), ("gzip",), whole=True)
    assert result.problem is not None
    assert result.problem.kind == "malformed"
    assert len(packed) - 1024 <= result.problem.offset < len(packed)


def test_other_forms() -> None:
    assert decode_content(gzip.compress(b"a", mtime=0) + gzip.compress(b"b"), ("gzip",), whole=True).data == b"ab"
    raw = zlib.compressobj(wbits=-15)
    assert decode_content(raw.compress(TEXT) + raw.flush(), ("deflate",), whole=True).data == TEXT
    assert decode_content(gzip.compress(zlib.compress(TEXT), mtime=0), ("deflate", "gzip"), whole=True).data == TEXT
    unknown = decode_content(b"x", ("rot13",), whole=True)
    assert unknown.problem == Problem("unsupported", 0, 0, 0, "content coding 'rot13' is not known")


@pytest.mark.parametrize("name", PACKERS)
def test_bombs_end(name: str) -> None:
    result = decode_content(PACKERS[name](bytes(20_000_000)), (name,), whole=True, limit=1_000_000)
    assert result.limited
    assert len(result.data) <= 1_000_000


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
