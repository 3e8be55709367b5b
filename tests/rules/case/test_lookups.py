"""When a question to a name server was surely not answered."""

from __future__ import annotations

import pytest

from systrace.messages.dns import DnsMessage
from systrace.model import Analysis
from systrace.rules.case.lookups import Lookup
from tests.rules.http_job import judged, left


def asked(number: int, kind: str = "A") -> DnsMessage:
    return DnsMessage("dns", "S1", "sent", None, None, "", True, id=number, question="db.example", qtype=kind)


@pytest.mark.parametrize(
    ("queries", "repeated"),
    [
        ([asked(1), asked(2, "AAAA")], False),
        ([asked(1), asked(2)], False),  # two look-ups of one name
        ([asked(1), asked(2, "AAAA"), asked(1)], True),
        ([], False),
    ],
)
def test_a_question_sent_again_had_no_answer(queries: list[DnsMessage], repeated: bool) -> None:
    """A resolver repeats a question under its own number; a new look-up takes another one."""
    assert Lookup(None, "db", queries=queries).repeated is repeated


_QUESTION = r"\22\64\1\0\0\1\0\0\0\0\0\0\2{}\7example\0\0\1\0\1"
_ANSWER = r"\22\64\201\200\0\1\0\1\0\0\0\0\2{}\7example\0\0\1\0\1\300\f\0\1\0\1\0\0\0<\0\4\300\0\2\7"
_OPEN = [
    "9 1.0 socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = 3 <0.0001>",
    '9 1.1 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.53")}, 16) = 0 <0.0001>',
]


def asks(name: str, time: float, answered: bool) -> list[str]:
    """A question for `name`.example on the one socket, always under the same number, and a wait of a second at most."""
    lines = [f'9 {time} sendto(3, "{_QUESTION.format(name)}", 28, 0, NULL, 0) = 28 <0.0001>']
    if not answered:
        return [*lines, f"9 {time + 0.1:.1f} poll([{{fd=3, events=POLLIN}}], 1, 1000) = 0 (Timeout) <1.001>"]
    return [*lines, f'9 {time + 0.1:.1f} recvfrom(3, "{_ANSWER.format(name)}", 512, 0, NULL, NULL) = 44 <0.01>']


def two_names(first: bool, second: bool, status: int) -> Analysis:
    close = "9 7.0 close(3) = 0 <0.0001>"
    return judged(*_OPEN, *asks("ax", 2.0, first), *asks("bx", 5.0, second), close, left(9, 7.1, status))


def test_names_that_are_asked_for_on_one_socket_are_counted_apart() -> None:
    """A number may be used again for the next name (RFC 1035 4.1.1: it matches replies to questions that are outstanding)."""
    finding = two_names(first=False, second=True, status=1).findings[0]
    assert finding.cause == "dns-timeout"
    assert "ax.example once, and 192.0.2.53:53 did not answer within 3.00 s" in finding.summary
    assert not any("bx.example" in line.text for line in finding.lines)


@pytest.mark.parametrize(
    ("first", "second", "status", "outcome"),
    [
        (False, True, 0, "healthy"),
        (True, True, 0, "healthy"),
        (False, True, 1, "failed"),
        (False, False, 0, "degraded"),
    ],
)
def test_a_program_that_got_over_one_name(first: bool, second: bool, status: int, outcome: str) -> None:
    """It went on to the next name, which was answered, and ended well."""
    assert two_names(first, second, status).verdict.outcome == outcome
