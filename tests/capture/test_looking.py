"""The passive look: what it makes of a process, and whom it could look at."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from systrace import rules
from systrace.capture.looking import Looked, both_numbers, looks_at, what_passive_gives
from systrace.errors import CaptureError
from systrace.kernel.snapshot import take
from systrace.model import Keep
from systrace.reporters.layout import Layout
from systrace.rules.look.diagnose import diagnose


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        yield process.pid
        process.kill()


def test_each_process_is_looked_at_once(sleeper: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Who has gone meanwhile is named; of one alone that is the answer."""
    with subprocess.Popen(["/bin/true"]) as gone:
        pass
    looks = looks_at([sleeper, gone.pid, os.getpid(), sleeper], Keep())
    assert [each.pid for each in looks] == [sleeper, os.getpid()]
    assert str(gone.pid) in capfd.readouterr().err
    with pytest.raises(CaptureError, match=str(gone.pid)):
        looks_at([gone.pid], Keep())


def test_who_is_said_by_number_and_name(sleeper: int) -> None:
    looked = Looked.at(sleeper)
    assert (looked.who, looked.variant, looked.grave, looked.refused) == (f"{sleeper} (sleep)", "sleep", False, False)
    assert looked.headline == looked.analysis.verdict.headline


def test_both_numbers_of_a_process_in_a_container(sleeper: int) -> None:
    look = take(sleeper)
    inside = replace(look, processes=(replace(look.root, ns_pids=(sleeper, 7)), *look.processes[1:]))
    assert str(sleeper) in both_numbers(inside)
    assert "7" in both_numbers(inside)


@pytest.mark.parametrize(
    ("severity", "cause", "variant", "outcome"),
    [
        ("fatal", "hung-read", "no-deadline", "hung"),
        ("error", "connect-timeout", "pending", "hung"),
        ("warning", "read-timeout", "pending", "degraded"),
        ("info", "hung-read", "accept", "healthy"),
        ("info", "not-network", "sleep", "healthy"),
        ("info", "inconclusive", "snapshot", "inconclusive"),
        *(
            ("info", "not-network", kind, "inconclusive")
            for kind in ("zombie", "kernel", "hidden", "futex", "event", "other")
        ),
    ],
)
def test_the_outcome_of_a_look(
    severity: str, cause: str, variant: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = diagnose(take(os.getpid()))
    first = replace(found.findings[0], severity=severity, cause=cause, variant=variant)
    monkeypatch.setattr(rules.look, "diagnose", lambda _look: replace(found, findings=(first,)))
    report = json.loads(Looked.at(os.getpid()).report("json", Layout()))
    assert report["verdict"]["outcome"] == outcome
    assert report["source"]["files"] == [f"process {os.getpid()}"]


def test_what_passive_gives_follows_from_what_was_seen() -> None:
    seen = Looked.at(os.getpid())
    assert what_passive_gives(seen) == "; --passive reports what can be seen without tracing"
    first = seen.analysis.findings[0]
    for variant, said in (("zombie", ""), ("kernel", ""), ("hidden", "; --passive tells the little that may be seen")):
        other = replace(seen, analysis=replace(seen.analysis, findings=[replace(first, variant=variant)]))
        assert what_passive_gives(other).startswith(said)
        assert bool(what_passive_gives(other)) == bool(said)
    look = seen.look
    gone = replace(look, processes=(replace(look.root, start_ticks=1), *look.processes[1:]))
    assert what_passive_gives(replace(seen, look=gone)) == ""
