"""The contract of decoders, on what real programs said to each other: see `recordings`.

However the bytes come, and whatever follows them, the messages are the same; where bytes are missing, nothing is said
that is not true of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from systrace.decoders import DECODERS, Decoder, Keyed
from systrace.decoders.choosing import choose
from systrace.decoders.parts.tls_keys import KeyLog
from systrace.messages.piece import Piece
from systrace.model import RETURNED, Message, Received, Record, Sent, Socket
from tests.decoders.recordings import Recording, recordings
from tests.decoders.relay import Said
from tests.decoders.servers import claims_no_more

TAILS = (
    b"\x00\xff\x00\xff\x80garbage",
    b"<html>502 Bad Gateway</html>\r\n",
    b"\r\n\r\n",
    b"\x15\x03\x03\x00\x02\x02\x28",
)
RECORDED = recordings()
ALL = [pytest.param(one, id=one.name) for one in RECORDED]
STREAMS = [pytest.param(one, id=one.name) for one in RECORDED if not one.datagrams]
pytestmark = pytest.mark.parametrize("recording", ALL)


def decoder_of(recording: Recording) -> Decoder:
    """A new one, with the session keys that were recorded."""
    decoder = DECODERS[recording.protocol](
        Socket("S1", "inet", "dgram" if recording.datagrams else "stream", role="client")
    )
    if recording.keylog and isinstance(decoder, Keyed):
        keylog = KeyLog()
        for line in recording.keylog.encode().splitlines():
            keylog.add(line)
        decoder.use(keylog)
    return decoder


def piece(client: bool, known: bytes, missing: int, line: int) -> Piece:
    """Bytes that one call moved."""
    size = len(known) + missing
    record = Record(0, line, 1, line * 1000, 10, "sendto" if client else "recvfrom", b"", size, None, RETURNED, b"")
    event = (Sent if client else Received)(record, 3, size, b"", None, lambda _: [(known, size)])
    return Piece.of(event)


def messages(recording: Recording, said: Said) -> list[Message]:
    """All messages of a conversation, up to where another protocol takes over."""
    decoder = decoder_of(recording)
    out: list[Message] = []
    for line, (client, known, missing) in enumerate(said, 1):
        if known or missing:
            out += decoder.feed(client, piece(client, known, missing, line))
        if decoder.handed_over:
            return out
    out += decoder.end(False, "eof")
    out += decoder.end(True, "eof")
    return out


def decoder_hands_over(recording: Recording) -> bool:
    """STARTTLS and the like."""
    decoder = decoder_of(recording)
    for line, (client, known, missing) in enumerate(recording.said, 1):
        list(decoder.feed(client, piece(client, known, missing, line)))
    return decoder.handed_over


def facts(found: list[Message]) -> list[tuple[object, ...]]:
    """What each message says of itself, apart from when it came."""
    return [
        (
            type(message).__name__, message.direction, message.summary, message.complete,
            getattr(message, "code", ""), getattr(message, "received_length", None),
        )
        for message in found
    ]  # fmt: skip


def in_steps(said: Said, step: int) -> Iterator[tuple[bool, bytes, int]]:
    """The same bytes, so many a call."""
    for client, data, missing in said:
        for at in range(0, len(data), step):
            yield client, data[at : at + step], missing if at + step >= len(data) else 0


def test_it_is_recognised(recording: Recording) -> None:
    kind = "dgram" if recording.datagrams else "stream"
    socket = Socket("S1", "inet", kind, role="client")
    assert choose(recording.client[:256], recording.server[:256], socket) is DECODERS[recording.protocol]


def test_whole(recording: Recording) -> None:
    found = messages(recording, list(recording.said))
    assert found
    assert all(message.summary.isprintable() and message.events for message in found)
    breaks_off = "breaks-off" in recording.name
    assert all(message.complete for message in found) or breaks_off


@pytest.mark.parametrize("step", [1, 2, 7, 100])
def test_in_small_calls(recording: Recording, step: int) -> None:
    if recording.datagrams:
        step = 1 << 16  # a datagram comes whole or not at all
    expected = facts(messages(recording, list(recording.said)))
    assert facts(messages(recording, list(in_steps(list(recording.said), step)))) == expected


def test_a_foreign_tail_changes_nothing_before_it(recording: Recording) -> None:
    expected = [
        fact for fact in facts(messages(recording, list(recording.said))) if fact[3] and "Records" not in str(fact[0])
    ]
    for tail in TAILS:
        found = iter(facts(messages(recording, [*recording.said, (False, tail, 0)])))
        assert all(any(fact == other for other in found) for fact in expected)


@pytest.mark.parametrize("keep", [8, 16, 32, 64, 100])
def test_cut_strings(recording: Recording, keep: int) -> None:
    """As with `-s keep`."""
    whole = messages(recording, list(recording.said))
    cut = [(client, data[:keep], len(data[keep:])) for client, data, _ in recording.said]
    claims_no_more(messages(recording, cut), whole)


def test_calls_whose_bytes_are_unknown(recording: Recording) -> None:
    """As after sendfile(2) and splice(2): one call after the other is a hole. What is said of answers stays true;
    requests may then look unanswered, or be no more than lines of a mail: no rule takes that for a fault of the peer.
    """
    whole = messages(recording, list(recording.said))
    if decoder_hands_over(recording):
        return  # what came later is of another protocol, which cannot be told without the words that led to it
    for at in range(min(len(recording.said), 40)):
        said = [(c, b"", len(data)) if i == at else (c, data, m) for i, (c, data, m) in enumerate(recording.said)]
        received = [message for message in messages(recording, said) if message.direction == "received"]
        claims_no_more(received, whole)
