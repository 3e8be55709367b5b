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


def _http(at: str, port: int, result: str) -> str:
    to = f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("192.0.2.7")}}, 16'
    return f"9 {at}1 socket(AF_INET, SOCK_STREAM, 0) = 3 <0.001>\n9 {at}2 connect(3, {to}) = {result} <0.001>\n"


_ROWS = (
    _http("1.1", 80, "-1 ECONNREFUSED (Connection refused)") + "9 1.13 close(3) = 0 <0.001>\n" + _http("1.2", 81, "0")
    + '9 1.3 sendto(3, "GET / HTTP/1.1\\r\\n\\r\\n", 18, 0, NULL, 0) = 18 <0.001>\n'
    '9 1.4 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n[]", 99, 0, NULL, NULL) = 40 <0.001>\n'
    '9 1.5 openat(AT_FDCWD, "/out/rows.json", O_WRONLY|O_CREAT, 0666) = -1 ENOENT (No such file or directory) <0.001>\n'
)  # fmt: skip


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("No such file or directory: '/out/rows.json'", "not-network"),
        ("cannot reach the server", "connect-refused"),  # the file is one that it could do without
        ("No such file or directory: 'elsewhere'", "connect-refused"),
    ],
)
def test_a_file_that_was_not_there_is_what_it_says_it_failed_of(said: str, cause: str) -> None:
    """A refused connect before, and rows from another server after it: the last words name the file, not a peer."""
    words = f'9 1.6 write(2, "{said}\\n", {len(said) + 1}) = {len(said) + 1} <0.001>\n'
    analysis = analysed(_ROWS + words + DIED)
    verdict, finding = analysis.verdict, analysis.findings[0]
    assert (verdict.outcome, verdict.cause) == ("failed", cause)
    assert any(step.command == "namei -l /out/rows.json" for step in finding.next_steps) == (cause == "not-network")


def test_a_file_that_a_job_did_without_is_no_failure() -> None:
    words = '9 1.6 write(2, "/out/rows.json: No such file or directory\\n", 42) = 42 <0.001>\n'
    assert analysed(_ROWS + words + "9 3.0 +++ exited with 0 +++\n").verdict.outcome == "healthy"


def test_a_metric_after_it_is_no_work() -> None:
    """`job.failed:1|c` is said, and the job ends: it died of the disk."""
    metric = (
        "9 2.1 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 8 <0.001>\n"
        '9 2.2 sendto(8, "failed:1|c", 10, 0, {sa_family=AF_INET, sin_port=htons(8125), '
        'sin_addr=inet_addr("192.0.2.8")}, 16) = 10 <0.001>\n'
    )
    analysis = analysed(FULL + metric + DIED)
    assert (analysis.verdict.cause, analysis.findings[0].variant) == ("not-network", "disk-full")


@pytest.mark.parametrize(("status", "outcome"), [(0, "healthy"), (23, "failed")])
def test_a_reader_that_had_enough_is_the_jobs_own_affair(status: int, outcome: str) -> None:
    """`curl ... | head -1`; with `set -o pipefail` the job fails of it."""
    analysis = analysed(
        "8 1.0 clone(child_stack=NULL, flags=SIGCHLD) = 9 <0.001>\n"
        '9 2.0 write(1, "row", 3) = -1 EPIPE (Broken pipe) <0.01>\n9 3.0 +++ exited with 23 +++\n'
        f"8 4.0 +++ exited with {status} +++\n"
    )
    assert analysis.verdict.outcome == outcome


_ASKED = (
    _http("1.1", 80, "0") + '9 1.3 sendto(3, "GET / HTTP/1.1\\r\\n\\r\\n", 18, 0, NULL, 0) = 18 <0.001>\n'
    '9 1.4 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nabc", 99, 0, NULL, NULL) = 41 <0.001>\n'
)
_READ_ON = '9 2.1 recvfrom(3, "def", 99, 0, NULL, NULL) = 3 <0.001>\n'
_ASKED_ON = '9 2.2 sendto(3, "GET /2 HTTP/1.1\\r\\n\\r\\n", 19, 0, NULL, 0) = 19 <0.001>\n'


@pytest.mark.parametrize(
    ("after", "words", "full"),
    [
        (_READ_ON, "curl: (23) Failure writing output to destination", True),
        (_READ_ON, "OSError: [Errno 28] No space left on device", True),
        ("", "it is over", True),
        (_READ_ON, "it is over", False),  # it lost a line of its log, and went on
        (_READ_ON, "No space left on device\\nit is over", False),
        (_READ_ON + _ASKED_ON, "No space left on device", False),
    ],
)
def test_what_still_came_of_an_answer_is_no_work(after: str, words: str, full: bool) -> None:
    size = len(words.replace("\\n", "n"))
    said = f'9 2.3 write(2, "{words}", {size}) = {size} <0.001>\n'
    causes = [finding.variant for finding in analysed(_ASKED + FULL + after + said + DIED).findings]
    assert ("disk-full" in causes) is full
    assert analysed(_ASKED + FULL + after + said + "9 3.0 +++ exited with 0 +++\n").verdict.outcome != "failed"
