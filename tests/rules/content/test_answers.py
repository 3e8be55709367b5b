"""Which answers a process received, in which order, and which of them are answers to one request."""

from __future__ import annotations

from systrace import Analysis
from systrace.rules.case.index import Case
from systrace.rules.content.answers import answers, last_received, received_bytes, receiver
from tests.rules.http_job import ask, connect, forked, got, judged, left


def two_clients() -> Analysis:
    return judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>',
        forked(9, 10, 1.1, "curl"), connect(10, 1.2), ask(10, 1.3), got(10, 1.4, "503 Busy", "no"), left(10, 1.5),
        forked(9, 11, 1.6, "curl"), connect(11, 1.7), ask(11, 1.8), got(11, 1.9, "503 Busy", "no"),
        ask(11, 2.0), got(11, 2.1, "200 OK", "yes"), left(11, 2.2), left(9, 2.3),
    )  # fmt: skip


def test_answers_are_grouped_by_receiver_in_order() -> None:
    case = Case(two_clients().evidence)
    found = answers(case)
    assert [(a.process.pid if a.process else None, a.response.status, a.index) for a in found] == [
        (10, 503, 0),
        (11, 503, 0),
        (11, 200, 1),
    ]
    assert [[a.response.status for a in each.repeated] for each in found] == [[], [200], []]
    assert ([a.index for a in found[2].before], [a.index for a in found[1].later]) == ([0], [1])
    assert answers(case) is found  # looked for once
    assert answers(Case(two_clients().evidence)) is not found


def test_bytes_and_receiver_of_a_socket() -> None:
    case = Case(two_clients().evidence)
    socket = answers(case)[2].socket
    data, whole = received_bytes(socket)
    assert whole
    assert data.startswith(b"HTTP/1.1 503 Busy")
    assert data.endswith(b"yes")
    assert received_bytes(socket, 8) == (b"HTTP/1.1", False)
    last = last_received(socket)
    assert last is not None
    assert last.record.time_ns == 1_700_000_002_100_000_000
    process = receiver(case, socket, None)
    assert process is not None
    assert process.pid == 11
