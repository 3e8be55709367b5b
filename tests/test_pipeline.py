"""The whole way: one recording in one or several files, its memory, and its evidence lines."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.model import Health, Input, Style
from systrace.parser import EVERY_NAME, records
from systrace.parser.files import Files
from systrace.pipeline import _batches, analyze, raw_records
from systrace.reporters.formats.table import one_line
from systrace.sources.logfile import recordings
from systrace.streams.tracker import Tracker

START = 1_700_000_000


def job(sockets: int) -> Iterator[bytes]:
    """A job that asks again and again, over a new connection each time, and is always answered."""
    for n in range(sockets):
        for step, call in enumerate((
            "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>",
            'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = 0 <0.000100>',
            'sendto(3, "PING\\n", 5, MSG_NOSIGNAL, NULL, 0) = 5 <0.000010>',
            "poll([{fd=3, events=POLLIN}], 1, 5000) = 1 ([{fd=3, revents=POLLIN}]) <0.030000>",
            'recvfrom(3, "PONG\\n", 100, 0, NULL, NULL) = 5 <0.000010>', "close(3) = 0 <0.000010>",
        )):  # fmt: skip
            yield b"7 %d.%06d %s\n" % (START + n, step * 100_000, call.encode())
    yield b"7 %d.900000 +++ exited with 0 +++\n" % (START + sockets)


def kept_memory(sockets: int) -> int:
    """Bytes that the answer to that job holds."""
    tracemalloc.start()
    answer = analyze([Input("log", job(sockets))])
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.verdict.outcome == "healthy"
    return size


def test_memory_does_not_grow_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the number of closed sockets that are kept, further ones are counted and forgotten."""
    monkeypatch.setattr("systrace.streams.sockets._MOST_SOCKETS", 40)
    kept_memory(60)  # what is kept once, whatever is read: modules, caches
    small, large = kept_memory(150), kept_memory(450)
    assert large < small + 300 * 300  # a kept socket is some 5 kB, a forgotten one next to nothing


def test_what_is_forgotten_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The headline speaks of the whole log, also where most of its connections are no longer listed."""
    told = []
    for most in (1000, 20):
        monkeypatch.setattr("systrace.streams.sockets._MOST_SOCKETS", most)
        analysis = analyze([Input("log", job(60))])
        told.append((analysis.verdict.headline, one_line(analysis)))
    assert told[0] == told[1]
    assert "60 connections" in told[1][0]
    assert analysis.evidence.forgotten.made > 20


def test_a_log_split_by_thread_says_the_same() -> None:
    """-ff: the files, merged by time, give each thread the calls that the one file gives."""
    chance = random.Random(1)
    lines = [(chance.choice((11, 12, 13)), n) for n in range(300)]
    whole = [b"%d %d.%06d close(%d) = 0 <0.000001>\n" % (tid, START, n * 10, n) for tid, n in lines]
    parts = [
        Input(
            f"log.{tid}", [line.partition(b" ")[2] for (t, _), line in zip(lines, whole, strict=True) if t == tid], tid
        )
        for tid in (11, 12, 13)
    ]
    told = [(r.tid, r.args, r.time_ns) for r in raw_records([Input("log", whole)])]
    assert [(r.tid, r.args, r.time_ns) for r in raw_records(parts)] == told


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_any_prefix_of_a_job_has_an_answer(cuts: list[int]) -> None:
    """A log may end anywhere, in the middle of a line too."""
    data = b"".join(job(4))
    end = sum(cuts) * 37 % len(data)
    answer = analyze([Input("log", data[:end].splitlines(keepends=True))])
    assert answer.verdict.outcome in ("healthy", "inconclusive", "hung")
    assert answer.evidence.health.lines == data[:end].count(b"\n") + (not data[:end].endswith(b"\n") and end > 0)


def test_evidence_is_the_log_s_own_lines() -> None:
    """Every finding shows lines, with the number under which they stand in the file."""
    text = [
        b"7 1700000000.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>\n",
        b'7 1700000001.000000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16)'
        b" = -1 ECONNREFUSED (Connection refused) <0.000100>\n",
        b"7 1700000002.000000 +++ exited with 1 +++\n",
    ]
    answer = analyze([Input("the log", text)])
    assert (answer.verdict.outcome, answer.verdict.cause) == ("failed", "connect-refused")
    lines = answer.findings[0].lines
    assert lines
    assert all(text[line.line - 1].decode().rstrip() == line.raw and line.file == "the log" for line in lines)


def test_damage_of_a_compressed_log_is_counted(tmp_path: Path) -> None:
    """What came before the damage is read, and the damage is said."""
    path = tmp_path / "cut.strace.gz"
    line = b"9 17000000%02d.000000 getpid() = 9 <0.000010>\n"
    path.write_bytes(gzip.compress(b"".join(line % (n % 60) for n in range(5000)), mtime=0)[:-40])
    (inputs,) = recordings([str(path)])
    health = analyze(inputs).evidence.health
    assert health.lines > 1000
    assert len(health.damage) == 1


def test_a_log_that_damage_cut_short_proves_no_health() -> None:
    """The rest is missing: nothing had failed until then, and nobody knows what came after."""
    started = b'7 1699999999.0 execve("/bin/job", ["job"], 0x7ff /* 6 vars */) = 0 <0.000100>\n'
    lines = started + b"".join(job(2))
    fact = b'# systrace: {"damage": "the compressed data ends early"}\n'
    whole = analyze([Input("log", lines.splitlines(keepends=True))])
    cut = analyze([Input("log", [*lines.splitlines(keepends=True)[:-1], fact])])
    assert (whole.verdict.outcome, cut.verdict.outcome) == ("healthy", "inconclusive")
    assert "breaks off" in cut.verdict.headline


def test_of_nothing_nothing_is_hidden() -> None:
    """An empty log has no options that could hide a call."""
    analysis = analyze([Input("log", [b"\n"])])
    assert analysis.evidence.health.limits == []


def test_very_long_lines_are_not_held_by_the_hundred() -> None:
    """Batches are bounded in bytes, too, and the first one is small."""
    waiting = 0
    most = 0

    def lines() -> Iterator[bytes]:
        nonlocal waiting, most
        for number in range(200):
            waiting += 1
            most = max(most, waiting)
            yield b'7 %d.000000 sendto(3, "%b", 1000000, 0, NULL, 0) = 1000000 <0.000001>\n' % (
                number,
                b"x" * 1_000_000,
            )

    source = lines()
    read = records([Input("log", source)], EVERY_NAME, Health(), Style(), as_is=True)
    for batch in _batches(read, True, Files(set()), Style(), Tracker()):
        waiting -= len(batch)
    assert most <= 34
