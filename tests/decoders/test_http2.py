"""HTTP/2 and gRPC: frames by hand, header blocks by the package's encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.decoders.parts.hpack_fields import FieldTable
from systrace.decoders.protocols.http2 import PREFACE, Http2
from systrace.messages.grpc import GrpcStatus
from systrace.messages.http import Http2Error, HttpRequest, HttpResponse
from systrace.model import Message

Talk = Callable[..., list[Message]]
Said = tuple[bool, bytes, int]

SETTINGS = b"\0\0\0\x04\0\0\0\0\0"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def asked(encoder: Encoder, stream: int, path: str, flags: int = 5, **more: str) -> bytes:
    """A request's HEADERS; by default it ends its stream."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "api.example"), *more.items()]
    return frame(1, flags, stream, encoder.encode(fields))


def said(encoder: Encoder, stream: int, flags: int = 4, **fields: str) -> bytes:
    """HEADERS of a response, or trailers."""
    renamed = [(":status" if name == "status" else name.replace("_", "-"), value) for name, value in fields.items()]
    return frame(1, flags, stream, encoder.encode(renamed))


def exchange() -> list[Said]:
    """Two requests at once on one connection, answered in the other order."""
    ours, theirs = Encoder(), Encoder()
    client = PREFACE + SETTINGS + asked(ours, 1, "/one") + asked(ours, 3, "/two", 4, **{"x-token": "secret"})
    client += frame(0, 1, 3, b'{"a": 1}')
    server = SETTINGS + said(theirs, 3, status="200", content_type="application/json") + frame(0, 0, 3, b'{"ok"')
    server += said(theirs, 1, 5, status="503") + frame(0, 1, 3, b": true}")
    return [(True, client, 0), (False, server, 0)]


def find(messages: list[Message], cls: type[Any]) -> list[Any]:
    return [m for m in messages if type(m) is cls]


def view(messages: list[Message]) -> list[tuple[Any, ...]]:
    return [
        (
            type(m).__name__,
            m.summary,
            m.complete,
            getattr(m, "headers", None),
            (b := getattr(m, "body", None)) and b.parts,
        )
        for m in messages
    ]


def test_streams_come_out_as_requests_and_responses(talk: Talk) -> None:
    messages = talk(Http2, exchange())
    one, two = find(messages, HttpRequest)
    busy, fine = find(messages, HttpResponse)
    assert (one.summary, one.version, one.host, one.stream_id) == ("POST /one", "2", "api.example", 1)
    assert two.header("x-token") == "secret"
    assert two.body.data() == b'{"a": 1}'
    assert (busy.status, busy.request, busy.body) == (503, one, None)
    assert (fine.status, fine.request, fine.body.data()) == (200, two, b'{"ok": true}')
    assert (fine.body.kind(), fine.content_type, fine.complete) == ("json", "application/json", True)
    assert two.answered


@pytest.mark.parametrize("step", [1, 2, 11])
def test_cut_into_small_calls_the_messages_are_the_same(step: int, talk: Talk) -> None:
    assert view(talk(Http2, exchange(), step=step)) == view(talk(Http2, exchange()))


def test_the_connection_ends_within_a_response(talk: Talk) -> None:
    (request_side, _), server = exchange()[0][:2], exchange()[1][1]
    assert request_side
    messages = talk(Http2, [exchange()[0], (False, server[:-12], 0)], how="reset")
    (fine,) = (m for m in find(messages, HttpResponse) if m.status == 200)
    assert (fine.complete, fine.incomplete_reason, fine.truncated) == (False, "reset", True)
    assert fine.received_length == 5


def test_a_hole_in_a_body_is_counted_through(talk: Talk) -> None:
    ours, theirs = Encoder(), Encoder()
    head = SETTINGS + said(theirs, 1, status="200") + frame(0, 1, 1, b"x" * 500)
    messages = talk(
        Http2,
        [
            (True, PREFACE + SETTINGS + asked(ours, 1, "/a"), 0),
            (False, head[:-450], 450),
            (False, said(theirs, 3, 5, status="204"), 0),
        ],
    )
    body, empty = find(messages, HttpResponse)
    assert (body.complete, body.received_length, body.body.parts) == (True, 500, [(b"x" * 50, 450)])
    assert empty.status == 204


def test_a_hole_over_frames_clips_and_never_invents(talk: Talk) -> None:
    ours, theirs = Encoder(), Encoder()
    first = SETTINGS + said(theirs, 1, status="200", x_a="one")
    lost = said(theirs, 3, status="200", x_b="two")
    after = said(theirs, 5, 5, status="500", x_a="one", x_b="two")
    client = PREFACE + SETTINGS + asked(ours, 1, "/a") + asked(ours, 3, "/b") + asked(ours, 5, "/c")
    messages = talk(Http2, [(True, client, 0), (False, first, len(lost)), (False, after, 0)])
    answers = {m.stream_id: m for m in find(messages, HttpResponse)}
    assert (answers[1].complete, answers[1].incomplete_reason) == (False, "clipped")
    assert answers[5].status == 500
    assert set(answers[5].headers) <= {("x-a", "one"), ("x-b", "two"), ("?", "?")}


def test_grpc_says_how_a_call_ended(talk: Talk) -> None:
    ours, theirs = Encoder(), Encoder()
    ask = asked(ours, 1, "/shop.Cart/Add", 4, **{"content-type": "application/grpc"}) + frame(
        0, 1, 1, b"\0\0\0\0\x03abc"
    )
    answer = said(theirs, 1, status="200", content_type="application/grpc") + frame(0, 0, 1, b"\0\0\0\0\x09abc")
    answer += said(theirs, 1, 5, grpc_status="14", grpc_message="no%20healthy upstream")
    messages = talk(Http2, [(True, PREFACE + SETTINGS + ask, 0), (False, SETTINGS + answer, 0)])
    (status,) = find(messages, GrpcStatus)
    assert (status.code, status.name, status.text) == (14, "UNAVAILABLE", "no healthy upstream")
    assert (status.method, status.notable, status.direction) == ("/shop.Cart/Add", True, "received")


def test_goaway_and_reset(talk: Talk) -> None:
    ours = Encoder()
    server = SETTINGS + frame(3, 0, 1, (7).to_bytes(4, "big"))
    server += frame(7, 0, 0, (1).to_bytes(4, "big") + (11).to_bytes(4, "big") + b"too_many_pings")
    messages = talk(Http2, [(True, PREFACE + SETTINGS + asked(ours, 1, "/a", 4), 0), (False, server, 0)])
    reset, goaway = find(messages, Http2Error)
    assert (reset.kind, reset.name, reset.stream_id, reset.by_client) == ("rst-stream", "REFUSED_STREAM", 1, False)
    assert (goaway.kind, goaway.name, goaway.debug) == ("goaway", "ENHANCE_YOUR_CALM", "too_many_pings")
    (request,) = find(messages, HttpRequest)
    assert (request.complete, request.incomplete_reason, request.answered) == (False, "rst-stream", False)


def test_continuation_padding_and_priority(talk: Talk) -> None:
    block = Encoder().encode([(":method", "GET"), (":path", "/long"), ("x", "y" * 50)])
    first = frame(1, 1 | 8 | 32, 1, b"\x04" + b"\0\0\0\0\x10" + block[:10] + bytes(4))
    messages = talk(Http2, [(True, PREFACE + SETTINGS + first + frame(9, 4, 1, block[10:]), 0)])
    (request,) = find(messages, HttpRequest)
    assert (request.target, request.header("x"), request.complete) == ("/long", "y" * 50, True)


@pytest.mark.parametrize(
    ("client", "server", "least", "most"),
    [
        (PREFACE, b"", 100, 100),
        (b"PRI", b"", 1, 89),
        (PREFACE, SETTINGS, 100, 100),
        (PREFACE, b"HTTP/1.1 400 Bad", 0, 0),
        (b"", SETTINGS, 40, 89),
        (b"GET / HTTP/1.1", b"", 0, 0),
        (b"\x16\x03\x01", b"", 0, 0),
    ],
)
def test_it_is_recognised_by_content(client: bytes, server: bytes, least: int, most: int) -> None:
    assert least <= Http2.identify(client, server) <= most


_PAIR = st.tuples(st.sampled_from(["a", "b", "cookie", "x-1"]), st.text("abc/é ", max_size=12))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(_PAIR, min_size=1, max_size=5), max_size=8))
def test_tables_agree_with_the_packages_encoder(blocks: list[list[tuple[str, str]]]) -> None:
    encoder, table = Encoder(), FieldTable()
    for fields in blocks:
        decoded = table.decode(encoder.encode(fields))
        assert [(n.decode(), v.decode()) for n, v in decoded] == fields


def test_the_start_of_a_connection_is_missing() -> None:
    encoder = Encoder()
    encoder.encode([("x-a", "old"), ("x-b", "old")])
    block = encoder.encode([("x-a", "old"), ("x-c", "new"), (":status", "200")])
    assert FieldTable().decode(block) == [(b"?", b"?"), (b"x-c", b"new"), (b":status", b"200")]


_FRAME = st.builds(frame, st.integers(0, 11), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=40))
_SAID = st.tuples(st.booleans(), st.one_of(_FRAME, st.binary(min_size=1, max_size=30)), st.sampled_from([0, 0, 3, 99]))


@settings(max_examples=300, deadline=None)
@given(st.lists(_SAID, max_size=12), st.sampled_from(["eof", "reset", "unfinished"]))
def test_hostile_bytes_never_raise(talk: Talk, noise: list[Said], how: str) -> None:
    for message in talk(Http2, noise, how=how):
        assert message.summary.isprintable()


def test_a_hole_over_a_frame_header_ends_what_is_known_of_a_body(talk: Talk) -> None:
    ours, theirs = Encoder(), Encoder()
    client = PREFACE + SETTINGS + asked(ours, 1, "/one")
    head = SETTINGS + said(theirs, 1, status="200")
    data = [frame(0, 0, 1, b"a" * 100), frame(0, 0, 1, b"b" * 100), frame(0, 1, 1, b"c" * 100)]
    known = head + data[0] + data[1][:4]  # the rest of that frame is a hole, and skipped
    (answer,) = find(talk(Http2, [(True, client, 0), (False, known, 105), (False, data[2], 0)]), HttpResponse)
    assert answer.body is not None
    assert answer.body.size == "at least 100 bytes"
    assert answer.body.placed == [(b"a" * 100, 0)]
    assert (answer.complete, answer.body.whole, answer.body.raw()) == (False, False, b"a" * 100)
