"""Failures of this host's own pipes and disks accuse no peer, and give way to those of the network."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.rules.pages import full_trace

DIED = "9 3.0 +++ exited with 1 +++\n"
PAIR = '9 1.0 socketpair(AF_UNIX, SOCK_STREAM, 0, [3, 4]) = 0 <0.01>\n9 1.1 write(3, "x", 1) = 1 <0.01>\n'
FULL = '9 2.0 write(7, "row", 3) = -1 ENOSPC (No space left on device) <0.01>\n'


def analysed(text: str) -> Analysis:
    return analyze([Input("log", full_trace(text).encode().splitlines(keepends=True))])


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        (FULL, "disk-full"),
        ('9 2.0 write(1, "row", 3) = -1 EPIPE (Broken pipe) <0.01>\n', "stdio"),
        (PAIR + "9 2.0 read(3, 0x5, 9) = -1 ECONNRESET (Connection reset by peer) <0.01>\n", "helper"),
        ('9 1.0 pipe2([5, 6], 0) = 0 <0.01>\n9 2.0 write(6, "x", 1) = -1 EPIPE (Broken pipe) <0.01>\n', "helper"),
    ],
)
def test_local_failures(text: str, variant: str) -> None:
    analysis = analysed(text + DIED)
    assert (analysis.verdict.outcome, analysis.verdict.cause, analysis.verdict.peer) == ("failed", "not-network", None)
    assert analysis.findings[0].variant == variant


def test_a_job_that_ended_well_did_not_mind() -> None:
    assert analysed(FULL + "9 3.0 +++ exited with 0 +++\n").verdict.outcome == "healthy"


def test_a_refused_connection_says_it_better() -> None:
    refused = (
        '9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16)'
        " = -1 ECONNREFUSED (Connection refused) <0.01>\n"
    )
    assert analysed(refused + FULL + DIED).verdict.cause == "connect-refused"
