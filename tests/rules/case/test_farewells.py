"""What a client says on another connection as it tidies up is no work: the failure before it was the last that it met."""

from __future__ import annotations

import pytest

from systrace.model import Received, Record, Sent, Socket, Transfer
from systrace.rules.case.farewells import work_on
from tests.rules.http_job import ask, blamed, connect, judged, left

FAREWELLS = [
    b"QUIT\r\n", b"quit\r\n", b"a0042 LOGOUT\r\n", b"*1\r\n$4\r\nQUIT\r\n", b"X\0\0\0\x04",
    b"Q\0\0\0\x0dROLLBACK\0", b"Q\0\0\0\x0dROLLBACK\0X\0\0\0\x04", b"\x01\0\0\0\x01", b"\x09\0\0\0\x03rollback",
    b"\x15\x03\x03\0\x02\x01\0", b"\x17\x03\x03\0\x13" + bytes(19), b"0\x05\x02\x01\x07B\0", b"\xe0\0",
    b"\0\0\x08\x07\0\0\0\0\0" + bytes(8), b"\x88\x82\1\2\3\4\5\6",
]  # fmt: skip
WORK = [
    b"QUITE\r\n", b"GET / HTTP/1.1\r\n\r\n",
    b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"Q\0\0\0\x0bCOMMIT;\0", b"\x05\0\0\0\x03SELECT",
    b"\x17\x03\x03\0\x40" + bytes(64), b"\x10\x0c", b"\0\0\x08\x06\0\0\0\0\0" + bytes(8), b"\x81\x82\1\2\3\4\5\6",
]  # fmt: skip


def call(kind: type[Transfer], data: bytes, at: int) -> Transfer:
    name = "sendto" if kind is Sent else "recvfrom"
    record = Record(0, at, 9, at * 10**9, 0, name, b"", len(data), None, "returned", b"", b"")
    return kind(record, 3, len(data), b"", None, lambda _record: [(data, len(data))])


def conversation(*said: bytes) -> Socket:
    """Requests, each with an answer."""
    socket = Socket("S1", "inet", "stream")
    for number, data in enumerate(said):
        socket.timeline += [call(Sent, data, 2 * number), call(Received, b"+OK\r\n", 2 * number + 1)]
    return socket


@pytest.mark.parametrize("data", FAREWELLS)
def test_a_farewell_and_its_answer_are_no_work(data: bytes) -> None:
    assert [event.record.lineno for event in work_on(conversation(WORK[1], data))] == [0, 1]
    assert not work_on(conversation(data))


@pytest.mark.parametrize("data", WORK)
def test_anything_else_is(data: bytes) -> None:
    assert [event.record.lineno for event in work_on(conversation(WORK[1], data))] == [0, 1, 2, 3]


def test_one_in_the_middle_was_none() -> None:
    assert len(work_on(conversation(FAREWELLS[0], WORK[1]))) == 4


def test_what_was_cut_may_be_more() -> None:
    """-s shows its beginning only."""
    socket = conversation(WORK[1])
    cut = call(Sent, b"QUIT\r\n", 7)
    cut.size = 40
    socket.timeline.append(cut)
    assert len(work_on(socket)) == 3


def _redis(at: float, text: str, answer: str) -> str:
    sizes = [len(each.replace("\\r\\n", "12")) for each in (text, answer)]
    return (
        f'9 {at} sendto(5, "{text}", {sizes[0]}, 0, NULL, 0) = {sizes[0]} <0.001>\n'
        f'9 {at + 0.1:.1f} recvfrom(5, "{answer}", 99, 0, NULL, NULL) = {sizes[1]} <0.001>'
    )


CUT = 'recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 90\\r\\n\\r\\nid;name\\n1;", 99, 0, NULL, NULL) = 49 <0.001>'


@pytest.mark.parametrize(
    ("last", "cause"),
    [(("*1\\r\\n$4\\r\\nQUIT\\r\\n", "+OK\\r\\n"), "truncated-response"),
     (("*1\\r\\n$4\\r\\nPING\\r\\n", "+PONG\\r\\n"), None)],
)  # fmt: skip
def test_the_answer_before_it_is_to_blame(last: tuple[str, str], cause: str | None) -> None:
    """The program got a part, closed its Redis connection in good order, and failed without a word."""
    analysis = judged(
        connect(9, 1.0, 5, "192.0.2.9", 6379), _redis(1.1, "*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\na\\r\\n", "$1\\r\\n7\\r\\n"),
        connect(9, 2.0), ask(9, 2.1), f"9 2.2 {CUT}", "9 2.3 recvfrom(3, \"\", 99, 0, NULL, NULL) = 0 <0.001>",
        _redis(2.4, *last), left(9, 2.6, 1),
    )  # fmt: skip
    assert [finding.cause for finding in blamed(analysis)] == ([cause] if cause else [])


def test_nor_does_it_make_good_for_a_failure() -> None:
    """Whoever says QUIT to another server has not gone on with its work."""
    handshake = '9 2.1 sendto(3, "\\26\\3\\1\\2\\0\\1\\0\\1\\374\\3\\3"..., 517, 0, NULL, 0) = 517 <0.001>'
    alert = '9 2.3 sendto(3, "\\25\\3\\3\\0\\2\\2000", 7, 0, NULL, 0) = 7 <0.001>'
    hello = '9 2.2 recvfrom(3, "\\26\\3\\3\\0]\\2\\0\\0Y\\3\\3"..., 16384, 0, NULL, NULL) = 3110 <0.001>'
    for last, cause in ((("QUIT\\r\\n", "+OK\\r\\n"), "tls-error"), (("PING\\r\\n", "+PONG\\r\\n"), "recovered-error")):
        analysis = judged(
            connect(9, 1.0, 5, "192.0.2.9", 6379), _redis(1.1, "PING\\r\\n", "+PONG\\r\\n"), connect(9, 2.0, port=443),
            handshake, hello, alert, _redis(2.4, *last), left(9, 2.6, 0),
        )  # fmt: skip
        assert analysis.verdict.cause == cause
