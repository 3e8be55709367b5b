"""`--format junit`, read back by junitparser."""

from __future__ import annotations

import io

import pytest
from junitparser import Failure, JUnitXml, Skipped

from systrace.model import Input
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS, write_whole

RUN = 'execve("/job", ["./job", "a"], 0x1 /* 3 vars */) = 0 <0.001>'
OPEN = "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>"
CONNECT = 'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = '
REFUSED = CONNECT + "-1 ECONNREFUSED (Connection refused) <0.1>"


def suites(*calls: str, name: str = "job.strace") -> JUnitXml:
    lines = [f"900 {1_700_000_100 + at}.000000 {call}\n".encode() for at, call in enumerate([RUN, *calls])]
    out = io.BytesIO()
    write_whole(REPORTERS["junit"], analyze([Input(name, lines)]), out)
    return JUnitXml.fromstring(out.getvalue())


@pytest.mark.parametrize(
    ("calls", "result"),
    [
        ([OPEN, REFUSED, "+++ exited with 1 +++"], Failure),
        ([OPEN, CONNECT + "0 <0.1>", "close(3) = 0 <0.1>", "+++ exited with 0 +++"], None),
        ([OPEN], Skipped),  # it ends before its job does
    ],
)
def test_a_recording_is_a_test_case(calls: list[str], result: type | None) -> None:
    [suite] = suites(*calls)
    [case] = suite
    assert (suite.name, suite.tests, case.name) == ("job.strace", 1, "job")
    assert case.time == len(calls)
    assert [type(each) for each in case.result] == ([result] if result else [])
    assert (suite.failures, suite.skipped) == (int(result is Failure), int(result is Skipped))
    if result is Failure:
        assert case.result[0].type == "connect-refused"
        assert "192.0.2.1:80" in case.result[0].message
        assert "Proof" in case.result[0].text


def test_characters_that_xml_has_not() -> None:
    attack = 'write(2, "\\0\\33[2J]]>&<!--\\342\\200\\256\\377", 20) = 20 <0.1>'
    [suite] = suites(OPEN, REFUSED, attack, "+++ exited with 1 +++", name='job\x00\x1b"<&>.strace')
    assert len(list(suite)) == 1
