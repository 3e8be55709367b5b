"""Queries for names, and their answers."""

from __future__ import annotations

from systrace.dataclass import dataclass
from systrace.model import Message


@dataclass(slots=True)
class DnsMessage(Message):
    """A query or its answer. Names are without the final dot; what `cut` hides is left out."""

    id: int = 0
    is_response: bool = False
    question: str = ""  # name asked for; "" when it is not known
    qtype: str = ""  # A, AAAA, ... TYPE123
    rcode: str = "NOERROR"
    answers: tuple[tuple[str, str, str], ...] = ()  # (name, type, value), those that are wholly known
    truncated: bool = False  # TC: the server could not send all of it over UDP
    cut: bool = False  # `-s` or the end of the stream hides a part
    answer_count: int = 0  # as the header says
    authoritative: bool = False
    recursion_available: bool = False
    tcp: bool = False
    server: str = ""  # the peer as the call or the socket names it

    @property
    def notable(self) -> bool:
        """Failed or truncated: kept in preference to others."""
        return self.rcode != "NOERROR" or self.truncated

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the A and AAAA answers."""
        return tuple(value for _, kind, value in self.answers if kind in ("A", "AAAA"))
