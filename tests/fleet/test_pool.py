"""Tasks side by side: those that die take nothing with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from systrace.fleet import task as module
from systrace.fleet.finding import find
from systrace.fleet.pool import _from_outside, by_executor, by_processes
from systrace.fleet.task import READ, UNREAD, Result, Task
from systrace.model import Input
from systrace.pipeline import analyze
from tests.fleet.logs import log

POISON = "# poison\n"


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log with a certain line kills whoever reads it, as the kernel does where memory ends."""

    def reads(inputs: list[Input], **options: object) -> object:
        if any(POISON in Path(each.name).read_text() for each in inputs if Path(each.name).exists()):
            os.kill(os.getpid(), signal.SIGKILL)
        if "poison" in inputs[0].name.partition(":")[2]:  # in an archive
            os._exit(3)
        return analyze(inputs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "analyze", reads)


def tasks(top: Path, count: int = 12, poisons: tuple[int, ...] = ()) -> list[Task]:
    for number in range(count):
        log(top / f"{number:02}.strace", more=POISON if number in poisons else "")
    return [Task(each) for each in find([str(top)], True)[0]]


def never() -> bool:
    return False


def told(results: list[Result]) -> list[tuple[str, str]]:
    return sorted((Path(each.name).name, each.kind) for each in results)


@pytest.mark.parametrize("processes", [1, 3])
def test_a_log_that_kills_its_reader_is_set_aside(processes: int, tmp_path: Path, poisoned: None) -> None:
    results = list(by_processes(tasks(tmp_path, 12, (0, 7)), processes, {}, never))
    assert told(results) == [(f"{n:02}.strace", UNREAD if n in (0, 7) else READ) for n in range(12)]
    reasons = [each.row["reason"] for each in results if each.kind == UNREAD]
    assert all("was killed by SIGKILL (out of memory?), twice: set aside" in each for each in reasons)
    assert all(each.transient == (each.kind == UNREAD) for each in results)  # there may be memory the next time


@pytest.mark.parametrize(
    ("status", "outside"),
    [(-signal.SIGKILL, True), (-signal.SIGTERM, True), (-signal.SIGSEGV, False), (-signal.SIGABRT, False), (3, False)],
)
def test_who_killed_it(status: int, outside: bool) -> None:
    assert _from_outside(status) == outside


@pytest.mark.real
def test_a_killed_parent_leaves_no_worker(tmp_path: Path) -> None:
    """Not even one that is busy for long."""
    code = f"""
import os, time
from pathlib import Path
from systrace.fleet import task
from systrace.fleet.finding import find
from systrace.fleet.pool import by_processes
def busy(*_some, **_more):
    Path({str(tmp_path)!r}, "pid").write_text(str(os.getpid()))
    time.sleep(600)
task.analyze = busy
list(by_processes([task.Task(find([{str(log(tmp_path / "x"))!r}], False)[0][0])], 1, {{}}, lambda: False))
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (worker := (tmp_path / "pid").read_text()):
        assert time.monotonic() < until
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    while _lives(worker):
        assert time.monotonic() < until, "the worker outlives its parent"
        time.sleep(0.01)


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_rest_of_an_archive_arrives(tmp_path: Path, poisoned: None) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("a", "poison", "b", "poison-too", "c"):
            tar.add(log(tmp_path / "in" / name), name)
    archive = [Task(each) for each in find([str(tmp_path / "x.tar")], True)[0]]
    results = list(by_processes(archive, 2, {}, never))
    kinds = {each.name.partition(":")[2]: each.kind for each in results}
    assert kinds == {"a": READ, "b": READ, "c": READ, "poison": UNREAD, "poison-too": UNREAD, "": "other"}
    assert len(results) == 6


def test_what_is_known_is_passed_over(tmp_path: Path) -> None:
    work = tasks(tmp_path, 3)
    known = {work[1].found.name: {work[1].found.name}}
    assert len(list(by_processes(work, 2, known, never))) == 2


def test_it_stops_when_asked_and_leaves_no_process(tmp_path: Path) -> None:
    asked = iter(range(99))
    results = list(by_processes(tasks(tmp_path, 40), 2, {}, lambda: next(asked) > 6))
    assert len(results) < 40
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, lambda: ProcessPoolExecutor(2, get_context("fork"))])
def test_any_executor_gives_the_same(pool: Callable[[], ThreadPoolExecutor], tmp_path: Path) -> None:
    work = tasks(tmp_path)
    with pool() as executor:
        results = list(by_executor(work, executor, {}, never))
    assert sorted(results, key=lambda each: each.key) == sorted(
        by_processes(work, 2, {}, never), key=lambda each: each.key
    )


class KilledWorker(Exception):
    """As distributed has it."""


def test_a_log_that_kills_the_workers_of_a_cluster_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(task: Task, *_more: object) -> list[Result]:
        raise KilledWorker(task.found.name)

    monkeypatch.setattr("systrace.fleet.pool.results_of", fails)
    with ThreadPoolExecutor(2) as executor:
        results = list(by_executor(tasks(tmp_path, 3), executor, {}, never))
    assert told(results) == [(f"{n:02}.strace", UNREAD) for n in range(3)]


def test_trouble_of_an_executor_is_no_verdict_on_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(task: Task, *_more: object) -> list[Result]:
        raise ModuleNotFoundError("No module named 'systrace'")

    monkeypatch.setattr("systrace.fleet.pool.results_of", fails)
    with ThreadPoolExecutor(2) as executor, pytest.raises(BrokenExecutor, match="ModuleNotFoundError: No module named"):
        list(by_executor(tasks(tmp_path, 3), executor, {}, never))


def test_a_broken_executor_is_no_verdict_on_logs(tmp_path: Path, poisoned: None) -> None:
    with ProcessPoolExecutor(1, get_context("fork")) as executor, pytest.raises(BrokenExecutor):
        list(by_executor(tasks(tmp_path, 3, (0,)), executor, {}, never))
