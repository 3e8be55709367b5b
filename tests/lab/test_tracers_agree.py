"""Jobs of many kinds, faulty and healthy: all tracers lead to the same verdict, show the same calls, and change nothing."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import network
from tests.lab.agreement import Job, bare, stops_the_job, traced, tracers, world
from tests.lab.jobs import c_programs, descriptors, languages, processes, programs, transfers, web
from tests.lab.network import Lab

FORBIDDEN = network.forbidden()
pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "-")]

JOBS = [each for table in (web, descriptors, transfers, processes, languages, c_programs) for each in table.JOBS]
USABLE = [name for name, why in tracers().items() if not why]


@pytest.fixture(scope="module", name="lab")
def a_world() -> Iterator[Lab]:
    """One for all jobs of a worker."""
    with world() as lab:
        yield lab


@pytest.mark.parametrize("name", tracers())
def test_the_tracer_can_be_used(name: str) -> None:
    """So that a report of the tests says which tracers were compared."""
    why = tracers()[name]
    if why:
        pytest.skip(f"{name}: {why}")
    assert name in USABLE


PIPES = ("jq", "pipeline", "subshells")


@pytest.mark.parametrize("wanted", [each for each in JOBS if each.id in PIPES])
def test_recordings_of_all_calls_agree_on_pipes(wanted: Job, lab: Lab, tmp_path: Path) -> None:
    """Without a filter all bytes are shown, unless the tracer says that it never shows them."""
    everything = replace(wanted, options=("--no-seccomp",))
    first, *others = (traced(lab, everything, name, tmp_path, tmp_path) for name in USABLE)
    assert any(track.kind == "pipe" for track in first.seen.tracks)
    for other in others:
        assert not (differences := first.seen.differences(other.seen)), "\n".join(differences)


@pytest.mark.parametrize("wanted", JOBS)
def test_tracers_agree(wanted: Job, lab: Lab, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The job is what it is without a tracer; verdict, sockets, processes and words are those of the first tracer."""
    folder = tmp_path / "job"
    folder.mkdir()
    base = tmp_path_factory.getbasetemp()
    programs.provide(wanted.command, folder, base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
    untraced = bare(lab, wanted, folder)
    groups: dict[bool, list[str]] = {}
    for name in USABLE:
        groups.setdefault(wanted.own_ptrace and stops_the_job(name), []).append(name)
    for disturbed, names in groups.items():
        first, *others = (traced(lab, wanted, name, folder, tmp_path) for name in names)
        assert disturbed or (first.verdict[1], first.verdict[2]) == (wanted.cause, wanted.peer)
        assert disturbed or first.outcome == untraced
        for other in others:
            assert (other.outcome, other.verdict) == (first.outcome, first.verdict)
            assert not (differences := first.seen.differences(other.seen, wanted.loose, wanted.slack)), "\n".join(
                differences
            )
