from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from systrace.capture.following import HELD_BACK, SHARE, SIP, SPARE, SPARE_SHARE, follow, in_passing
from systrace.capture.spare import Spare


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
