"""The words that parsers of many languages use are recognised, each by the pattern of its own format."""

from __future__ import annotations

import re

import pytest

from systrace.rules.content.defect import EMPTY_WORDS, JSON_WORDS, TEXT_WORDS, VALUE_WORDS, XML_WORDS, Defect, says


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (JSON_WORDS, "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        (JSON_WORDS, "SyntaxError: Unexpected token '<', \"<!DOCTYPE\"... is not valid JSON"),
        (JSON_WORDS, "parse error: Invalid numeric literal at line 1, column 10"),
        (JSON_WORDS, "malformed JSON string, neither tag, array, object"),
        (XML_WORDS, "org.xml.sax.SAXParseException: Content is not allowed in prolog."),
        (XML_WORDS, "xml.etree.ElementTree.ParseError: mismatched tag: line 1, column 9"),
        (TEXT_WORDS, "java.nio.charset.MalformedInputException: Input length = 1"),
        (TEXT_WORDS, "invalid byte sequence in UTF-8 (ArgumentError)"),
        (VALUE_WORDS, "KeyError: 'orders'"),
        (VALUE_WORDS, "undefined method `strip' for nil:NilClass (NoMethodError)"),
        (EMPTY_WORDS, "SyntaxError: Unexpected end of JSON input"),
    ],
)
def test_parsers_words(pattern: str, text: str) -> None:
    """As the libraries print them."""
    assert re.search(pattern, text)


@pytest.mark.parametrize("pattern", [JSON_WORDS, XML_WORDS, TEXT_WORDS, VALUE_WORDS, EMPTY_WORDS])
def test_other_deaths_are_not_taken_for_parsers(pattern: str) -> None:
    """A full disk, a refused connection."""
    assert not re.search(pattern, "OSError: [Errno 28] No space left on device")
    assert not re.search(pattern, "connect to 192.0.2.7 port 80 failed: Connection refused")


def test_nobody_says_nothing() -> None:
    """Without a victim no words fit."""
    assert not says(None, JSON_WORDS)
    assert Defect("invalid-json", "malformed", "is", JSON_WORDS).proof
