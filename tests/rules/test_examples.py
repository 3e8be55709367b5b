"""The lines that the rules' examples are made of are what strace prints."""

from __future__ import annotations

from systrace.rules import RULES
from systrace.rules.examples import answered, asks, connects, exits, gets


def test_sizes_are_those_of_the_bytes() -> None:
    """strace escapes what it shows: `\\r` and `\\344` are one byte each."""
    assert asks("GET\\r\\n") == '9 1.1 sendto(3, "GET\\r\\n", 5, 0, NULL, 0) = 5 <0.0001>\n'
    assert gets("K\\344se").endswith("= 4 <0.01>\n")
    assert gets("").endswith("= 0 <0.01>\n")


def test_an_answer_declares_its_length() -> None:
    """An example of a wrong body is not one of a cut answer by accident."""
    assert "Content-Length: 9\\r\\n\\r\\na,b\\n1,2\\n2" in answered("text/csv", "a,b\\n1,2\\n2")


def test_a_connect_names_its_peer() -> None:
    """Port and host are those that were asked for."""
    line = connects("0 <0.01>", 21, "1.4", fd=4, host="192.0.2.8")
    assert line.startswith("9 1.4 connect(4, {sa_family=AF_INET, sin_port=htons(21), ")
    assert 'inet_addr("192.0.2.8")}, 16) = 0 <0.01>' in line


def test_every_example_is_of_whole_lines() -> None:
    """What is joined has its line ends."""
    for rule in RULES.values():
        for text in (rule.fires, rule.silent):
            assert all(line[:1].isdigit() for line in text.splitlines()), rule.cause
    assert exits("1.5", 3) == "9 1.5 +++ exited with 3 +++"
