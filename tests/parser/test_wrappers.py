"""The layers one by one: what they do with lines that are not theirs."""

from __future__ import annotations

import pytest

from systrace.parser.wrappers import (
    Layer,
    Place,
    column_layer,
    cri_layer,
    dollar_layer,
    html_layer,
    json_layer,
    plain_text,
    terminal_layer,
)

STAMP = b"2024-05-01T10:00:00.123456789Z "


@pytest.mark.parametrize("layer", [json_layer, cri_layer, html_layer, dollar_layer, terminal_layer, column_layer(80)])
@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{\n", b'{"log": 7}\n', b'["log"]\n', b"\xff\xfe\n", b'{"a":' * 2000 + b"\n"]
)
def test_a_foreign_line_passes(layer: Layer, line: bytes) -> None:
    """As it is, but for a newline at the end."""
    assert b"".join(layer([line], Place())).rstrip(b"\n") == line.rstrip(b"\n")


def test_json_strings_with_half_a_character() -> None:
    r"""A surrogate that stands for no byte becomes a question mark."""
    assert list(json_layer([b'{"message": "a\\ud800b \\udce9"}\n'], Place())) == [b"a?b ?\n"]
    assert list(json_layer([b'{"message": "a\\udce9b"}\n'], Place())) == [b"a\xe9b\n"]


def test_parts_of_both_streams() -> None:
    """Each stream is cut on its own; what never ends is given at the end."""
    lines = [b'{"log":"a","stream":"stdout"}', b'{"log":"b","stream":"stderr"}', b'{"log":"c\\n","stream":"stdout"}']
    assert list(json_layer(lines, Place())) == [b"ac\n", b"b"]
    wrapped = [STAMP + b"stdout P a\n", STAMP + b"stderr P b\n", STAMP + b"stdout F c\n", b"other\n"]
    assert list(cri_layer(wrapped, Place())) == [b"ac\n", b"other\n", b"b"]


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"read(3, " + b"x" * 32, b"yz, 5) = 5"], [b"read(3, " + b"x" * 32 + b"yz, 5) = 5"]),
        ([b"7 1700000000.000000 close(13333333) = 0".ljust(40, b"0"), b"7 1700000000.000001 close(2) = 0"],
         [b"7 1700000000.000000 close(13333333) = 00", b"7 1700000000.000001 close(2) = 0"]),
        ([b"7 1700000000.000000 close(133333333) = 4", b"2 <0.000001>"],
         [b"7 1700000000.000000 close(133333333) = 42 <0.000001>"]),
        ([b"7 1700000000.000000 accept(13333333, ab,", b"NULL) = 4"],
         [b"7 1700000000.000000 accept(13333333, ab,NULL) = 4"]),
        ([b"7 1700000000.000000 accept(13333333, a,", b"NULL) = 4"],
         [b"7 1700000000.000000 accept(13333333, a, NULL) = 4"]),
    ],
    ids=["broken", "a record ends at the edge", "a number goes on", "a comma at the edge", "a blank at the edge"],
)  # fmt: skip
def test_forty_columns(pieces: list[bytes], lines: list[bytes]) -> None:
    """Whether the next line goes on is decided by both."""
    found = column_layer(40)((piece + b"\n" for piece in pieces), Place())
    assert [line.rstrip(b"\n") for line in found] == lines


def test_terminal_codes() -> None:
    """Colours, titles, bracketed paste, NULs."""
    assert plain_text(b"\x1b[1;31mread\x1b[0m(\x1b]0;title\x07\0\0\x1b[?2004h3)") == b"read(3)"
