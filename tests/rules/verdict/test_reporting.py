"""A job that has failed tells somebody, and that fails, too: no reason, unless nothing says that it was to tell of it."""

from __future__ import annotations

import pytest

from systrace.model import Analysis
from tests.rules.http_job import ask, connect, got, judged, left

SHELL = '9 1.0 execve("/bin/sh", ["sh", "nightly.sh"], 0x7ffc) = 0 <0.001>'
REFUSED = connect(11, 2.2, port=9093).replace("= 0", "= -1 ECONNREFUSED (Connection refused)")


def made(pid: int, at: float, *argv: str) -> str:
    words = ", ".join(f'"{word}"' for word in argv)
    return (
        f"9 {at} clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = {pid} <0.001>\n"
        f'{pid} {at + 0.01:.2f} execve("/usr/bin/{argv[0]}", [{words}], 0x7ffc) = 0 <0.001>'
    )


def nightly(*argv: str, step: int = 1, ends: int = 6, with_status: int = 7) -> Analysis:
    """A step that does nothing on the network; a second one, whose connect is refused; the job's end."""
    return judged(
        SHELL, made(10, 1.1, "jq", ".rows"), left(10, 1.2, step), made(11, 2.0, *argv), REFUSED, left(11, 2.3, with_status),
        left(9, 2.5, ends),
    )  # fmt: skip


@pytest.mark.parametrize(
    "argv",
    [
        ("curl", "-d", "nightly export failed: status 1", "http://hooks/ops"),
        ("curl", "-s", "--url", "smtp://mail:25", "-T", "-"),
        ("msmtp", "ops@example.org"),
    ],
)
def test_a_message_about_the_failure_is_no_reason(argv: tuple[str, ...]) -> None:
    analysis = nightly(*argv)
    assert (analysis.verdict.outcome, analysis.verdict.peer) == ("inconclusive", None)
    note = next(finding for finding in analysis.findings if finding.cause == "recovered-error")
    assert "the job had failed before, and this was to tell of it" in note.summary


@pytest.mark.parametrize(
    ("argv", "changes"),
    [
        (("curl", "--fail", "--show-error", "http://192.0.2.7/errors.csv"), {}),  # neither options nor addresses tell
        (("msmtp", "ops@example.org"), {"step": 0}),  # nothing had failed: the mail was its work
        (("curl", "-d", "nightly export failed", "http://hooks/ops"), {"ends": 7}),  # the job ended with its status
    ],
)
def test_who_does_not_tell_of_a_failure_is_the_reason(argv: tuple[str, ...], changes: dict[str, int]) -> None:
    verdict = nightly(*argv, **changes).verdict
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("failed", "connect-refused", "192.0.2.7:9093")


@pytest.mark.parametrize(("ends", "outcome"), [(1, "inconclusive"), (7, "failed")])
def test_a_step_that_decided_the_status_later_is_the_reason(ends: int, outcome: str) -> None:
    """The first mail server is down, the second takes it; then `grep -q TOTAL` ends the job with its status."""
    second = [
        made(12, 2.4, "curl", "http://b/"), connect(12, 2.5, port=9094), ask(12, 2.6), got(12, 2.7, "200 OK", "ok"),
        left(12, 2.8),
    ]  # fmt: skip
    analysis = judged(
        SHELL, made(11, 2.0, "curl", "http://a/"), REFUSED, left(11, 2.3, 7), *second,
        made(13, 2.9, "grep", "-q", "TOTAL"), left(13, 3.0, 1), left(9, 3.1, ends),
    )  # fmt: skip
    assert analysis.verdict.outcome == outcome
