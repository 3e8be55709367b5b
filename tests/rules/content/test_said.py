"""What is quoted of the last words of a program."""

from __future__ import annotations

import pytest

from systrace.rules.content.said import Said


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ('Traceback (most recent call last):\n  File "x.py", line 3\nValueError: bad\nbye\n', "", "ValueError: bad"),
        (
            "TypeError: fetch failed\n  [cause]: Error: self-signed certificate\n",
            "certificate",
            "[cause]: Error: self-signed",
        ),
        ("a.rb:1:in `<main>': undefined method (NoMethodError)\n\tputs JSON.parse(x)\n", "", "a.rb:1:in `<main>'"),
        ("started\nempty file\n", "", "empty file"),
        ("\x1b[31mfailed\x1b[0m\n", "", "\\x1b[31mfailed"),
        ("", "", ""),
    ],
)
def test_the_sentence_that_says_most_is_quoted(text: str, words: str, line: str) -> None:
    """Frames of a traceback are not; what a terminal could obey is escaped."""
    assert Said(text).line(words).startswith(line)
    assert Said(text).line(words).isprintable()
