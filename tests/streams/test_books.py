"""What a listener is told of a socket, and in which order."""

from __future__ import annotations

import pytest

from systrace.model import Health, Input, Socket, Style, Transfer
from systrace.parser import records
from systrace.parser.syscalls import NOTES, SYSCALLS, wanted_names
from systrace.streams import Tracker
from systrace.streams.books import Listener

JOB = b"""\
9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>
9 1.1 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.0001>
9 1.2 sendto(3, "ask", 3, 0, NULL, 0) = 3 <0.0001>
9 1.3 recvfrom(3, "answer", 4096, MSG_PEEK, NULL, NULL) = 6 <0.0001>
9 1.4 recvfrom(3, "answer", 4096, 0, NULL, NULL) = 6 <0.0001>
9 1.5 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.0001>
9 1.6 close(3) = 0 <0.0001>
"""


class Hearing:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, object]] = []

    def moved(self, socket: Socket, event: Transfer) -> None:
        """See `Listener.moved`."""
        self.told.append((socket.uid, "moved", event.size))

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """See `Listener.ended`."""
        self.told.append((socket.uid, how, sent))

    def forgotten(self, socket: Socket) -> None:
        """See `Listener.forgotten`."""
        self.told.append((socket.uid, "forgotten", None))


def heard(jobs: int) -> list[tuple[str, str, object]]:
    """What a listener hears of the same short connection, so many times."""
    hearing = Hearing()
    listener: Listener = hearing
    tracker = Tracker(listener)
    handlers = dict(SYSCALLS) | NOTES
    for record in records([Input("log", JOB.splitlines(keepends=True) * jobs)], wanted_names(), Health(), Style()):
        event = handlers[record.syscall](record)
        if event is not None:
            tracker.feed(event)
    tracker.finish()
    return hearing.told


def test_bytes_then_the_end_of_each_direction() -> None:
    """A peek moves nothing, and what is told once is not told again at the end."""
    assert heard(1) == [("S1", "moved", 3), ("S1", "moved", 6), ("S1", "eof", False), ("S1", "closed", True)]


def test_the_oldest_that_ended_well_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the bound at a time, each after its end."""
    monkeypatch.setattr("systrace.streams.sockets._MOST_SOCKETS", 8)
    told = heard(9)
    assert [uid for uid, what, _ in told if what == "forgotten"] == ["S1", "S2"]
    assert told.index(("S1", "closed", True)) < told.index(("S1", "forgotten", None))
