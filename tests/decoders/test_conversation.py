"""The stage's entry: who speaks what, what is kept, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import pytest

from systrace.decoders.buffer import StreamDecoder
from systrace.decoders.choosing import choose
from systrace.decoders.conversation import Conversation, Decoding
from systrace.decoders.keeping import FIRST, LAST, NOTABLE
from systrace.decoders.weight import LARGE, weigh
from systrace.messages.dns import DnsMessage
from systrace.messages.http import HttpRequest, HttpResponse
from systrace.messages.mismatch import Mismatch
from systrace.messages.piece import Piece
from systrace.messages.tls import TlsAlert, TlsHello
from systrace.model import Endpoint, Message, Socket, Transfer

Call = Callable[..., Transfer]

GET = b"GET /a HTTP/1.1\r\nHost: x.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
HELLO = bytes.fromhex("1603010030010000") + b"\x2c\x03\x03" + b"r" * 32 + b"\0\0\x02\x13\x01\x01\0\0\0" + b"\0" * 20
HELLO = HELLO[: 5 + 0x30]
ALERT = bytes.fromhex("15030100020246")
QUERY = bytes.fromhex("123401000001000000000000") + b"\x03api\x07example\0" + b"\0\x01\0\x01"


def sock(role: str = "client", port: int = 80, kind: str = "socket", type_: str = "stream") -> Socket:
    peer = Endpoint("inet", "192.0.2.1", port)
    return Socket("S1", "inet", type_, kind=kind, role=role, peer=peer)


def run(call: Call, socket: Socket, said: Iterable[tuple[bool, bytes]], how: str = "closed") -> list[Message]:
    """Each entry is one call: (sent?, bytes)."""
    decoding = Decoding()
    for at, (sent, data) in enumerate(said):
        decoding.moved(socket, call(sent, [(data, 0)], at))
    decoding.ended(socket, True, how)
    decoding.ended(socket, False, how)
    assert not decoding.failures
    return decoding.finish()


def names(messages: Sequence[Message]) -> list[str]:
    return [type(m).__name__ for m in messages]


def test_content_proves_the_protocol_whatever_the_port(call: Call) -> None:
    socket = sock(port=5432)
    messages = run(call, socket, [(True, GET), (False, OK)])
    assert names(messages) == ["HttpRequest", "HttpResponse"]
    assert [m.direction for m in messages] == ["sent", "received"]
    assert socket.app_protocol == "http"
    assert socket.messages == messages


def test_an_accepted_socket_is_the_server(call: Call) -> None:
    socket = sock(role="server")
    messages = run(call, socket, [(False, GET), (True, OK)])
    assert [m.direction for m in messages] == ["received", "sent"]


def test_an_unknown_role_is_told_by_the_content(call: Call) -> None:
    messages = run(call, sock(role="unknown"), [(False, GET), (True, OK)])
    assert names(messages) == ["HttpRequest", "HttpResponse"]


@pytest.mark.parametrize("step", [1, 3, 4, 1000])
def test_tls_to_a_plain_port(call: Call, step: int) -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno"
    said = [(True, HELLO)] + [(False, answer[at : at + step]) for at in range(0, len(answer), step)]
    messages = run(call, sock(port=443), said)
    (mismatch,) = (m for m in messages if isinstance(m, Mismatch))
    assert (mismatch.spoken, mismatch.spoken_by_client, mismatch.answered) == ("tls", True, "http")
    assert mismatch.sample.startswith(b"HTTP/")
    assert [m.status for m in messages if isinstance(m, HttpResponse)] == [400]
    assert [m.client for m in messages if isinstance(m, TlsHello)] == [True]


def test_openssl_reads_five_bytes_and_gives_up(call: Call) -> None:
    messages = run(call, sock(port=443), [(True, HELLO), (False, b"HTTP/")])
    (mismatch,) = (m for m in messages if isinstance(m, Mismatch))
    assert (mismatch.spoken, mismatch.answered, mismatch.sample) == ("tls", "http", b"HTTP/")


def test_plain_http_to_a_tls_port(call: Call) -> None:
    messages = run(call, sock(port=443), [(True, GET), (False, ALERT)])
    (mismatch,) = (m for m in messages if isinstance(m, Mismatch))
    assert (mismatch.spoken, mismatch.answered) == ("http", "tls")
    (alert,) = (m for m in messages if isinstance(m, TlsAlert))
    assert (alert.name, alert.by_client, alert.level) == ("protocol_version", False, "fatal")


def test_html_without_http(call: Call) -> None:
    messages = run(call, sock(), [(True, GET), (False, b"<html><body>Sign in</body></html>")])
    (mismatch,) = (m for m in messages if isinstance(m, Mismatch))
    assert (mismatch.spoken, mismatch.answered) == ("http", "html")


def test_a_proxys_tunnel_carries_the_next_protocol(call: Call) -> None:
    socket = sock(port=3128)
    connect = b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n"
    established = b"HTTP/1.1 200 Connection established\r\n\r\n"
    messages = run(call, socket, [(True, connect), (False, established), (True, HELLO), (False, ALERT)])
    assert names(messages)[:4] == ["HttpRequest", "HttpResponse", "TlsHello", "TlsAlert"]
    assert socket.app_protocol == "tls"


def test_the_trace_begins_in_the_middle_of_a_body(call: Call) -> None:
    messages = run(call, sock(), [(False, b"rest of a body"), (False, b"and more"), (True, GET), (False, OK)])
    assert names(messages) == ["HttpRequest", "HttpResponse"]
    assert isinstance(messages[1], HttpResponse)
    assert messages[1].request is messages[0]


def test_a_long_unreadable_beginning_does_not_hide_what_follows(call: Call) -> None:
    noise = [(False, bytes([200 + at % 50]) * 1000) for at in range(100)]
    messages = run(call, sock(), [*noise, (True, GET), (False, OK)])
    assert names(messages) == ["HttpRequest", "HttpResponse"]


def test_peeked_bytes_do_not_count_twice(call: Call) -> None:
    decoding, socket = Decoding(), sock()
    decoding.moved(socket, call(True, [(GET, 0)]))
    decoding.moved(socket, call(False, [(OK[:9], 0)], flags=b"MSG_PEEK"))
    decoding.moved(socket, call(False, [(OK, 0)]))
    assert names(decoding.finish()) == ["HttpRequest", "HttpResponse"]


def test_each_datagram_is_its_own_message(call: Call) -> None:
    socket = sock(port=53, type_="dgram")
    decoding = Decoding()
    two = call(True, [(QUERY, 0), (QUERY.replace(b"\x01\0\x01", b"\x1c\0\x01"), 0)])
    decoding.moved(socket, two)
    messages = decoding.finish()
    assert [m.qtype for m in messages if isinstance(m, DnsMessage)] == ["A", "AAAA"]


def test_pipes_are_left_alone(call: Call) -> None:
    assert run(call, sock(kind="pipe"), [(True, GET)]) == []


def test_the_log_ends_in_the_middle(call: Call) -> None:
    decoding, socket = Decoding(), sock()
    decoding.moved(socket, call(True, [(GET, 0)], 1))
    decoding.moved(socket, call(False, [(OK[:-1], 0)], 2))
    request, response = decoding.finish()
    assert isinstance(request, HttpRequest)
    assert isinstance(response, HttpResponse)
    assert (response.complete, response.incomplete_reason, response.truncated) == (False, "unfinished", False)


def test_closing_a_socket_ends_both_directions(call: Call) -> None:
    decoding, socket = Decoding(), sock()
    decoding.moved(socket, call(True, [(GET, 0)], 1))
    decoding.moved(socket, call(False, [(OK[:-1], 0)], 2))
    decoding.ended(socket, True, "closed")
    assert names(socket.messages) == ["HttpRequest"]
    other = sock()
    other.uid, other.closed_by = "S2", "close"
    decoding.moved(other, call(True, [(GET, 0)], 3))
    decoding.moved(other, call(False, [(OK[:-1], 0)], 4))
    decoding.ended(other, True, "closed")
    (_, response) = other.messages
    assert isinstance(response, HttpResponse)
    assert response.incomplete_reason == "closed"


def test_messages_keep_times_and_calls(call: Call) -> None:
    decoding, socket = Decoding(), sock()
    first, last = call(False, [(OK[:20], 0)], 7), call(False, [(OK[20:], 0)], 9)
    decoding.moved(socket, call(True, [(GET, 0)], 1))
    decoding.moved(socket, first)
    decoding.moved(socket, last)
    request, response = decoding.finish()
    assert (request.start_ns, request.end_ns) == (1_000_000, 1_500_000)
    assert (response.start_ns, response.end_ns) == (7_500_000, 9_500_000)
    assert response.events == [first, last]


def test_what_is_kept_is_bounded_and_the_rest_counted(call: Call) -> None:
    bad = OK.replace(b"200 OK", b"500 No")
    said = [pair for at in range(500) for pair in ((True, GET), (False, bad if at % 100 == 50 else OK))]
    socket = sock()
    messages = run(call, socket, said)
    assert FIRST + LAST <= len(messages) <= FIRST + NOTABLE + LAST
    assert len(messages) + socket.dropped_messages == 1000
    assert sum(isinstance(m, HttpResponse) and m.status == 500 for m in messages) == 5
    starts = [m.start_ns for m in messages if m.start_ns is not None]
    assert starts == sorted(starts)


def test_large_messages_are_lightened_when_all_of_them_cost_too_much(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("systrace.decoders.keeping.BUDGET", 500_000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    decoding, socket = Decoding(), sock()
    for at in range(6):
        decoding.moved(socket, call(True, [(GET, 0)], at))
        event = call(False, [(answer, 0)], at)
        event.record.args = answer
        decoding.moved(socket, event)
    answers = [m for m in decoding.finish() if isinstance(m, HttpResponse)]
    assert sum(weigh(m) for m in answers) <= 500_000 + 6 * LARGE
    first, last = answers[0], answers[-1]
    assert first.body is not None
    assert last.body is not None
    assert (first.body.received, first.body.whole, last.body.whole) == (100_000, False, True)
    (light,) = first.events
    assert isinstance(light, Transfer)
    assert (light.record.retval, light.payload()) == (len(answer), [(b"", len(answer))])


class Broken(StreamDecoder):
    """A plug-in with a fault."""

    name: ClassVar[str] = "broken"

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """Never asked."""
        return 0

    def advance(self, from_client: bool) -> Iterable[Message]:
        """Raises."""
        raise RuntimeError("fault")


def test_a_faulty_decoder_ends_its_conversation_only(call: Call) -> None:
    decoding, socket = Decoding(), sock()
    conversation = Conversation(socket)
    conversation.decoders = [Broken(socket), Broken(socket)]
    decoding._open[socket.uid] = conversation
    decoding.moved(socket, call(True, [(GET, 0)]))
    decoding.moved(socket, call(False, [(OK, 0)]))
    assert decoding.finish() == []
    assert decoding.failures == {"broken": 1}


def test_pieces_look_at_the_payload_only_when_asked(call: Call) -> None:
    event = call(False, [(b"abc", 0)])
    asked: list[int] = []
    event.pieces = lambda _record: asked.append(1) or [(b"abc", 3)]  # type: ignore[func-returns-value]
    piece = Piece.of(event)
    assert (piece.size, asked) == (3, [])
    assert (piece.data, piece.data, asked) == (b"abc", b"abc", [1])


def test_nothing_fits_nothing() -> None:
    assert choose(b"", b"", None) is None


def test_of_eight_thousand_exchanges_a_bounded_part_is_kept(call: Call) -> None:
    """And the rest is counted."""
    sockets = [Socket(f"S{n}", "inet", "stream", role="client") for n in range(400)]
    body = b'{"items": [' + b"1," * 90 + b"1]}"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: x\r\nContent-Length: %d\r\n\r\n%b"
    answer %= (len(body), body)
    events = [
        (sockets[n % 400], call(sent, [(data, 0)], n))
        for n in range(8000)
        for sent, data in ((True, GET), (False, answer))
    ]
    run(call, sock(), [(True, GET)])
    decoding = Decoding()
    for socket, event in events:
        decoding.moved(socket, event)
    for socket in sockets:
        decoding.ended(socket, True, "closed")
        decoding.ended(socket, False, "closed")
    messages = decoding.finish()
    assert len(messages) <= 400 * (FIRST + LAST)
    assert len(messages) + sum(socket.dropped_messages for socket in sockets) == 2 * len(events) // 2
