"""What bytes are."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import zlib

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from systrace.messages.problem import printable
from systrace.messages.sniffing import KINDS, sniff

TEXT = b"The quick brown fox. " * 400


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


@given(st.binary(max_size=200))
def test_every_kind_is_listed(data: bytes) -> None:
    assert sniff(data) in KINDS
    assert printable(data).isprintable()
