"""What is watched and concluded of a recording that grows."""

from __future__ import annotations

import json
import mmap
from dataclasses import replace

import pytest

from systrace import Input
from systrace.capture import answers
from systrace.capture.concluding import Conclusion, Wishes, conclude, watch
from systrace.model import Event
from systrace.reporters.layout import Layout

SOCKET = b"9 10.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[1]> <0.000100>\n"
CONNECT = (
    b"9 10.200000 connect(3<socket:[1]>, {sa_family=AF_INET, sin_port=htons(81), "
    b'sin_addr=inet_addr("192.0.2.7")}, 16) = %s\n'
)
REFUSED = b"-1 ECONNREFUSED (Connection refused) <0.000100>"
ENDED = b"9 15.000000 exit_group(%d) = ?\n9 15.100000 +++ exited with %d +++\n"
LINES = [
    b"900 10.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[1]> <0.000010>\n",
    b'900 10.000100 connect(3<socket:[1]>, {sa_family=AF_INET, sin_port=htons(81), sin_addr=inet_addr("192.0.2.7")}, 16)'
    b" = -1 ECONNREFUSED (Connection refused) <0.000100>\n",
    b'900 10.000300 read(4</etc/hosts>, "x", 1) = 1 <0.000010>\n',
    b"900 10.001000 exit_group(1) = ?\n",
    b"900 10.002000 +++ exited with 1 +++\n",
]


def concluded(result: bytes, status: int) -> Conclusion:
    """Of a job that makes one connection."""
    lines = (SOCKET + CONNECT % result + ENDED % (status, status)).splitlines(keepends=True)
    return Conclusion.read(conclude("t", iter(lines), Wishes("json", Layout())))


@pytest.mark.parametrize(
    ("result", "status", "failed", "healthy"),
    [
        (REFUSED, 1, True, False),
        (b"0 <0.000100>", 0, False, True),
        (b"0 <3.020000>", 0, False, False),  # a slow connect: a warning is no failure, and nothing to keep quiet about
    ],
)
def test_what_is_a_failure_and_what_is_healthy(result: bytes, status: int, failed: bool, healthy: bool) -> None:
    answer = concluded(result, status)
    assert (answer.failed, answer.healthy) == (failed, healthy)


def test_every_severity_counts_that_the_contract_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from systrace import pipeline

    analysis = pipeline.analyze([])
    text = SOCKET + CONNECT % REFUSED + ENDED % (1, 1)
    refused = pipeline.analyze([Input("t", text.splitlines(keepends=True))])
    finding = refused.findings[0]
    for severity, fails in (("fatal", True), ("error", True), ("warning", False), ("info", False)):
        analysis.findings[:] = [replace(finding, severity=severity)]
        monkeypatch.setattr(pipeline, "analyze", lambda *_a, **_k: analysis)
        assert Conclusion.read(conclude("t", iter(()), Wishes("json", Layout()))).failed == fails


def test_further_reports_come_with_the_first() -> None:
    whole = conclude("t", iter(LINES), Wishes("table", Layout(), [("json", Layout()), ("table", Layout(40))]))
    answer = Conclusion.read(whole)
    alone = Conclusion.read(conclude("t", iter(LINES), Wishes("json", Layout())))
    assert alone.more == ()
    assert bytes(answer.report).startswith(b"FAILED")
    assert (answer.more[0], len(answer.more)) == (alone.report, 2)
    assert answer.more[1] not in (answer.report, b"")


def test_long_reports_are_not_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    more = [("json", Layout()), ("table", Layout(40))]
    short = Conclusion.read(conclude("t", iter(LINES), Wishes("table", Layout(), more)))
    monkeypatch.setattr(answers, "IN_MEMORY", 2_000)
    whole = conclude("t", iter(LINES), Wishes("table", Layout(), more))
    assert isinstance(whole, mmap.mmap)
    answer = Conclusion.read(whole)
    assert [type(each) for each in (answer.report, *answer.more)] == [bytes, memoryview, bytes]
    assert (answer.report, *answer.more) == (short.report, *short.more)


def test_a_conclusion_goes_through_a_pipe() -> None:
    answer = Conclusion.read(conclude("the trace", iter(LINES), Wishes("json", Layout())))
    assert (answer.failed, answer.healthy) == (True, False)
    assert answer.line == ""
    assert "192.0.2.7:81" in Conclusion.read(conclude("the trace", iter(LINES), Wishes("table", Layout()))).line
    assert json.loads(bytes(answer.report))["verdict"]["cause"] == "connect-refused"


def test_nothing_recorded_is_still_concluded() -> None:
    answer = Conclusion.read(conclude("the trace", iter(()), Wishes("json", Layout())))
    assert json.loads(bytes(answer.report))["verdict"]["outcome"] == "inconclusive"
    assert not answer.failed


def test_watching_leaves_out_plain_files() -> None:
    seen: list[Event] = []
    watch(iter(line.rstrip(b"\n") for line in LINES), seen.append)
    names = [event.record.syscall for event in seen]
    assert "connect" in names
    assert "read" not in names
