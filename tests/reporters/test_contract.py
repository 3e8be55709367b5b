"""What every report format keeps, on what every rule finds, and on bytes that were made to hurt."""

from __future__ import annotations

import copy
import io
import json
import re
from functools import cache

import pytest

from systrace.model import Analysis, Input, Keep
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS, kept, write_whole
from systrace.reporters.choosing import Wanted, wanted
from systrace.reporters.layout import Layout
from systrace.rules import RULES
from systrace.rules.pages import full_trace

NARROW, PLAIN = Layout(40, fitted=True), Layout()
FULL = Layout(80, colour=True, fitted=True, everything=True, requests=True)
SGR = re.compile(rb"\x1b\[[0-9;]*m")
# Each hurts somebody: a terminal (ESC, CSI, CR, BEL), a reader's eyes (bidi, zero width), a parser (NUL, bad UTF-8, quotes).
HOSTILE = r"\33[2J\33]0;owned\7\r\233\0\"'<script>&amp;" + "\\342\\200\\256\\342\\200\\213\\377\\n"
ATTACK = rf"""
9 1700000100.000000 execve("./{HOSTILE}", ["{HOSTILE}"], 0x7ff /* 6 vars */) = 0 <0.0001>
9 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>
9 1700000100.200000 connect(3, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.10")}}, 16) = 0 <0.001>
9 1700000100.300000 sendto(3, "GET /{HOSTILE} HTTP/1.1\r\nHost: {HOSTILE}\r\n\r\n", 180, 0, NULL, 0) = 180 <0.000010>
9 1700000100.400000 recvfrom(3, "HTTP/1.1 500 {HOSTILE}\r\nContent-Type: {HOSTILE}\r\n\r\n{HOSTILE}", 9000, 0, NULL, NULL) \
= 190 <0.000010>
9 1700000100.500000 write(2, "{HOSTILE}", 44) = 44 <0.000010>
9 1700000100.600000 connect(4, {{sa_family=AF_UNIX, sun_path="/tmp/{HOSTILE}"}}, 110) = -1 ENOENT (No such file) <0.00001>
9 1700000100.700000 +++ exited with 1 +++
"""
TRACES = {**{cause: full_trace(rule.fires) for cause, rule in RULES.items()}, "attack": ATTACK.lstrip("\n")}
SECRETS = ("Tok3nTok3nTok3n", "s3cr3ts3cr3t", "hunter2hunter22", "argv5ecret5ecret")
POST = (
    r"POST /?token=Tok3nTok3nTok3n HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cr3ts3cr3t\r\n"
    r"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 24\r\n\r\npassword=hunter2hunter22"
)
PLANTED = rf"""
9 1700000100.000000 execve("/bin/job", ["job", "--password=argv5ecret5ecret"], 0x7ff /* 6 vars */) = 0 <0.0001>
9 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>
9 1700000100.200000 connect(3, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.10")}}, 16) = 0 <0.001>
9 1700000100.300000 sendto(3, "{POST}", 9999, 0, NULL, 0) = 186 <0.00001>
9 1700000100.400000 recvfrom(3, "HTTP/1.1 500 Oh\r\n\r\nTok3nTok3nTok3n s3cr3ts3cr3t", 9000, 0, NULL, NULL) = 47 <0.000010>
9 1700000100.500000 write(2, "login hunter2hunter22 failed\n", 29) = 29 <0.000010>
9 1700000100.700000 +++ exited with 1 +++
"""
each_format = pytest.mark.parametrize("name", list(REPORTERS))
each_text = pytest.mark.parametrize("name", [name for name, each in REPORTERS.items() if not each.binary])
each_trace = pytest.mark.parametrize("trace", list(TRACES))


@cache
def analysed(trace: str) -> Analysis:
    """The whole pipeline's analysis of a trace; nobody changes it."""
    name = "job\x1b[2J\u202e.strace" if trace == "attack" else "job.strace"
    keep = kept(REPORTERS.values(), Keep())
    return analyze([Input(name, TRACES[trace].encode().splitlines(keepends=True))], keep=keep)


def written(name: str, analysis: Analysis, layout: Layout) -> bytes:
    out = io.BytesIO()
    write_whole(REPORTERS[name], analysis, out, layout)
    return out.getvalue()


@each_text
@each_trace
def test_a_report_is_text_that_nothing_obeys(name: str, trace: str) -> None:
    """UTF-8, whole lines, no control but the newline; colours only where they were asked for."""
    for layout in (NARROW, PLAIN, FULL):
        report = written(name, analysed(trace), layout)
        assert report.endswith(b"\n")
        text = (SGR.sub(b"", report) if layout.colour else report).decode("utf-8")
        assert not [char for char in text if char != "\n" and not char.isprintable()]


@each_format
@each_trace
def test_a_report_says_the_verdict_the_same_way_twice(name: str, trace: str) -> None:
    """And writing it changes nothing."""
    analysis = analysed(trace)
    before = copy.deepcopy((analysis.verdict, analysis.findings))
    first = written(name, analysis, PLAIN)
    assert written(name, analysis, PLAIN) == first
    assert (analysis.verdict, analysis.findings) == before
    if not REPORTERS[name].binary:
        shown = json.loads(first)["verdict"]["cause"] if name == "json" else first.decode()
        assert analysis.verdict.cause in shown or analysis.verdict.finding is None


@each_format
def test_no_format_tells_a_secret(name: str) -> None:
    """Neither where it was sent, nor where it is repeated, nor in an argument."""
    lines = PLANTED.lstrip("\n").encode().splitlines(keepends=True)
    analysis = analyze([Input("job.strace", lines)], keep=kept(REPORTERS.values(), Keep()))
    report = written(name, analysis, FULL)
    assert analysis.evidence.processes[9].command == "job"
    assert [secret for secret in SECRETS if secret.encode() in report] == []


@each_format
def test_a_format_is_known_by_its_name(name: str) -> None:
    reporter = REPORTERS[name]
    assert reporter.name == name
    assert reporter.suffixes
    for suffix in reporter.suffixes:
        assert re.fullmatch(r"\.[a-z0-9-]+", suffix)
        assert wanted([], [f"r{suffix.upper()}"]) == [Wanted(name, f"r{suffix.upper()}")]
    assert not (reporter.for_people and reporter.binary)


def test_the_attack_is_one() -> None:
    """It reaches what reports are made of: the contract above is about something."""
    analysis = analysed("attack")
    assert any("\x1b" in process.command for process in analysis.evidence.processes.values())
    assert any(
        b"\x1b[2J" in bytes(line.text, "utf-8", "replace") or "\\33[2J" in line.text
        for f in analysis.findings
        for line in f.lines
    )
