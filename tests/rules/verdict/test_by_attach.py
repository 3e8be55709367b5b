"""A process that ended of being attached to: by the lines of a look and of the short trace after it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systrace.rules.case.index import Case
from systrace.rules.verdict.by_attach import ended_by_attach
from tests.rules.look.test_never_weaker import DEAD, judged, look
from tests.rules.look.test_sockets import RECV

LIMITED = replace(RECV, limit_ns=600 * 10**9, limit_source="SO_RCVTIMEO")
FOUND = look(DEAD)
THREAD = replace(FOUND.root.threads[0], call=LIMITED)
BEFORE = replace(FOUND, processes=(replace(FOUND.root, threads=(THREAD,)),))
FAILS = ('write(2, "Interrupted system call\\n", 24) = 24 <0.1>', "exit_group(1) = ?", "+++ exited with 1 +++")


def test_it_is_said_with_what_was_seen_before() -> None:
    analysis = judged(BEFORE, *FAILS[1:])
    said = ended_by_attach(Case(analysis.evidence))
    assert said.startswith(
        "job[42] ended with exit status 1 as soon as the tracer's coming had ended its recvfrom with EINTR"
    )
    assert "retransmitting" in said
    assert analysis.verdict.outcome == "inconclusive"
    assert analysis.verdict.headline == said


@pytest.mark.parametrize(
    "calls",
    [
        ("+++ killed by SIGTERM +++",),  # somebody else did
        (
            f"recvfrom({RECV.fd}, 0x1, 10, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.5>",
            *FAILS[1:],
        ),
        (*("getpid() = 42 <0.1>" for _ in range(4)), *FAILS),  # it went on for seconds
    ],
)
def test_who_goes_on_or_is_killed_did_not_end_of_it(calls: tuple[str, ...]) -> None:
    assert not ended_by_attach(Case(judged(BEFORE, *calls).evidence))


def test_a_call_that_is_restarted_is_no_reason() -> None:
    assert not ended_by_attach(Case(judged(FOUND, *FAILS[1:]).evidence))
