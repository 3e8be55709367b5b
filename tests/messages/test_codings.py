"""Content codings undone: whole, damaged, declared and not so, bombs."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
from backports import zstd

from systrace.messages.body import Body
from systrace.messages.codings import decode_content
from systrace.messages.problem import Problem

Make = Callable[..., Body]

TEXT = b"The quick brown fox. " * 400


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
