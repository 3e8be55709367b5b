"""Job and tracer on one processor, if asked for; else the kernel's choice is left alone."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.errors import CaptureError
from systrace.tracers.one_cpu import choose, pinning

JOB = """
import os
with open("/proc/self/status") as file:
    tracer = next(int(line.split()[1]) for line in file if line.startswith("TracerPid:"))
child = os.popen("cut -d' ' -f39 /proc/self/stat; nproc").read().split()
print([sorted(os.sched_getaffinity(0)), sorted(os.sched_getaffinity(tracer)), int(child[1])])
"""


def affinities(tracer: str, *options: str, prefix: tuple[str, ...] = ()) -> list[object]:
    """Of the job, of its tracer, and what nproc(1) says in a child."""
    words = [*prefix, sys.executable, "-m", "systrace", "run", "--tracer", tracer, *options]
    done = subprocess.run([*words, "--", sys.executable, "-c", JOB], capture_output=True, check=True)
    found = ast.literal_eval(done.stdout.decode())
    assert isinstance(found, list)
    return found


@pytest.mark.real
@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_job_and_tracer_share_one(tracer: str) -> None:
    job, its_tracer, count = affinities(tracer, "--one-cpu")
    assert isinstance(job, list)
    assert job == its_tracer
    assert (len(job), count) == (1, 1)
    assert set(job) <= os.sched_getaffinity(0)


@pytest.mark.real
@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_by_default_both_are_left_alone(tracer: str) -> None:
    all_of_them = sorted(os.sched_getaffinity(0))
    assert affinities(tracer) == [all_of_them, all_of_them, len(all_of_them)]


@pytest.mark.real
def test_it_is_one_of_those_that_are_allowed() -> None:
    last = max(os.sched_getaffinity(0))
    assert affinities("strace", "--one-cpu", prefix=("taskset", "-c", str(last))) == [[last], [last], 1]


@pytest.mark.real
def test_the_recording_says_so(tmp_path: Path) -> None:
    for options, said in ((("--one-cpu",), True), ((), False)):
        affinities("strace", "--save", str(tmp_path / "t"), *options)
        assert (b'"one_cpu": true' in (tmp_path / "t").read_bytes().splitlines()[0]) == said


def test_where_it_runs_now_if_it_may_stay_there() -> None:
    assert choose({0, 1, 2}, 2) == 2
    assert choose({4, 6}, 0) == 4
    assert choose({3}, -1) == 3


def test_nothing_is_done_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _cpus: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert pinning(False) is None
    with pytest.raises(CaptureError, match="--one-cpu is not possible here: Operation not permitted"):
        pinning(True)
