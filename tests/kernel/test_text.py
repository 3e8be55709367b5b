"""Nothing that a terminal would obey survives."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.kernel.text import clean


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        ("höflich".encode(), "höflich"),
        (b"\x1b[2J", "\\x1b[2J"),
        (b"a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b31m", "\\x9b31m"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_comes_out(raw: bytes | str, text: str) -> None:
    assert clean(raw) == text


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_only_printable_characters_come_out(raw: bytes | str) -> None:
    text = clean(raw)
    assert not {unicodedata.category(character) for character in text} & {"Cc", "Cs"}
    text.encode()


def test_long_text_is_cut() -> None:
    assert len(clean(b"x" * 10_000, 50)) == 50
