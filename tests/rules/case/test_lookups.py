"""When a question to a name server was surely not answered."""

from __future__ import annotations

import pytest

from systrace.messages.dns import DnsMessage
from systrace.rules.case.lookups import Lookup


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
