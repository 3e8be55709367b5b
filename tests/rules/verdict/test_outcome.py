"""Whether the job failed: by its own status, whatever its threads and children ended with."""

from __future__ import annotations

import pytest

from tests.rules.verdict.short_logs import REFUSED, STREAM, TO, judged

CHLD = (
    "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=%d, si_uid=0, si_status=0, si_utime=0, si_stime=0} ---"
)
REFUSES = [f"9 1.0 socket({STREAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (80, 7)}) = {REFUSED}"]


@pytest.mark.parametrize("ends", [("10", "9", "8"), ("9", "10", "8")])
def test_a_thread_that_leaves_with_0_lets_nothing_pass(ends: tuple[str, ...]) -> None:
    """-e trace=network hides clone(2): a thread looks like a process, and ends with 0 where it leaves before exit_group(2)."""
    code = {"8": 1, "9": 0, "10": 1}
    later = [f"{tid} 1.{n + 2} +++ exited with {code[tid]} +++" for n, tid in enumerate(ends)]
    verdict = judged(f"10 0.9 socket({STREAM}) = 4 <0.0001>", *REFUSES, *later).verdict
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("failed", "connect-refused", "192.0.2.7:80")


def test_a_worker_that_went_on_did_not_survive_for_the_job() -> None:
    """A pool's thread takes the next item after one that failed, and the job fails of that one all the same."""
    ask = '"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.0001>'
    verdict = judged(
        *REFUSES, f"9 1.2 socket({STREAM}) = 4 <0.0001>", f"9 1.3 connect(4, {TO % (8080, 8)}) = 0 <0.001>",
        f"9 1.4 sendto(4, {ask}",
        '9 1.5 recvfrom(4, "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi", 4096, 0, NULL, NULL) = 40 <0.001>',
        "9 1.6 +++ exited with 0 +++", "8 1.7 +++ exited with 1 +++",
    ).verdict  # fmt: skip
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("failed", "connect-refused", "192.0.2.7:80")


def test_a_child_that_ended_with_0_did_without() -> None:
    """SIGCHLD names children only, never a thread: what this one met it got over, whatever the job failed of later."""
    verdict = judged(
        *REFUSES, "9 1.2 +++ exited with 0 +++", f"8 1.3 {CHLD % 9}", "8 1.4 +++ exited with 1 +++"
    ).verdict
    assert verdict.outcome == "degraded"


def test_a_job_that_ended_with_0_did_not_fail_of_a_thread() -> None:
    """The same threads, and exit_group(0)."""
    verdict = judged(*REFUSES, "9 1.2 +++ exited with 0 +++", "8 1.4 +++ exited with 0 +++").verdict
    assert verdict.outcome == "degraded"


def test_forks_in_the_log_tell_children() -> None:
    """Whoever sees clone(2) knows which task is a process of its own: its status is its own."""
    fork = "8 0.9 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 9 <0.0001>"
    verdict = judged(fork, *REFUSES, "9 1.2 +++ exited with 0 +++", "8 1.4 +++ exited with 1 +++").verdict
    assert verdict.outcome == "degraded"
