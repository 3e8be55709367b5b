"""Nothing that a trace says may command a terminal."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace import words
from systrace.words import ascii_only, clean, columns, cut, cut_middle, encoded, payload, safe, without_holes, wrap


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("Zürich 東京", "Zürich 東京"),
        (b"\x1b[2J", "\\x1b[2J"),
        (b"\xc2\x9b2J", "\\x9b2J"),  # C1 CSI, as UTF-8
        (b"\xff\xfe", "\\xff\\xfe"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("a\x7fb", "a\\x7fb"),
        ("\u202egnp.exe", "\\u{202e}gnp.exe"),
        ("\u2066x\u2069", "\\u{2066}x\\u{2069}"),
        ("a\u200bb\ufeff", "a\\u{200b}b\\u{feff}"),
        ("\ud800", "\\u{d800}"),
        (os.fsdecode(b"a\xff"), "a\\xff"),
        ("\U000e0041", "\\u{e0041}"),
        ("\u3164", "\\u{3164}"),
        ("\xa0", "\\xa0"),
        ("e\u0301", "e\u0301"),
        ("\u0301", "\\u{301}"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + "\\u{301}" * 2),
    ],
)
def test_safe(raw: str | bytes, shown: str) -> None:
    assert safe(raw) == shown


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)), st.integers(1, 40))
def test_safe_is_one_harmless_line_of_at_most_that_width(raw: str | bytes, width: int) -> None:
    shown = safe(raw, width)
    assert columns(shown) <= width
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"}
    shown.encode("utf-8")


@given(st.binary(max_size=200))
def test_a_terminal_shows_safe_text_where_it_was_put(raw: bytes) -> None:
    screen = pyte.Screen(200, 4)
    pyte.Stream(screen).feed("\r\n" + safe(raw, 150).replace("\u3000", " ") + "\r\nend")
    assert screen.display[0].strip() == ""
    assert screen.display[2].rstrip() == "end"
    assert screen.title == ""


@given(st.text(max_size=80), st.integers(1, 60))
def test_cutting_keeps_the_width(raw: str, width: int) -> None:
    shown = safe(raw)
    assert columns(cut(shown, width)) <= width
    assert columns(cut_middle(shown, width)) <= width
    assert (cut(shown, width) == shown) == (columns(shown) <= width)


def test_the_end_of_a_call_survives_cutting() -> None:
    call = "recvfrom(3<TCP:[10.0.0.1:40000->192.0.2.7:80]>, 0x7ffd43711360, 16384) = -1 EAGAIN <60.06>"
    short = cut_middle(call, 60)
    assert short.startswith("recvfrom(3<TCP:")
    assert short.endswith("= -1 EAGAIN <60.06>")
    assert len(short) == 60


def test_payload() -> None:
    assert payload(b"GET / HTTP/1.1\r\nHost: a\r\n", 60) == '"GET / HTTP/1.1\\r\\nHost: a\\r\\n"'
    assert payload(b"\x00\x1b]0;title\x07", 60) == '"\\x00\\x1b]0;title\\x07"'
    assert columns(payload(b"x" * 100_000, 30)) == 30


def test_wrap_keeps_long_words_whole() -> None:
    path = "/a" * 40
    assert wrap(f"see {path} there", 30, "- ", "  ") == ["- see", f"  {path}", "  there"]
    assert wrap("", 30, "- ") == ["- "]


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(words).failed == 0


@pytest.mark.parametrize(
    ("locale", "written"),
    [
        ({"LANG": "de_DE.UTF-8"}, "“\u00e4…”".encode()),
        ({"LANG": "C.utf8"}, "“\u00e4…”".encode()),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, b'"\\xe4..."'),
        ({"LANG": "de_DE.ISO-8859-1"}, b'"\\xe4..."'),
        ({"LC_CTYPE": "C.UTF-8"}, b'"\\xe4..."'),  # this process was not started with it: Python's own doing
        ({}, b'"\\xe4..."'),
    ],
)
def test_a_locale_without_utf8_gets_ascii(
    locale: dict[str, str], written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(words, "_was_set", lambda _name: False)
    ascii_only.cache_clear()
    try:
        assert encoded("“\u00e4…”") == written
        assert columns(cut("a" * 20, 10)) == columns(cut_middle("a" * 20 + "b" * 20, 30)) - 20 == 10
        assert cut("a" * 20, 10).isascii() == written.isascii()
    finally:
        ascii_only.cache_clear()


def test_under_cron_a_report_is_ascii() -> None:
    """No locale at all, as cron starts jobs; the whole way, as Python sets LC_CTYPE itself."""
    log = Path(__file__).parents[1] / "samples" / "html-instead-of-json" / "trace.strace"
    command = [sys.executable, "-m", "systrace", "parse", str(log)]
    plain = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LC_CTYPE", "LANG")}
    for environment, ascii_expected in ((plain, True), (plain | {"LANG": "C.UTF-8"}, False)):
        report = subprocess.run(command, capture_output=True, env=environment, check=False).stdout
        assert report.startswith(b"FAILED")
        assert report.isascii() == ascii_expected


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_what_is_kept_is_safe_too(raw: bytes | str) -> None:
    text = clean(raw)
    assert not {unicodedata.category(character) for character in text} & {"Cc", "Cs", "Cf"}
    text.encode()


def test_long_text_is_kept_in_part() -> None:
    assert len(clean(b"x" * 10_000, 50)) == 50


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("it waited an unknown time for data, came an unknown time after", "it waited for data, came some time after"),
        ("no answer for an unknown time, failed (an unknown time)", "no answer, failed"),
        ("sleeps on purpose: an unknown time so far", "sleeps on purpose"),
        ("waited 5 s (an unknown timer)", "waited 5 s (an unknown timer)"),
    ],
)
def test_what_nobody_knows_is_left_out(text: str, shown: str) -> None:
    assert without_holes(text) == shown
