"""What every decoder must do, checked on the examples that each carries.

`EXAMPLES`: (client bytes, server bytes, summaries of all messages when the client's bytes come first, then the
server's, then both sides end). `NOT_ME`: (client bytes, server bytes) that must be refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.decoders import DECODERS, Decoder
from systrace.messages.piece import Piece
from systrace.messages.replies import Reply
from systrace.model import RETURNED, Message, Received, Record, Sent, Socket

REFUSED = 20  # identify() below this is a refusal
TAILS = (b"\x00\xff\x00\xff\x80garbage", b"<html>502 Bad Gateway</html>\r\n", b"\r\n\r\n")
Example = tuple[bytes, bytes, list[str]]
Bytes = list[tuple[bool, bytes, int]]  # (by the client, known, missing after them)

CARRIERS: dict[str, Any] = {name: cls for name, cls in DECODERS.items() if getattr(cls, "EXAMPLES", None)}
EXAMPLES = [pytest.param(c, e, id=f"{n}-{i}") for n, c in CARRIERS.items() for i, e in enumerate(c.EXAMPLES)]
STRANGERS = [pytest.param(c, n, id=f"{k}-{i}") for k, c in CARRIERS.items() for i, n in enumerate(c.NOT_ME)]
ALL = [pytest.param(cls, id=name) for name, cls in DECODERS.items()]


def piece(client: bool, known: bytes, missing: int = 0) -> Piece:
    """Bytes that one call moved."""
    size = len(known) + missing
    record = Record(0, 1, 1, 1_000, 10, "sendto" if client else "recvfrom", b"", size, None, RETURNED, b"")
    event = (Sent if client else Received)(record, 3, size, b"", None, lambda _: [(known, size)])
    return Piece.of(event)


def messages(cls: type[Decoder], said: Bytes, how: str = "eof") -> list[Message]:
    """All messages of a conversation that both sides end."""
    decoder = cls(Socket("S1", "inet", "stream", role="client"))
    out: list[Message] = []
    for client, known, missing in said:
        if known or missing:
            out += decoder.feed(client, piece(client, known, missing))
        if decoder.handed_over:
            assert all(isinstance(p, Piece) for _, p in decoder.leftover())
            return out
    out += decoder.end(False, how)
    out += decoder.end(True, how)
    return out


def summaries(cls: type[Decoder], said: Bytes) -> list[str]:
    """What each message says of itself."""
    return [message.summary for message in messages(cls, said)]


def in_order(wanted: list[str], found: list[str]) -> bool:
    """Are all of `wanted` in `found`, in this order?"""
    rest = iter(found)
    return all(any(one == other for other in rest) for one in wanted)


@pytest.mark.parametrize(("cls", "example"), EXAMPLES)
class TestExamples:
    """The examples that decoders carry."""

    def test_whole(self, cls: type[Decoder], example: Example) -> None:
        client, server, expected = example
        assert summaries(cls, [(True, client, 0), (False, server, 0)]) == expected

    def test_byte_by_byte(self, cls: type[Decoder], example: Example) -> None:
        client, server, expected = example
        said = [(True, bytes([b]), 0) for b in client] + [(False, bytes([b]), 0) for b in server]
        assert summaries(cls, said) == expected

    def test_a_foreign_tail_changes_nothing_before_it(self, cls: type[Decoder], example: Example) -> None:
        client, server, _ = example
        expected = [m.summary for m in messages(cls, [(True, client, 0), (False, server, 0)]) if m.complete]
        for tail in TAILS:
            found = summaries(cls, [(True, client, 0), (False, server, 0), (False, tail, 0)])
            assert in_order(expected, found)

    def test_all_prefixes_end_well(self, cls: type[Decoder], example: Example) -> None:
        client, server, _ = example
        for cut in range(0, len(server), max(1, len(server) // 60)):
            for how in ("eof", "reset", "closed", "unfinished"):
                for message in messages(cls, [(True, client, 0), (False, server[:cut], 0)], how):
                    assert message.summary.isprintable()

    def test_a_gap_invents_no_text(self, cls: type[Decoder], example: Example) -> None:
        client, server, _ = example
        for start in range(0, len(server), max(1, len(server) // 40)):
            for size in (1, 7, 60):
                gap = server[start : start + size]
                said: Bytes = [(True, client, 0), (False, server[:start], len(gap)), (False, server[start + size :], 0)]
                runs = (
                    " ".join(server[:start].decode("latin-1").split()),
                    " ".join(server[start + size :].decode("latin-1").split()),
                )
                for message in messages(cls, said):
                    assert message.summary.isprintable()
                    if isinstance(message, Reply) and message.text and " " in message.text:
                        words = message.text.rstrip("…").split()
                        assert all(any(word in run for run in runs) for word in words), message.text

    def test_gaps_in_what_the_client_said_do_no_harm(self, cls: type[Decoder], example: Example) -> None:
        client, server, _ = example
        for start in range(0, len(client), max(1, len(client) // 40)):
            gap = client[start : start + 9]
            said: Bytes = [(True, client[:start], len(gap)), (True, client[start + 9 :], 0), (False, server, 0)]
            assert all(message.summary.isprintable() for message in messages(cls, said))

    def test_it_is_recognised(self, cls: type[Decoder], example: Example) -> None:
        client, server, _ = example
        score = cls.identify(client[:256], server[:256])
        assert score >= 40
        others = {n: c.identify(client[:256], server[:256]) for n, c in DECODERS.items() if c is not cls}
        assert all(score > other for other in others.values()), others

    def test_commands_are_short(self, cls: type[Decoder], example: Example) -> None:
        client, server, _ = example
        for message in messages(cls, [(True, client, 0), (False, server, 0)]):
            assert len(message.summary) <= (200 if message.direction == "received" else 80) + 30
            assert message.protocol == cls.name
            assert message.events
            assert message.start_ns is not None


@pytest.mark.parametrize(("cls", "stranger"), STRANGERS)
def test_strangers_are_refused(cls: type[Decoder], stranger: tuple[bytes, bytes]) -> None:
    assert cls.identify(*stranger) < REFUSED


@pytest.mark.parametrize("cls", ALL)
class TestHostileInput:
    """Whatever comes, nothing raises, and time is linear."""

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_nothing_raises(self, cls: type[Decoder], data: st.DataObject) -> None:
        examples = getattr(cls, "EXAMPLES", None) or [(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", [])]
        seeds = st.sampled_from([part for example in examples for part in example[:2]])
        noise = st.one_of(st.binary(max_size=40), seeds, seeds.flatmap(_mutated))
        said = data.draw(st.lists(st.tuples(st.booleans(), noise, st.sampled_from([0, 0, 0, 1, 5, 300])), max_size=8))
        for message in messages(cls, said, data.draw(st.sampled_from(["eof", "reset", "closed", "unfinished"]))):
            assert message.summary.isprintable()
        for _, known, _ in said:
            assert 0 <= cls.identify(known, b"") <= 100
            assert 0 <= cls.identify(b"", known) <= 100

    def test_time_is_linear(self, cls: type[Decoder]) -> None:
        examples = getattr(cls, "EXAMPLES", None) or [(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", [])]
        client, server, _ = examples[0]
        for filler in (server, client, b"a", b"\x00", b"\r\n", b"1 "):
            assert any(_is_linear(cls, client, server, filler) for _ in range(5)), filler


def _mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """An example with one byte changed."""
    if not seed:
        return st.just(b"")
    change = st.tuples(st.integers(0, len(seed) - 1), st.integers(0, 255))
    return change.map(lambda c: seed[: c[0]] + bytes([c[1]]) + seed[c[0] + 1 :])


def _said(client: bytes, server: bytes, filler: bytes, size: int) -> Iterator[tuple[bool, bytes, int]]:
    yield True, client, 0
    yield False, server, 0
    text = (filler * (size // max(1, len(filler)) + 1))[:size] if filler else b"x" * size
    for at in range(0, size, 20):
        yield False, text[at : at + 20], 0
    for at in range(0, size, 20):
        yield True, text[at : at + 20], 0


def _is_linear(cls: type[Decoder], client: bytes, server: bytes, filler: bytes) -> bool:
    """A ratio, with room for a machine that is busy in one of the two runs."""
    short, long = (_seconds(cls, client, server, filler, n) for n in (2_000, 16_000))
    return long < 40 * short + 0.05


def _seconds(cls: type[Decoder], client: bytes, server: bytes, filler: bytes, size: int) -> float:
    said = list(_said(client, server, filler, size))
    start = time.process_time()
    messages(cls, said)
    return time.process_time() - start
