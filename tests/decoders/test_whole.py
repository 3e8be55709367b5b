"""Decoding that keeps more than a report needs."""

from __future__ import annotations

from systrace.decoders.conversation import Decoding
from systrace.decoders.whole import RequestDecoding, WholeDecoding
from systrace.messages.body import HEAD_LIMIT, Body, sample_size
from systrace.messages.http import HttpResponse
from systrace.model import RETURNED, Message, Received, Record, Sent, Socket, Transfer

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def call(number: int, data: bytes, sent: bool) -> Transfer:
    kind = Sent if sent else Received
    record = Record(0, number, 9, number, 0, "send" if sent else "recv", data, len(data), None, RETURNED, b"")
    return kind(record, 4, len(data), b"", None, lambda _: [(data, len(data))])


def talk(decoding: Decoding, bodies: list[bytes]) -> tuple[Socket, list[Message]]:
    """A request and an answer for each body."""
    socket = Socket("S1", "inet", "stream", role="client")
    for number, body in enumerate(bodies):
        decoding.moved(socket, call(2 * number, ASK, True))
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        decoding.moved(socket, call(2 * number + 1, head + body, False))
    return socket, decoding.finish()


def answers(messages: list[Message]) -> list[HttpResponse]:
    return [message for message in messages if isinstance(message, HttpResponse)]


def test_all_messages_of_the_watched_socket_come_in_order() -> None:
    bodies = [b"%d" % number for number in range(300)]
    socket, messages = talk(WholeDecoding(1 << 20), bodies)
    assert [answer.body.raw() for answer in answers(messages) if answer.body is not None] == bodies
    assert len(messages) == 600
    assert not socket.messages, "the report's own decoding fills these"


def test_bodies_are_whole_up_to_the_limit_and_the_last_ones_stay() -> None:
    big = bytes(range(256)) * (4 * HEAD_LIMIT // 256)
    last = answers(talk(WholeDecoding(3 * len(big)), [big] * 5)[1])
    whole = [answer.body is not None and answer.body.whole for answer in last]
    assert whole[0] is False
    assert whole[-1] is True
    assert sum(answer.body.held for answer in last if answer.body is not None) <= 3 * len(big)


def test_every_request_is_kept_whatever_a_socket_keeps() -> None:
    bodies = [b"%d" % number for number in range(300)]
    usual, few = talk(Decoding(), bodies)
    assert usual.dropped_messages == 600 - len(few) > 0
    socket, every = talk(RequestDecoding(), bodies)
    assert len(every) == 600
    assert socket.dropped_messages == 0
    starts = [message.start_ns or 0 for message in every]
    assert starts == sorted(starts)
    assert all(answer.request is not None for answer in answers(every))


def test_the_size_of_samples_is_that_of_the_moment() -> None:
    with sample_size(4 * HEAD_LIMIT):
        large = Body()
    usual = Body()
    for body in (large, usual):
        for _ in range(4):
            body.add(bytes(HEAD_LIMIT), 0)
    assert large.whole
    assert not usual.whole
