"""A state that a cause's own file knows is the answer, whatever call the thread is in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from systrace.look.lines import lines_of
from systrace.look.nouns import Look, ProcessState, Thread
from systrace.model import Draft, Input
from systrace.pipeline import analyze
from systrace.rules.look.diagnose import diagnose
from systrace.rules.look.states import STATES, state
from systrace.rules.look.waits import Judgement


def look(wchan: str) -> Look:
    thread = Thread(9, 9, "job", "D", wchan, None, 10**9)
    process = ProcessState(9, 1, "job", ("job",), "D", 0, 1, "x86_64", (thread,))
    return Look(9, 10**18, 0, "6.1", (process,), (), (), {}, {}, ())


@pytest.fixture
def nfs() -> Iterator[None]:
    """A state for the length of a test."""

    @state("nfs")
    def judge(_look: Look, process: ProcessState, thread: Thread) -> Judgement | None:
        if not thread.wchan.startswith("rpc_wait"):
            return None
        finding = Draft("not-network", "nfs", "fatal", "confirmed", "It waits for a file server.", pid=process.pid)
        return Judgement(99, finding, "job waits for a file server")

    yield
    STATES.remove("nfs")


@pytest.mark.usefixtures("nfs")
def test_a_state_of_a_file_of_its_own_wins_the_verdict() -> None:
    lines = [line + b"\n" for line in lines_of(look("rpc_wait_bit_killable"))]
    analysis = analyze([Input("job.strace", lines)])
    assert (analysis.verdict.outcome, analysis.verdict.headline) == ("hung", "job waits for a file server")
    assert analysis.findings[0].variant == "nfs"
    assert diagnose(look("folio_wait_bit")).findings[0].variant == "disk"
