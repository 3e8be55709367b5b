"""Recordings that stop before the job does (tracer killed, disk full, size limit): what had no end there is no hang."""

from __future__ import annotations

import json
from typing import Any

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

HEAD = '# systrace: {"format": 1, "command": ["./job"], "strace_options": ["-f"]}\n'
START = '9 1700000100.000000 execve("./job", ["./job"], 0x7ff /* 6 vars */) = 0 <0.0001>\n'
CONNECT = (
    "9 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.00001>\n"
    '9 1700000100.200000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'
)
ASK = (
    CONNECT + '9 1700000100.300000 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'
)
TICK = '8 1700000160.000000 read(5</etc/hosts>, "", 4096) = 0 <0.00001>\n'
WAITS = {
    "read": ASK + "9 1700000100.400000 recvfrom(3, \n",
    "no clock's end": ASK + "9 1700000100.400000 recvfrom(3,  <unfinished ...>\n" + TICK,
    "connect": CONNECT.replace(" = 0 <0.01>", " <unfinished ...>") + TICK,
    "send": CONNECT + '9 1700000100.300000 sendto(3, "x"..., 900000, 0, NULL, 0 <unfinished ...>\n' + TICK,
    "lock": "9 1700000100.300000 flock(4</run/job.lock>, LOCK_EX <unfinished ...>\n" + TICK,
    "child": "9 1700000100.300000 wait4(-1,  <unfinished ...>\n" + TICK,
    "cut answer": ASK
    + '9 1700000100.400000 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nabc", 99, 0, NULL, NULL) = 41 <0.1>\n'
    + "9 1700000100.600000 recvfrom(3,  <unfinished ...>\n"
    + TICK,
}
KILLED = "strace[77] ended before the job: the recording stops there"


def report(body: str, **end: Any) -> Analysis:
    foot = {"end": 1700000200.0, "exit_status": None, "fault": None, "lost_bytes": 0, **end}
    text = HEAD + START + body + "# systrace: " + json.dumps(foot) + "\n"
    return analyze([Input("log", text.encode().splitlines(keepends=True))])


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("status", [0, 1, 137, None])
@pytest.mark.parametrize(
    ("fault", "said"),
    [(KILLED, "(strace[77] ended before the job)"), ("disk full: the recording stops there", "(disk full)"),
     ("the recording reached its limit of 900 bytes and stops there", "(the recording reached its limit of 900 bytes)")],
)  # fmt: skip
def test_a_wait_without_its_end_is_no_hang(wait: str, status: int | None, fault: str, said: str) -> None:
    analysis = report(WAITS[wait], exit_status=status, fault=fault)
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("inconclusive", "inconclusive")
    assert "The recording stops before the job did " + said in analysis.verdict.headline
    assert (f"the job ended with status {status}" in analysis.verdict.headline) == (status is not None)
    assert not [finding for finding in analysis.findings if finding.severity in ("fatal", "error")]
    assert fault in analysis.evidence.health.damage


@pytest.mark.parametrize("wait", WAITS)
def test_a_recording_that_its_time_ended_is_judged_as_ever(wait: str) -> None:
    """`--timeout`, without a fault: the job was seen to wait until then."""
    assert report(WAITS[wait]).verdict.outcome != "inconclusive"


def test_a_complaint_of_the_tracer_stops_nothing() -> None:
    assert report(WAITS["lock"], fault="strace: Process 77 detached").verdict.outcome == "hung"


def test_a_job_whose_end_is_there_is_judged_as_ever() -> None:
    """The tracer died after it."""
    body = WAITS["read"] + "9 1700000160.000000 +++ killed by SIGTERM +++\n"
    assert report(body, exit_status=143, fault=KILLED).verdict.cause == "hung-read"


@pytest.mark.parametrize(("status", "outcome"), [(0, "degraded"), (1, "failed")])
def test_what_was_seen_before_counts(status: int, outcome: str) -> None:
    refused = CONNECT.replace("= 0 <0.01>", "= -1 ECONNREFUSED (Connection refused) <0.01>")
    analysis = report(
        refused + '9 1700000100.300000 write(2, "cannot connect\\n", 15) = 15 <0.001>\n',
        exit_status=status,
        fault=KILLED,
    )
    assert (analysis.verdict.outcome, analysis.verdict.cause) == (outcome, "connect-refused")
    assert KILLED in analysis.evidence.health.damage


def test_nothing_is_called_healthy_whose_rest_is_missing() -> None:
    done = (
        ASK
        + '9 1700000100.400000 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 9, 0, NULL, NULL) = 38 <0.1>\n'
    )
    analysis = report(done, exit_status=0, fault=KILLED)
    assert analysis.verdict.outcome == "inconclusive"
    assert "Nothing had failed until then" in analysis.verdict.headline
