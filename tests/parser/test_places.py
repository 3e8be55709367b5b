"""The number of a record is that of the line in the user's own file where the call begins, whatever was taken off."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.model import Health, Input, Record, Style
from systrace.parser import EVERY_NAME, records
from systrace.parser.merged import Completion
from systrace.pipeline import analyze
from systrace.sources.logfile import recordings

SAMPLES = sorted(Path(__file__).parents[2].glob("samples/*/trace.strace"))
LOGS = [path.read_bytes().splitlines() for path in SAMPLES]
STAMP = b"2024-05-01T10:00:00.123456789Z "


@dataclass
class Wrapped:
    """A log as it travelled."""

    lines: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # for each line of strace: the number of its first line here

    def add(self, pieces: list[bytes]) -> None:
        """One line of strace, in pieces."""
        self.starts.append(len(self.lines) + 1)
        self.lines += pieces


def _cut(line: bytes, width: int) -> list[bytes]:
    return [line[at : at + width] for at in range(0, len(line), width)] or [b""]


def plain(lines: list[bytes], width: int) -> Wrapped:
    """As it is, with blank lines and comments in between."""
    wrapped = Wrapped()
    for number, line in enumerate(lines):
        if number % max(2, width // 20) == 1:
            wrapped.lines += [b"", b"# a remark"]
        wrapped.add([line])
    return wrapped


def syslog(lines: list[bytes], _width: int) -> Wrapped:
    """A prefix on each line."""
    wrapped = Wrapped()
    for line in lines:
        wrapped.add([b"May  1 10:00:00 host job[777]: " + line])
    return wrapped


def cri(lines: list[bytes], width: int) -> Wrapped:
    """containerd's parts, with those of the other stream between them."""
    wrapped = Wrapped()
    for number, line in enumerate(lines):
        *parts, last = _cut(line, width)
        pieces = [STAMP + b"stderr P " + part for part in parts]
        if number % 3 == 0:
            pieces.insert(len(pieces) and 1, STAMP + b"stdout P half a line of output, ")
            pieces.append(STAMP + b"stdout F and its end")
        wrapped.add([*pieces, STAMP + b"stderr F " + last])
    if lines and not parts:
        wrapped.starts[-1] = len(wrapped.lines)  # the output stands before it
    return _starts_of(wrapped, b"stderr")


def _starts_of(wrapped: Wrapped, stream: bytes) -> Wrapped:
    """Behind lines of the other stream that stand before the first part."""
    wrapped.starts = [
        next(n for n in range(start, len(wrapped.lines) + 1) if stream in wrapped.lines[n - 1][:80])
        for start in wrapped.starts
    ]
    return wrapped


def docker(lines: list[bytes], width: int) -> Wrapped:
    """Docker's JSON objects, their parts without a newline at the end."""
    wrapped = Wrapped()
    for line in lines:
        text = (line + b"\n").decode("utf-8", "surrogateescape")
        parts = [text[at : at + width] for at in range(0, len(text), width)]
        wrapped.add([json.dumps({"log": part, "stream": "stderr"}).encode() for part in parts])
    return wrapped


def columns(lines: list[bytes], width: int) -> Wrapped:
    """Broken by a terminal."""
    wrapped = Wrapped()
    for line in lines:
        wrapped.add(_cut(line, width))
    return wrapped


def columns_in_docker(lines: list[bytes], width: int) -> Wrapped:
    """Broken by a terminal of the container, then cut by docker."""
    broken = columns(lines, width)
    cut = docker(broken.lines, width // 2)
    return Wrapped(cut.lines, [cut.starts[start - 1] for start in broken.starts])


KINDS: list[Callable[[list[bytes], int], Wrapped]] = [plain, syslog, cri, docker, columns, columns_in_docker]


def read(lines: list[bytes], end: bytes) -> tuple[list[Record], Health]:
    """Its records, and how many lines were counted."""
    health = Health()
    return list(records([Input("log", [line + end for line in lines])], EVERY_NAME, health, Style())), health


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_numbers_are_those_of_the_file(kind: Callable[[list[bytes], int], Wrapped], data: st.DataObject) -> None:
    """A call that reads the same wrapped and bare has the number of the line where it begins."""
    log = data.draw(st.sampled_from(LOGS))
    first = data.draw(st.integers(0, max(0, len(log) - 30)))
    lines = [line for line in log[first : first + data.draw(st.integers(30, 200))] if line and line[:1] != b"#"]
    wrapped = kind(lines, data.draw(st.integers(60, 120)))
    bare, _ = read(lines, b"\n")
    found, health = read(wrapped.lines, data.draw(st.sampled_from([b"\n", b"\r\n"])))
    assert health.lines == len(wrapped.lines)
    number = {(r.tid, r.time_ns, r.syscall, r.args, r.retval): wrapped.starts[r.lineno - 1] for r in bare if r.lineno}
    same = [r for r in found if (r.tid, r.time_ns, r.syscall, r.args, r.retval) in number and r.lineno]
    for record in same:
        assert record.lineno == number[record.tid, record.time_ns, record.syscall, record.args, record.retval]
    assert len(same) >= len(number) * 0.7, (len(same), len(number))  # a record that ends at the edge may be joined


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("log", LOGS, ids=[path.parent.name for path in SAMPLES])
def test_evidence_is_where_it_is_said_to_be(kind: Callable[[list[bytes], int], Wrapped], log: list[bytes]) -> None:
    """`sed -n Np` shows what the report quotes."""
    wrapped = kind(log, 90)
    bare = analyze([Input("log", [line + b"\n" for line in log])])
    found = analyze([Input("log", [line + b"\n" for line in wrapped.lines])])
    assert found.verdict.cause == bare.verdict.cause
    quoted = [line for finding in found.findings for line in finding.lines]
    for line in quoted:
        shown = wrapped.lines[line.line - 1]
        text = json.loads(shown)["log"] if shown.startswith(b'{"log"') else shown.decode("utf-8", "backslashreplace")
        assert line.raw[:25] in text
    assert bool(quoted) == bool(bare.findings)


def test_numbers_of_several_compressed_files(tmp_path: Path) -> None:
    """Each file of `-ff` counts its own lines, however it was packed and wrapped."""
    text = [f"17000000{n:02}.000000 close({n}) = 0" for n in range(40)]
    wrapped = [json.dumps({"log": part}) + "\n" for line in text for part in (line[:20], line[20:] + "\n")]
    (tmp_path / "t.7").write_bytes(
        gzip.compress("".join(wrapped[:20]).encode()) + gzip.compress("".join(wrapped[20:]).encode())
    )
    (tmp_path / "t.8").write_text("".join(f"\n{line}\r\n" for line in text))
    (inputs,) = recordings([str(tmp_path)])
    found = list(records(inputs, EVERY_NAME, Health(), Style()))
    assert sorted((r.tid, r.args, r.lineno) for r in found) == sorted(
        (tid, b"%d" % n, lineno) for n in range(40) for tid, lineno in ((7, 2 * n + 1), (8, 2 * n + 2))
    )


@pytest.mark.parametrize("merged", [True, False])
def test_a_merged_log_is_known_behind_joined_lines(merged: bool) -> None:
    """Numbers that are not consecutive say nothing of the order; a call in two halves was not merged."""
    wait = ["9 1700000001.600000 epoll_wait(4, [], 8, 2000) = 0 <2.002000>"]
    if not merged:
        wait = [
            "9 1700000001.600000 epoll_wait(4, <unfinished ...>",
            "9 1700000003.602000 <... epoll_wait resumed>[], 8, 2000) = 0 <2.002000>",
        ]
    sent = '10 1700000001.700000 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.010000>'
    lines = [wait[0], sent, *wait[1:], "10 1700000001.900000 close(3) = 0 <0.010000>"]
    wrapped = docker([line.encode() for line in lines], 40)
    found, _ = read(wrapped.lines, b"\n")
    completion = Completion()
    ordered = completion.ordered(found) + completion.rest()
    assert completion.merged is merged
    assert [r.syscall for r in ordered[:3]] == (
        ["sendto", "close", "epoll_wait"] if merged else ["sendto", "epoll_wait", "close"]
    )
