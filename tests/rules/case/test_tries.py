"""Waiting without blocking: tries to receive and pauses, to the end of a log."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

ASKED = (
    "9 1700000001.000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n"
    '9 1700000001.010 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'
    '9 1700000001.100 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'
)
ANSWER = '9 1700000001.200 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 99, 0, NULL, NULL) = 38 <0.0001>\n'
TRY = "recvfrom(3, 0x5, 100, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.0001>"


def rounds(pause: str) -> str:
    """Forty, ten a second."""
    lines = []
    for n in range(40):
        at = 1700000002 + n / 10
        lines += [f"9 {at:.3f} {TRY}", f"9 {at + 0.001:.3f} {pause.replace('@', str(n))}"]
    return "\n".join(lines) + "\n"


def judged(text: str) -> Analysis:
    """As a log."""
    return analyze([Input("t", text.encode().splitlines(keepends=True))])


@pytest.mark.parametrize(
    "pause",
    [
        "clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, {tv_sec=4706, tv_nsec=6381@}, NULL) = 0 <0.09>",
        "nanosleep({tv_sec=0, tv_nsec=90000000}, NULL) = 0 <0.09>",
        "poll(NULL, 0, 90) = 0 (Timeout) <0.09>",
    ],
)
def test_a_loop_of_tries_and_pauses_waits_for_the_answer(pause: str) -> None:
    verdict = judged(ASKED + rounds(pause)).verdict
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("hung", "hung-read", "192.0.2.7:80")


def test_where_nothing_is_owed_it_is_no_hang() -> None:
    """A loop that looks in for news between other things."""
    pause = "nanosleep({tv_sec=0, tv_nsec=90000000}, NULL) = 0 <0.09>"
    assert judged(ASKED + ANSWER + rounds(pause)).verdict.cause != "hung-read"


def test_where_the_answer_comes_in_the_end_it_is_no_hang() -> None:
    pause = "nanosleep({tv_sec=0, tv_nsec=90000000}, NULL) = 0 <0.09>"
    late = (
        ANSWER.replace("01.2", "09.0") + "9 1700000009.100 exit_group(0) = ?\n9 1700000009.200 +++ exited with 0 +++\n"
    )
    assert judged(ASKED + rounds(pause) + late).verdict.outcome != "hung"
