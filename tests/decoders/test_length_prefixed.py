"""Unknown protocols whose frames begin with their length."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.decoders.protocols.length_prefixed import LengthPrefixed
from systrace.messages.framing import LAYOUTS, Layout
from systrace.messages.replies import FramingError, Reply
from systrace.model import Message

Talk = Callable[..., list[Message]]


def frame(layout: Layout, body: bytes) -> bytes:
    """A frame in this layout."""
    length = len(body) + layout.width * layout.inclusive
    return length.to_bytes(layout.width, "big" if layout.order == ">" else "little") + body


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
class TestLayouts:
    """Each way to write a length."""

    def test_whole_frames(self, talk: Talk, layout: Layout) -> None:
        client = frame(layout, b"\x01hello") + frame(layout, b"\x02\xff")
        server = frame(layout, b"\x81" * 300) + frame(layout, b"\x82\x00")
        assert 40 <= LengthPrefixed.identify(client, server[:256]) < 60
        messages = talk(LengthPrefixed, [(True, client, 0), (False, server, 0)])
        sizes = [layout.width + n for n in (6, 2, 300, 2)]
        assert [m.summary for m in messages] == [f"frame of {size} bytes" for size in sizes]

    def test_a_frame_that_ends_too_early(self, talk: Talk, layout: Layout) -> None:
        client, server = frame(layout, b"\x01\x00query"), frame(layout, b"\x81ok") + frame(layout, b"\x82" * 400)[:100]
        assert LengthPrefixed.identify(client, server) >= 40
        last = talk(LengthPrefixed, [(True, client, 0), (False, server, 0)], "reset")[-1]
        assert isinstance(last, Reply)
        assert (last.complete, last.received_length, last.declared_length) == (False, 100, 400 + layout.width)
        assert last.truncated


def test_the_only_answer_ends_too_early(talk: Talk) -> None:
    client, server = b"\x00\x00\x00\x05\x01\xfeabc", b"\x00\x00\x03\xe8\x81abc"
    assert LengthPrefixed.identify(client, server) >= 40
    assert talk(LengthPrefixed, [(True, client, 0), (False, server, 0)])[-1].summary == "frame: 8 of 1004 bytes"


def test_an_impossible_length(talk: Talk) -> None:
    client = b"\x00\x00\x00\x05\x01\xfeabc" * 2
    server = b"\x00\x00\x00\x02\x81\xff" + b"ERROR\xff"
    assert LengthPrefixed.identify(client, server) >= 40
    error = talk(LengthPrefixed, [(True, client, 0), (False, server, 0)])[-1]
    assert isinstance(error, FramingError)
    assert (error.offset, error.declared_length) == (6, 0x4552524F)


def test_frames_are_counted_through_holes(talk: Talk) -> None:
    client, big = b"\x00\x00\x00\x05\x01\xfeabc", b"\x00\x00\x13\x88" + b"\x81" * 28
    said = [
        (True, client, 0),
        (False, b"\x00\x00\x00\x01\x80", 0),
        (False, big, 5004 - len(big)),
        (False, b"\x00\x00\x00\x01\x80", 0),
    ]
    assert [m.summary for m in talk(LengthPrefixed, said)][2:] == ["frame of 5004 bytes", "frame of 5 bytes"]


def test_nothing_is_claimed_behind_a_hidden_length(talk: Talk) -> None:
    said = [(True, b"\x00\x00\x00\x05\x01\xfeabc", 0), (False, b"\x00\x00\x00\x01\x80", 9), (False, b"\xff" * 9, 0)]
    assert all(m.complete for m in talk(LengthPrefixed, said))


@given(st.binary(min_size=1, max_size=300), st.binary(min_size=1, max_size=300))
def test_other_bytes_are_hardly_ever_taken(client: bytes, server: bytes) -> None:
    score = LengthPrefixed.identify(client, server)
    if score >= 40:
        assert any(len(client) >= layout.length(client) for layout in LAYOUTS if len(client) >= layout.width)
