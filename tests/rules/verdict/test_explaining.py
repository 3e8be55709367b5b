"""Which finding comes first, and that a hundred thousand of them do not take for ever."""

from __future__ import annotations

import time

import pytest

from systrace.model import Input
from systrace.pipeline import analyze

FAILED = (
    "7 {t}.0 socket(AF_INET, SOCK_STREAM, 0) = 3 <0.000001>\n"
    "7 {t}.1 connect(3, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"10.0.{a}.{b}\")}}, 16)"
    " = -1 ECONNREFUSED (Connection refused) <0.000009>\n7 {t}.2 close(3) = 0 <0.000001>\n"
)  # fmt: skip
SHORTAGE = "7 1700000000.5 socket(AF_INET, SOCK_STREAM, 0) = -1 EMFILE (Too many open files) <0.000001>\n"
END = "7 1800000000.0 exit_group(1) = ?\n7 1800000000.1 +++ exited with 1 +++\n"


def log(failures: int, before: str = "") -> list[bytes]:
    """A job that is refused by as many hosts, and fails."""
    lines = [FAILED.format(t=1_700_000_001 + n, a=n >> 8, b=n & 255) for n in range(failures)]
    return (before + "".join(lines) + END).encode().splitlines(keepends=True)


def test_a_shortage_explains_what_the_process_met_later() -> None:
    """Of too many descriptors the whole process suffers; a later failure is its effect."""
    assert analyze([Input("log", log(3, before=SHORTAGE))]).findings[0].cause == "fd-exhaustion"
    assert analyze([Input("log", log(3))]).verdict.cause in ("connect-refused", "retry-storm")


def test_many_failures_take_time_in_proportion() -> None:
    """Each is compared with those that may explain it, not with all."""

    def seconds(failures: int) -> float:
        lines = log(failures)
        began = time.process_time()
        analyze([Input("log", lines)])
        return time.process_time() - began

    assert min(seconds(8000) / seconds(2000) for _ in range(3)) < 8  # 4 in proportion, 16 with every pair


def test_a_job_that_ended_well_met_nothing_fatal() -> None:
    """DEGRADED with a fatal finding contradicts itself; the finding is an error, and the exit status of parse stays 1."""
    asked = (
        '9 1.0 execve("/bin/job", ["job"], 0x7ff /* 6 vars */) = 0 <0.000100>\n'
        '9 1.1 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'
        '9 1.2 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'
        "9 1.3 poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.005>\n9 6.4 close(3) = 0 <0.0001>\n"
        "9 6.5 exit_group(%d) = ?\n9 6.6 +++ exited with %d +++\n"
    )
    found = {}
    for status in (0, 1):
        analysis = analyze([Input("log", (asked % (status, status)).encode().splitlines(keepends=True))])
        found[status] = analysis.verdict.outcome, analysis.findings[0].cause, analysis.findings[0].severity
    assert found == {0: ("degraded", "read-timeout", "error"), 1: ("failed", "read-timeout", "fatal")}


_NOWHERE = '9 1.00 openat(AT_FDCWD, "/dev/null", O_RDWR) = 4 <0.0001>\n9 1.01 dup2(4, 2) = 2 <0.0001>\n'
_COMPLAINT = '9 1.2 write(2, "no agent is running\\n", 20) = 20 <0.0001>\n'


@pytest.mark.parametrize(
    ("before", "complaint", "outcome"),
    [
        (_NOWHERE, _COMPLAINT, "healthy"),
        ("", _COMPLAINT, "degraded"),
        ("", _COMPLAINT.replace("(2,", "(2</dev/null>,"), "degraded"),  # so the whole job was started
        (_NOWHERE, "", "degraded"),
    ],
)
def test_who_ended_well_and_was_to_be_silent_failed_at_nothing(before: str, complaint: str, outcome: str) -> None:
    """`gpg-connect-agent --no-autostart KILLAGENT >/dev/null 2>&1`, as apt-key does it."""
    text = (
        f'{before}9 1.03 execve("/bin/ask", ["ask"], 0x7ff /* 6 vars */) = 0 <0.000100>\n'
        '9 1.1 connect(3, {sa_family=AF_UNIX, sun_path="/home/a/S.agent"}, 110) = -1 ENOENT (No such file or directory)'
        f" <0.0001>\n{complaint}9 1.3 exit_group(0) = ?\n9 1.4 +++ exited with 0 +++\n"
    )
    verdict = analyze([Input("log", text.encode().splitlines(keepends=True))]).verdict
    assert verdict.outcome == outcome
