from __future__ import annotations

import os
import threading

import pytest

from systrace.capture.live import QUEUE, Printer, words
from systrace.model import Connected, Endpoint, Event, Executed, Exited, Received, Record, Sent, Signalled, Waited


def _record(errno: str | None = None, duration: int | None = 10) -> Record:
    return Record(0, 1, 42, 1_500_000_000_123_456_789, duration, "x", b"", 0, errno, "returned", b"")


def _sent(data: bytes) -> Sent:
    return Sent(_record(), 5, len(data), b"", None, lambda _record: [(data, len(data))])


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            Connected(_record("ECONNREFUSED"), 5, Endpoint("inet", "192.0.2.1", 443)),
            "5 connects to 192.0.2.1:443: ECONNREFUSED",
        ),
        (Connected(_record(duration=1_500_000_000), 5, None), "5 connects to nowhere (1.500 s)"),
        (_sent(b"GET /\x1b[2J\r\n"), "5 sends 11 bytes 'GET /.[2J..'"),
        (Received(_record(), 5, 0, b"", None, lambda _record: []), "5 reads the end"),
        (Received(_record("ECONNRESET"), 5, 0, b"", None, lambda _record: []), "5 receives 0 bytes: ECONNRESET"),
        (Executed(_record(), "/bin/\x1bsh", ()), "runs /bin/\\x1bsh"),
        (Exited(_record(), 3, None, True, True), "exits with 3"),
        (Exited(_record(), None, "SIGKILL", True, True), "is killed by SIGKILL"),
        (Signalled(_record(), "SIGTERM", 7, "SI_USER"), "gets SIGTERM from 7"),
        (Waited(_record(), (), -1, 5, (), True, False), "waited in vain: timeout"),
    ],
)
def test_events_in_words(event: Event, text: str) -> None:
    stamp, who, said = words(event).split(" ", 2)
    assert stamp.endswith(".123")
    assert (who, said) == ("[42]", text)


def test_what_says_nothing_is_not_said() -> None:
    assert words(Event(_record())) == ""


def test_a_reader_that_never_reads_blocks_nobody() -> None:
    reader, writer = os.pipe()
    printer = Printer(writer)
    for _ in range(QUEUE * 2):
        printer(_sent(b"x" * 50))
    before = threading.active_count()
    printer.close()
    assert threading.active_count() == before  # its thread is still in write(2): we are not
    os.close(reader)
    os.close(writer)


def test_a_slow_reader_learns_what_it_missed() -> None:
    reader, writer = os.pipe()
    printer = Printer(writer)
    for _ in range(QUEUE * 2):
        printer(_sent(b"x" * 50))
    text = b""
    while text.count(b"\n") < QUEUE:
        text += os.read(reader, 1 << 16)
    printer(_sent(b"last"))
    while b"last" not in text:
        text += os.read(reader, 1 << 16)
    printer.close()
    assert b"events not shown: this reader is too slow" in text
    os.close(writer)
    os.close(reader)


def test_a_reader_that_goes_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    printer = Printer(writer)
    printer(_sent(b"x"))
    printer.close()
    os.close(writer)
