from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from systrace.capture.live import HELD_BACK, QUEUE, SHARE, SIP, SPARE, SPARE_SHARE, Printer, follow, in_passing, words
from systrace.capture.spare import Spare
from systrace.model import Connected, Endpoint, Event, Executed, Exited, Received, Record, Sent, Signalled, Waited


def _record(errno: str | None = None, duration: int | None = 10) -> Record:
    return Record(0, 1, 42, 1_500_000_000_123_456_789, duration, "x", b"", 0, errno, "returned", b"")


def _sent(data: bytes) -> Sent:
    return Sent(_record(), 5, len(data), b"", None, lambda _record: [(data, len(data))])


@pytest.fixture
def ended() -> Iterator[tuple[int, Callable[[], None]]]:
    reader, writer = os.pipe()
    closed: list[int] = []

    def end() -> None:
        os.close(writer)
        closed.append(writer)

    yield reader, end
    os.close(reader)
    if not closed:
        os.close(writer)


def test_lines_come_while_the_file_grows(tmp_path: Path, ended: tuple[int, Callable[[], None]]) -> None:
    path = tmp_path / "t"
    with path.open("wb", buffering=0) as file:
        file.write(b"one\ntw")
        lines = follow(path, ended[0])
        assert next(lines) == b"one"
        file.write(b"o\r\n\nthree\nrest")
        assert [next(lines) for _ in range(3)] == [b"two\r", b"", b"three"]
        ended[1]()
        assert list(lines) == [b"rest"]


def test_what_was_written_before_the_end_is_not_missed(tmp_path: Path, ended: tuple[int, Callable[[], None]]) -> None:
    path = tmp_path / "t"
    text = b"".join(b"%d\n" % number for number in range(200_000))
    path.write_bytes(text)
    ended[1]()
    assert b"".join(line + b"\n" for line in follow(path, ended[0])) == text


def test_what_is_read_in_passing_is_complete_and_leaves_the_end_until_the_end(
    tmp_path: Path, ended: tuple[int, Callable[[], None]]
) -> None:
    path = tmp_path / "t"
    text = b"".join(b"%d\n" % number for number in range(30_000))
    path.write_bytes(text)
    lines = in_passing(path, ended[0])
    early = [next(lines) for _ in range((len(text) - HELD_BACK) // 2 // 7)]
    with path.open("ab") as file:
        file.truncate(len(text) - HELD_BACK // 2)  # as the spooler does when the disk is full
        file.write(b"\nlast\nrest")
    ended[1]()
    assert b"\n".join([*early, *lines]) == text[: -HELD_BACK // 2] + b"\nlast\nrest"


@pytest.mark.parametrize("idle", [SPARE / 2, SPARE])
def test_reading_in_passing_takes_its_share_of_a_processor_only(
    idle: float, tmp_path: Path, ended: tuple[int, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By processor time against the time slept, which no load of the machine can shorten."""
    monkeypatch.setattr(Spare, "processors", lambda _self: idle)
    path = tmp_path / "t"
    path.write_bytes(b"x\n" * (10 * SIP))
    began, used = time.monotonic(), time.process_time()
    lines = in_passing(path, ended[0])
    for _line in islice(lines, 2 * SIP):
        sum(range(100))  # the work that a line makes
    share = (time.process_time() - used) / (time.monotonic() - began)
    assert share < 1.5 * SPARE_SHARE if idle >= SPARE else share < 2 * SHARE
    ended[1]()
    assert sum(1 for _ in lines) == 8 * SIP


def test_a_line_longer_than_a_block(tmp_path: Path, ended: tuple[int, Callable[[], None]]) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"x" * 5_000_000 + b"\ny\n")
    ended[1]()
    assert [len(line) for line in follow(path, ended[0])] == [5_000_000, 1]


def test_an_empty_file(tmp_path: Path, ended: tuple[int, Callable[[], None]]) -> None:
    path = tmp_path / "t"
    path.touch()
    ended[1]()
    assert list(follow(path, ended[0])) == []


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
