from __future__ import annotations

import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from systrace.capture import following
from systrace.capture.analyst import AnalysisFailed, Analyst, Reader
from systrace.tracers.waiting import pidfd, wait_any


@pytest.fixture
def analyst(tmp_path: Path) -> Iterator[Callable[..., Analyst]]:
    made = []
    (tmp_path / "t").write_bytes(b"one\ntwo\n")

    def make(work: Callable[[Iterator[bytes]], bytes], kept: frozenset[int] = frozenset()) -> Analyst:
        made.append(Analyst(tmp_path / "t", work, set(kept)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _count(lines: Iterator[bytes]) -> bytes:
    return str(len(list(lines))).encode()


def test_it_reads_to_the_end(analyst: Callable[..., Analyst], tmp_path: Path) -> None:
    one = analyst(_count)
    with (tmp_path / "t").open("ab") as file:
        file.write(b"three\n")
    assert one.finish() == b"3"


def test_a_big_answer(analyst: Callable[..., Analyst]) -> None:
    assert len(analyst(lambda _lines: b"x" * 3_000_000).finish()) == 3_000_000
    long = analyst(lambda _lines: b"x" * 20_000_000).finish()
    assert (len(long), long[-1:], type(long)) == (20_000_000, b"x", mmap.mmap)


def test_an_answer_needs_no_room_on_a_disk(analyst: Callable[..., Analyst], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assert analyst(lambda _lines: b"x" * 20_000_000).finish() == b"x" * 20_000_000


def test_no_room_at_all_is_said(analyst: Callable[..., Analyst], monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_pipe: object) -> bytes:
        raise MemoryError("no memory")

    monkeypatch.setattr("systrace.capture.analyst.received", none)
    with pytest.raises(AnalysisFailed, match="no room for its answer: no memory"):
        analyst(lambda _lines: b"x").finish()


def test_its_failure_is_one_sentence(analyst: Callable[..., Analyst]) -> None:
    with pytest.raises(AnalysisFailed, match=r"^ZeroDivisionError: .*test_analyst.py:\d+\)$"):
        analyst(lambda _lines: b"x" * (1 // 0)).finish()


def test_its_death_is_said(analyst: Callable[..., Analyst]) -> None:
    one = analyst(_count)
    os.kill(one.pid, signal.SIGKILL)
    with pytest.raises(AnalysisFailed, match="killed by SIGKILL"):
        one.finish()


def test_no_descriptor_but_those_asked_for(analyst: Callable[..., Analyst]) -> None:
    reader, writer = os.pipe()

    def work(_lines: Iterator[bytes]) -> bytes:
        os.write(writer, b"here")
        return b" ".join(bytes(Path(f"/proc/self/fd/{number}").readlink()) for number in (0, 1, 2))

    assert analyst(work, frozenset({writer})).finish() == b" ".join([os.devnull.encode()] * 3)
    assert os.read(reader, 9) == b"here"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("how", "size", "early"),
    [
        (following.follow, 1, True),
        (following.at_end, 1 << 20, False),
        (following.in_passing, 1, False),
        (following.in_passing, 1 << 20, True),
    ],
)
def test_when_it_reads(how: Reader, size: int, early: bool, tmp_path: Path) -> None:
    """At once for those who watch; in passing, once there is much; with keys of TLS to come, at the end."""
    (tmp_path / "t").write_bytes(b"one\n" * size)
    reader, writer = os.pipe()

    def work(lines: Iterator[bytes]) -> bytes:
        os.write(writer, next(lines))
        return b"done %d" % (1 + sum(1 for _ in lines))

    one = Analyst(tmp_path / "t", work, {writer}, reader=how)
    assert select.select([reader], [], [], 20 if early else 0.4)[0] == ([reader] if early else [])
    assert one.finish() == b"done %d" % size
    one.close()
    assert os.read(reader, 9) == b"one"
    os.close(reader)
    os.close(writer)


def test_systrace_killed_it_ends(analyst: Callable[..., Analyst]) -> None:
    one = analyst(_count)
    os.close(os.dup(one._end))
    end, one._end = one._end, os.open(os.devnull, os.O_WRONLY)
    os.close(end)
    os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)


def test_it_ends_with_systrace(tmp_path: Path) -> None:
    """Nobody wants to know any more: whatever it is doing, it takes no processor's time from the job."""
    path = tmp_path / "t"
    path.write_bytes(b"")
    script = f"""
import os, signal, time
from pathlib import Path
from systrace.capture.analyst import Analyst
def work(lines):
    while True: pass
analyst = Analyst(Path({str(path)!r}), work, set())
print(analyst.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    descriptor = pidfd(int(done.stdout))
    assert wait_any([descriptor], 60)
    if descriptor is not None:
        os.close(descriptor)


def test_it_stands_back_when_the_job_runs_and_is_as_good_as_others_at_the_end(tmp_path: Path) -> None:
    """Before that its imports are a part of the start."""
    path = tmp_path / "t"
    path.touch()
    one = Analyst(path, lambda _lines: b"", set(), prepare=lambda: None)
    try:
        seen = [os.sched_getscheduler(one.pid)]
        one.stand_back()
        seen.append(os.sched_getscheduler(one.pid))
        one.hurry()
        seen.append(os.sched_getscheduler(one.pid))
        assert seen == [os.SCHED_OTHER, os.SCHED_IDLE, os.SCHED_OTHER]
    finally:
        one.close()
