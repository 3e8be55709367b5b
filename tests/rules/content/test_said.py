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
        ("failed: no rows\n\\x89PNG error\\x00\\x01\\x02\n", "", "failed: no rows"),
        ("Erreur: requ\\xeate refus\\xe9e, error 4\n", "", "Erreur: requ"),
        ("\x1b[31mfailed\x1b[0m\n", "", "\\x1b[31mfailed"),
        ("", "", ""),
    ],
)
def test_the_sentence_that_says_most_is_quoted(text: str, words: str, line: str) -> None:
    """Frames of a traceback are not; what a terminal could obey is escaped."""
    assert Said(text).line(words).startswith(line)
    assert Said(text).line(words).isprintable()


def test_lines_that_name_another_host_are_not_of_this_peer() -> None:
    said = Said(
        "ValueError: b.example sent rubbish\nno rows from a.example\nb.example and a.example differ\nfailed: 192.0.2.71\n"
    )
    said.text += "refused by 2001:db8::7\nvisit b.example:8080.\n"
    left = said.without(frozenset(("b.example", "192.0.2.7", "2001:db8::7")), frozenset(("a.example",)))
    assert left.text.splitlines() == ["no rows from a.example", "b.example and a.example differ", "failed: 192.0.2.71"]


def test_a_long_word_is_looked_at_once() -> None:
    """What a program dumped to its error channel: at each letter of it a host may begin (quadratic, this would take hours)."""
    dump = "y" * 1_000_000
    assert Said(dump).without(frozenset({"b.example"}), frozenset()).text == dump
