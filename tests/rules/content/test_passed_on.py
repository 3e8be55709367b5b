"""What a program passed on stands for the answer that TLS hides: `curl -s https://… | jq`, recorded with strace 6.1."""

from __future__ import annotations

from pathlib import Path

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

LOG = Path(__file__).with_name("passed_on.strace").read_bytes()
BAD = rb'"{\"rows\": [1,2,,3]}", 18) = 18'
COMPLAINT = b"parse error: Expected value before ',' at line 1, column 15"


def judged(log: bytes) -> Analysis:
    """The verdict on a changed log."""
    return analyze([Input("job", log.splitlines(keepends=True))])


def test_the_bytes_in_the_pipe_are_judged() -> None:
    verdict = judged(LOG).verdict
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("failed", "invalid-json", "127.0.0.1:8802")
    assert "as its receiver passed it on" in verdict.headline
    assert "jq[26789] then failed" in verdict.headline


def test_the_evidence_is_what_was_passed_on_and_the_complaint() -> None:
    analysis = judged(LOG)
    finding = analysis.findings[0]
    assert finding.confidence == "possible"
    assert [line.line for line in finding.lines] == [50, 59, 60]


@pytest.mark.parametrize(
    ("body", "complaint", "cause"),
    [
        (rb"<html><title>Login</title></html>", b"parse error: Invalid numeric literal", "html-instead-of-json"),
        (rb"{\"rows\": [1,2", b"parse error: Unfinished JSON term at EOF at line 1, column 14", "invalid-json"),
    ],
)  # fmt: skip
def test_other_bodies(body: bytes, complaint: bytes, cause: str) -> None:
    size = len(body.replace(b"\\", b""))
    new = b'"%b", %d) = %d' % (body, size, size)
    assert judged(LOG.replace(BAD, new).replace(COMPLAINT, complaint)).verdict.cause == cause


def test_good_bytes_accuse_nobody() -> None:
    verdict = judged(LOG.replace(BAD, rb'"{\"rows\": [1,2,13]}", 18) = 18')).verdict
    assert verdict.peer is None
    assert verdict.cause in ("inconclusive", "not-network")


def test_more_than_came_was_made_by_the_program_itself() -> None:
    size = 50_000
    log = LOG.replace(BAD, rb'"{\"rows\": [1,2,,3]}"..., %d) = %d' % (size, size))
    assert judged(log).verdict.peer is None


def test_a_job_that_ends_well_is_healthy() -> None:
    log = LOG.replace(b"exited with 4", b"exited with 0").replace(b"exit_group(4)", b"exit_group(0)")
    assert judged(log.replace(b"WEXITSTATUS(s) == 4", b"WEXITSTATUS(s) == 0")).verdict.outcome == "healthy"


def test_of_two_peers_nobody_can_tell_which() -> None:
    first = next(line for line in LOG.splitlines() if b" socket(" in line)
    other = [
        first.replace(b"5<TCP:[2086596]>", b"6<TCP:[2086599]>"),
        rb"26788 1795749160.506 connect(6<TCP:[2086599]>, {sa_family=AF_INET, sin_port=htons(443), "
        rb'sin_addr=inet_addr("192.0.2.9")}, 16) = 0 <0.001>',
        rb'26788 1795749160.507 sendto(6<TCP:[192.0.2.1:4711->192.0.2.9:443]>, "hello", 5, 0, NULL, 0) = 5 <0.001>',
        rb'26788 1795749160.508 recvfrom(6<TCP:[192.0.2.1:4711->192.0.2.9:443]>, "world", 5, 0, NULL, NULL) = 5 <0.001>',
    ]
    assert judged(LOG.replace(first, b"\n".join([first, *other]))).verdict.cause != "invalid-json"
