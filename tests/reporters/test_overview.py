"""Many recordings on one page: what stands in a line, what gives way to the width, and that nothing in it is obeyed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from systrace import words
from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.reporters.layout import Layout
from systrace.reporters.views.overview import Row, overview, row, unread

Analyse = Callable[..., Analysis]
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
NIGHTS = [
    Row("n/1.strace", "hung", "hung-read", "queue.corp.example:6379", "203.0.113.10:6379", "job.sh", "11-28 02:00:01"),
    Row("n/2.strace", "healthy", "-", "-", "", "job.sh", "11-29 02:00:01", took="26 ms"),
    Row("n/3.strace", "hung", "hung-read", "queue.corp.example:6379", "203.0.113.11:6379", "job.sh", "11-30 02:00:01"),
    Row("n/4.strace", "hung", "hung-read", "queue.corp.example:6379", "203.0.113.10:6379", "job.sh", "12-01 02:00:01"),
]
HOSTILE = "\x1b[2J\r\n\u202e\x9b" + "名" * 40 + ".strace"


@pytest.fixture(params=[False, True], ids=["utf8", "ascii"])
def in_ascii(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both kinds of locale."""
    for module in (words, "systrace.reporters.views.overview"):
        target = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{target}.ascii_only", lambda: request.param)
    return bool(request.param)


def shown(rows: list[Row], width: int, fitted: bool = True) -> list[str]:
    """The page as it is written."""
    return words.encoded("\n".join(overview(rows, Layout(width, fitted=fitted)))).decode().split("\n")


def test_a_line_says_what_where_who_and_when() -> None:
    header, first, second, *_ = shown(NIGHTS, 100)
    assert header.split() == ["verdict", "cause", "peer", "job", "start", "took", "file"]
    assert first.split() == "HUNG hung-read queue.corp.example:6379 job.sh 11-28 02:00:01 - 1.strace".split()
    assert second.split() == "HEALTHY - - job.sh 11-29 02:00:01 26 ms 2.strace".split()


def test_what_matters_least_gives_way_first() -> None:
    """The file's name is there for nothing, or where the other columns do not tell the rows apart."""
    headers = {width: shown(NIGHTS, width)[0].split() for width in (100, 80, 60, 40)}
    assert headers[80] == ["verdict", "cause", "peer", "job", "start", "took"]
    assert headers[60] == ["verdict", "cause", "peer", "job", "file"]
    assert headers[40] == ["verdict", "cause", "file"]
    assert [line.split()[-1] for line in shown(NIGHTS, 40)[1:5]] == ["1.strace", "2.strace", "3.strace", "4.strace"]


def test_counts_name_the_machine_behind_a_name() -> None:
    text = "\n".join(shown([*NIGHTS, unread("n/5.strace", "n/5.strace: the log is empty")], 80))
    assert "5 recordings: 3 HUNG, 1 HEALTHY, 1 NOT READ." in text
    assert "By cause\n   3  hung-read\n" in text
    peers = text.split("By peer\n")[1].splitlines()[:2]
    assert peers == [
        "   2  queue.corp.example:6379 (203.0.113.10)",
        "   1  queue.corp.example:6379 (203.0.113.11)",
    ]


def test_of_many_peers_the_rest_is_a_number() -> None:
    rows = [
        Row(f"{i}", "failed", "connect-refused", f"192.0.2.{i}:80", f"192.0.2.{i}:80", "x", str(i)) for i in range(13)
    ]
    lines = shown(rows, 80)
    assert lines[lines.index("By cause") + 1] == "  13  connect-refused"
    assert lines[lines.index("By peer") + 11] == "      and 3 more"


def test_what_could_not_be_read_is_a_line_in_its_place() -> None:
    lines = shown([NIGHTS[0], unread("x", "x: this is a tar archive,\nno strace log"), NIGHTS[1]], 80)
    assert lines[2] == "NOT READ  x: this is a tar archive,\\x0ano strace log"
    assert [line.split()[0] for line in lines[1:4]] == ["HUNG", "NOT", "HEALTHY"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_hostile_names_stay_in_their_columns(width: int, in_ascii: bool) -> None:
    """Control characters, line breaks, bidirectional marks and wide characters, in every text that a trace chose."""
    bad = [Row(f"{HOSTILE}{i}", "failed", "hung-read", HOSTILE, f"{HOSTILE}:80", HOSTILE, "-") for i in range(3)]
    lines = shown([*bad, *NIGHTS, unread(HOSTILE, f"{HOSTILE}: is a directory")], width)
    assert len([line for line in lines if line.startswith(("FAILED", "HUNG", "HEALTHY", "NOT READ"))]) == 8
    assert all(line.isprintable() and (line.isascii() or not in_ascii) for line in lines)
    assert max(words.columns(line) for line in lines) <= width


@pytest.mark.parametrize("width", [40, 80, 120])
def test_real_recordings(width: int, in_ascii: bool) -> None:
    """Those of samples/: every one has a line that fits, with its verdict and cause."""
    paths = sorted(SAMPLES.glob("*/trace.strace"))
    rows = []
    for path in paths:
        with path.open("rb") as log:
            rows.append(row(str(path), analyze([Input(str(path), log)])))
    lines = shown(rows, width)
    assert max(map(len, lines)) <= width
    found = [line.split() for line in lines[1 : len(paths) + 1]]
    assert [line[0] for line in found] == ["FAILED", "HEALTHY", "FAILED", "HUNG", "HUNG", "FAILED"]
    assert [line[1][:10] for line in found] == [
        "dns-timeou", "-", "html-inste", "hung-read", "idle-timeo", "connect-re",
    ]  # fmt: skip
    files = [line[lines[0].index("file") :][:4] for line in lines[1 : len(paths) + 1]]
    assert files == ["dns-", "heal", "html", "hung", "nat-", "refu"]
    assert ("took" in lines[0]) == (width == 120)


def test_nothing_is_cut_where_nobody_looks() -> None:
    """In a pipe or a mail the rows are whole, whatever the width."""
    assert shown(NIGHTS, 40, fitted=False)[1].endswith("job.sh  11-28 02:00:01      -  1.strace")


def test_the_start_is_of_this_machine_s_clock(analyse: Analyse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    try:
        one = row("a", analyse('9 1700000100.000000 execve("/bin/true", ["true"], 0x7 /* 6 vars */) = 0 <0.0001>\n'))
        assert (one.start, one.zone, one.job) == ("11-14 17:15:00", "EST", "true")
        assert shown([one, one], 80)[0].split()[4:7] == ["start", "EST", "took"]
        never = row("b", analyse("9 99999999999999.000000 close(3) = 0 <0.0001>\n"))
        assert never.start == "-"
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_the_verdict_alone_has_a_colour() -> None:
    out = overview([NIGHTS[0], NIGHTS[1]], Layout(80, colour=True))
    assert out[1].startswith("\x1b[1;31mHUNG\x1b[0m ")
    assert out[2].startswith("\x1b[1;32mHEALTHY\x1b[0m ")
