"""HTTP/1: the same messages however the bytes are cut, and the same verdicts as h11."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.decoders.protocols.http1 import Http1
from systrace.messages.http import HttpRequest, HttpResponse, HttpStray
from systrace.messages.piece import Piece
from systrace.model import RETURNED, Message, Received, Record, Socket, Transfer

Talk = Callable[..., list[Message]]
Said = tuple[bool, bytes, int]

GET: Said = (True, b"GET /a HTTP/1.1\r\nHost: x.example\r\n\r\n", 0)


def answer(data: bytes, missing: int = 0) -> Said:
    return (False, data, missing)


OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# (what was said, [(status, complete, reason, framing, received, detail)])
CASES: dict[str, tuple[list[Said], list[tuple[Any, ...]]]] = {
    "length": ([GET, answer(OK + b"Content-Length: 5\r\n\r\nhello")], [(200, True, "", "length", 5, "")]),
    "no body": ([GET, answer(EMPTY)], [(200, True, "", "length", 0, "")]),
    "short length": (
        [GET, answer(OK + b"Content-Length: 500\r\n\r\nhello")],
        [(200, False, "eof", "length", 5, "5 of 500 bytes")],
    ),
    "chunked": (
        [GET, answer(CHUNKED + b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nX-Sum: 8\r\n\r\n")],
        [(200, True, "", "chunked", 8, "")],
    ),
    "cut in a chunk": (
        [GET, answer(CHUNKED + b"5\r\nhello\r\n10\r\nabc")],
        [(200, False, "eof", "chunked", 8, "in a chunk: 3 of 16, body 8 bytes")],
    ),
    "no last chunk": (
        [GET, answer(CHUNKED + b"5\r\nhello\r\n")],
        [(200, False, "eof", "chunked", 5, "between chunks, body 5 bytes")],
    ),
    "bad chunk size": (
        [GET, answer(CHUNKED + b"5\r\nhello\r\nZZ\r\nabc")],
        [(200, False, "malformed", "chunked", 12, "chunk size 'ZZ' after 5 bytes of body")],
    ),
    "cut head": (
        [GET, answer(OK + b"Transfer-")],
        [(200, False, "eof", "unknown", 0, "in the head, after 26 bytes")],
    ),
    "until close": ([GET, answer(OK + b"\r\nfoobar")], [(200, True, "", "close", 6, "")]),
    "bare line feeds": ([GET, answer(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi")], [(200, True, "", "length", 2, "")]),
    "HEAD": (
        [
            (True, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 0),
            answer(OK + b"Content-Length: 200\r\n\r\n"),
            GET,
            answer(b"HTTP/1.1 204 No Content\r\n\r\n"),
            GET,
            answer(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
        ],
        [(200, True, "", "none", 0, ""), (204, True, "", "none", 0, ""), (304, True, "", "none", 0, "")],
    ),
    "pipelining": (
        [(True, GET[1] * 3, 0), answer((OK + b"Content-Length: 1\r\n\r\na") * 3)],
        [(200, True, "", "length", 1, "")] * 3,
    ),
    "interim": (
        [
            (True, b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", 0),
            answer(b"HTTP/1.1 100 Continue\r\n\r\n"),
            (True, b"abc", 0),
            answer(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
        ],
        [(100, True, "", "none", 0, ""), (201, True, "", "length", 0, "")],
    ),
    "hole in a body": (
        [GET, answer(OK + b"Content-Length: 500\r\n\r\nhello", 95), answer(b"world", 395), GET, answer(EMPTY)],
        [(200, True, "", "length", 500, ""), (200, True, "", "length", 0, "")],
    ),
    "hole within a chunk": (
        [GET, answer(CHUNKED + b"40\r\nhello", 59), answer(b"\r\n2\r\nhi\r\n0\r\n\r\n")],
        [(200, True, "", "chunked", 66, "")],
    ),
    "hole over the end of a chunk": (
        [GET, answer(CHUNKED + b"40\r\nhello", 61), answer(b"2\r\nhi\r\n0\r\n\r\n")],
        [(200, True, "", "chunked", 66, "")],
    ),
    "hole in the head": (
        [GET, answer(OK + b"Content-Type: ", 1000), answer(b"more", 96), GET, answer(EMPTY)],
        [(200, False, "clipped", "unknown", 0, ""), (200, True, "", "length", 0, "")],
    ),
    "a proxy's refusal": (
        [
            (True, b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n", 0),
            answer(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"),
        ],
        [(407, True, "", "length", 2, "")],
    ),
    "mid-stream": (
        [answer(b"the rest of some body" + OK + b"Content-Length: 2\r\n\r\nhi")],
        [(200, True, "", "length", 2, "")],
    ),
    "unasked": (
        [answer(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")],
        [(408, True, "", "length", 0, "")],
    ),
}


def responses(messages: list[Message]) -> list[tuple[Any, ...]]:
    return [
        (m.status, m.complete, m.incomplete_reason, m.framing, m.received_length, m.detail)
        for m in messages
        if isinstance(m, HttpResponse)
    ]


def view(messages: list[Message]) -> list[tuple[Any, ...]]:
    """What must not depend on how bytes came."""
    seen: list[tuple[Any, ...]] = []
    for m in messages:
        body = getattr(m, "body", None)
        seen.append((type(m).__name__, m.summary, m.complete, body and body.parts, getattr(m, "notes", ())))
        if isinstance(m, HttpResponse):
            seen.append((m.request.target if m.request else None, m.headers, m.trailers))
    return seen


@pytest.mark.parametrize("name", CASES)
def test_responses(name: str, talk: Talk) -> None:
    said, expected = CASES[name]
    assert responses(talk(Http1, said)) == expected


@pytest.mark.parametrize("step", [1, 2, 7])
@pytest.mark.parametrize("name", CASES)
def test_cut_into_small_calls_the_messages_are_the_same(name: str, step: int, talk: Talk) -> None:
    said, _ = CASES[name]
    assert view(talk(Http1, said, step=step)) == view(talk(Http1, said))


@pytest.mark.parametrize("name", [n for n, (_, e) in CASES.items() if e[-1][1] and e[-1][3] != "close"])
def test_a_foreign_tail_is_told_apart(name: str, talk: Talk) -> None:
    said, expected = CASES[name]
    messages = talk(Http1, [*said, answer(b"\x00\x01 tail")])
    assert responses(messages) == expected
    stray = messages[-1]
    assert isinstance(stray, HttpStray)
    assert (stray.size, stray.sample) == (7, b"\x00\x01 tail")


def test_requests_are_paired_with_their_responses(talk: Talk) -> None:
    post = b"POST http://up.example/u?q=1 HTTP/1.1\r\nHost: up.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    post += b"3\r\nabc\r\n0\r\n\r\n"
    messages = talk(Http1, [GET, (True, post, 0), answer(EMPTY), answer(b"HTTP/1.0 503 Busy\r\n\r\noops")])
    first, second = (m for m in messages if isinstance(m, HttpRequest))
    one, two = (m for m in messages if isinstance(m, HttpResponse))
    assert (one.request, two.request) == (first, second)
    assert (first.url, first.via_proxy) == ("http://x.example/a", False)
    assert (second.host, second.path, second.via_proxy) == ("up.example", "/u?q=1", True)
    assert second.body is not None
    assert second.body.data() == b"abc"
    assert (two.version, two.reason, two.notable, two.framing) == ("1.0", "Busy", True, "close")
    assert first.answered


def test_an_unanswered_request_says_so(talk: Talk) -> None:
    (request,) = talk(Http1, [GET], how="unfinished")
    assert isinstance(request, HttpRequest)
    assert not request.answered
    assert request.complete


def test_fields(talk: Talk) -> None:
    fields = b"Content-Type: application/JSON; charset=UTF-8\r\nX-Long: a\r\n  b\r\nno field\r\nx-long: c\r\n"
    head = OK + fields + b"Content-Length: 0\r\n\r\n"
    (response,) = (m for m in talk(Http1, [GET, answer(head)]) if isinstance(m, HttpResponse))
    assert (response.content_type, response.charset) == ("application/json", "utf-8")
    assert [v for k, v in response.headers if k == "x-long"] == ["a b", "c"]
    assert response.header("X-LONG") == "a b"
    assert response.header("absent") is None


def test_contradictory_framing_is_noted(talk: Talk) -> None:
    both = OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    twice = OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"
    (one,) = (m for m in talk(Http1, [GET, answer(both)]) if isinstance(m, HttpResponse))
    assert (one.notes, one.framing, one.complete) == (("length-and-chunked",), "chunked", True)
    (two,) = (m for m in talk(Http1, [GET, answer(twice)]) if isinstance(m, HttpResponse))
    assert two.notes == ("two-lengths",)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"CONNECT h.example:443 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 Connection established\r\n\r\n"),
        (b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ],
)
def test_the_connection_is_handed_over_with_what_was_read(
    request_head: bytes, status: bytes, call: Callable[..., Transfer]
) -> None:
    decoder = Http1(Socket("S1", "inet", "stream"))
    decoder.feed(True, Piece.of(call(True, [(request_head, 0)])))
    decoder.feed(False, Piece.of(call(False, [(status + b"\x16\x03\x03", 0)])))
    assert decoder.handed_over
    assert [(side, piece.data) for side, piece in decoder.leftover()] == [(False, b"\x16\x03\x03")]


@pytest.mark.parametrize(
    ("client", "server", "least", "most"),
    [
        (b"GET / HTTP/1.1\r\n", b"", 90, 100),
        (b"POST http://x/", b"", 90, 100),
        (b"CONNECT a.b:443 HTTP/1.1", b"", 90, 100),
        (b"GE", b"", 1, 60),
        (b"", b"HTTP/", 90, 100),
        (b"", b"HTTP/1.0 200", 100, 100),
        (b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK", 90, 100),
        (b"GET / HTTP/1.1\r\n", b"220 mail.example ESMTP", 0, 0),
        (b"GET / HTTP/1.1\r\n", b"\x15\x03\x01\x00\x02\x02\x46", 0, 0),
        (b"PRI * HTTP/2.0\r\n\r\nSM", b"", 0, 0),
        (b"OPTIONS rtsp://x RTSP/1.0\r\n", b"", 0, 0),
        (b"\x16\x03\x01\x02\x00\x01", b"", 0, 0),
        (b"EHLO x\r\n", b"", 0, 0),
    ],
)
def test_it_is_recognised_by_content(client: bytes, server: bytes, least: int, most: int) -> None:
    assert least <= Http1.identify(client, server) <= most


# ------------------------------------------------------------------------------------------------------------- oracle


def h11_view(data: bytes) -> tuple[str, int]:
    """(complete, cut or wrong; bytes of body) as h11 reads one response to a GET until end of file."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    body = 0
    try:
        connection.receive_data(data)
        connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                body += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return "complete", body
            elif event is h11.PAUSED or event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return "cut", body
    except h11.RemoteProtocolError:
        return "wrong", body


_FIELDS = st.sampled_from(
    [
        b"Content-Length: 6",
        b"Content-Length: 0",
        b"Content-Length: 40",
        b"Transfer-Encoding: chunked",
        b"X: y",
        b"Server: s",
    ]
)
_BODIES = st.sampled_from(
    [b"", b"abcdef", b"6\r\nabcdef\r\n0\r\n\r\n", b"3\r\nabc\r\n3;e\r\ndef\r\n0\r\nT: u\r\n\r\n", b"6\r\nabcdef\r\n"]
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([b"200 OK", b"204 No", b"304 Same", b"500 Bad"]),
    st.sets(_FIELDS, max_size=3),
    _BODIES,
    st.integers(0, 200),
)
def test_h11_agrees(talk: Talk, status: bytes, fields: set[bytes], body: bytes, cut: int) -> None:
    if sum(field.startswith(b"Content-Length") for field in fields) > 1:
        fields = {b"X: y"}
    if any(f.startswith(b"Content") for f in fields) and b"Transfer-Encoding: chunked" in fields:
        fields = {b"Transfer-Encoding: chunked"}
    data = (b"HTTP/1.1 " + status + b"\r\n" + b"".join(f + b"\r\n" for f in sorted(fields)) + b"\r\n" + body)[
        : cut + 20
    ]
    theirs, size = h11_view(data)
    ours = [m for m in talk(Http1, [GET, answer(data)]) if isinstance(m, HttpResponse)]
    if theirs == "complete":
        assert ours[0].complete
        assert ours[0].received_length == size
    elif ours and ours[0].complete:
        raise AssertionError(f"h11 says {theirs}: {data!r}")


# --------------------------------------------------------------------------------------------------- hostile and large

_BITS = st.sampled_from(
    [
        GET[1],
        EMPTY,
        CHUNKED,
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"\r\n",
        b"\n",
        b"HTTP/1.1 ",
        b"HEAD / HTTP/1.1\r\n\r\n",
        b"Content-Length: 9",
    ]
)
_NOISE = st.tuples(st.booleans(), st.one_of(_BITS, st.binary(max_size=30)), st.sampled_from([0, 0, 1, 5, 5000]))


@settings(max_examples=300, deadline=None)
@given(st.lists(_NOISE, max_size=14), st.sampled_from(["eof", "reset", "closed", "unfinished"]))
def test_hostile_bytes_never_raise_and_counts_stay_true(talk: Talk, said: list[Said], how: str) -> None:
    said = [(side, data, missing) for side, data, missing in said if data or missing]
    sent = sum(len(data) + missing for side, data, missing in said if not side)
    got = 0
    for message in talk(Http1, said, how=how):
        if isinstance(message, HttpResponse):
            got += message.received_length
        assert message.events
    assert got <= sent


def _received(data: bytes) -> Transfer:
    record = Record(0, 1, 1, None, None, "read", b"", len(data), None, RETURNED, b"")
    return Received(record, 3, len(data), b"", None, lambda _record: [(data, len(data))])


@pytest.mark.parametrize("chunk", [0, 100, 16_384])
def test_a_hundred_megabytes_take_at_most_three_seconds(chunk: int) -> None:
    size = 100 << 20
    decoder = Http1(Socket("S1", "inet", "stream"))
    if chunk:
        framed = b"%x\r\n%s\r\n" % (chunk, b"y" * chunk)
        block = framed * (65536 * 16 // len(framed))
        head, tail = CHUNKED, b"0\r\n\r\n"
    else:
        block, tail = b"x" * (1 << 20), b""
        head = OK + b"Content-Length: %d\r\n\r\n" % size
    calls = [_received(block[at : at + 65536]) for at in range(0, len(block), 65536)]
    out = list(decoder.feed(False, Piece.of(_received(head))))
    for _ in range(size // len(block)):
        for event in calls:
            out += decoder.feed(False, Piece.of(event))
    if tail:
        out += decoder.feed(False, Piece.of(_received(tail)))
    (response,) = out
    assert isinstance(response, HttpResponse)
    assert response.complete
    assert response.received_length >= size * 0.9
    assert response.body is not None
    assert not response.body.whole
    assert len(response.body.raw()) < 1 << 20


def test_a_megabyte_byte_by_byte_is_linear(talk: Talk) -> None:
    said = [GET, answer(CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (200_000, b"z" * 200_000))]
    messages = talk(Http1, said, step=1)
    assert responses(messages) == [(200, True, "", "chunked", 200_000, "")]
