"""Tasks side by side. A task that kills its process costs that process, is tried once more, and is then named.

`concurrent.futures.ProcessPoolExecutor` gives everything up when one of its processes dies, and a `multiprocessing.Pool`
waits for ever for what that process was doing. What the kernel kills for memory is often innocent, hence the second try.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import field
from multiprocessing import connection as connections
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from systrace.dataclass import dataclass
from systrace.fleet.task import Began, Result, Task, unread

_TRIES = 2
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LOOK_S = 0.2  # how long a wish to stop may wait
_AHEAD = 256  # tasks that an executor has at a time: results must not pile up
_KILLED = "KilledWorker"  # distributed's: the workers that had this task died, one after the other
_FIRST_TO_GO = "1000"  # proc_pid_oom_score_adj(5): where memory ends, a reader goes, not the one who keeps the results

_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}

Stopped = Callable[[], bool]
Known = Mapping[str, Collection[str]]  # of a task: the recordings that need not be read, by the name of its file


@dataclass(slots=True)
class _Job:
    """A task, and what was learned of it."""

    task: Task
    passed_over: set[str] = field(default_factory=set)
    began: str | None = None
    deaths: Counter[str] = field(default_factory=Counter)  # by what was read then


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    job: _Job | None = None


def by_processes(tasks: Iterable[Task], processes: int, known: Known, stopped: Stopped) -> Iterator[Result]:
    """The results of tasks, as they come, by so many processes of this machine.

    Args:
        tasks: what to do.
        processes: how many at a time.
        known: see `Known`.
        stopped: asked several times a second; then what is under way is given up.
    """
    waiting = deque(_Job(task, set(known.get(task.found.name, ()))) for task in tasks)
    workers: list[_Worker] = []
    try:
        while (waiting or any(each.job for each in workers)) and not stopped():
            while waiting and sum(each.job is not None for each in workers) < processes:
                _give(waiting.popleft(), workers)
            busy = [each.connection for each in workers if each.job is not None]
            for ready in connections.wait(busy, _LOOK_S):
                worker = next(each for each in workers if each.connection is ready)
                yield from _heard(worker, workers, waiting)
    finally:
        for each in workers:
            each.process.kill()
        for each in workers:
            each.process.join()


def _give(job: _Job, workers: list[_Worker]) -> None:
    idle = next((each for each in workers if each.job is None), None)
    if idle is None:
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        idle = _Worker(process, ours)
        workers.append(idle)
    idle.job, job.began = job, None
    with contextlib.suppress(OSError):  # it has just died: heard when its connection is read
        idle.connection.send((job.task, frozenset(job.passed_over)))


def _heard(worker: _Worker, workers: list[_Worker], waiting: deque[_Job]) -> Iterator[Result]:
    job = worker.job
    assert job is not None
    try:
        said = worker.connection.recv()
    except (EOFError, OSError):
        workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        yield from _died(job, worker.process.exitcode, waiting)
        return
    if said is None:
        worker.job = None
    elif isinstance(said, Began):
        job.began = said.name
    else:
        job.passed_over.add(said.name)
        yield said


def _died(job: _Job, status: int | None, waiting: deque[_Job]) -> Iterator[Result]:
    """Once more; or named, and the rest of its archive goes on."""
    name = job.began or job.task.found.name
    job.deaths[name] += 1
    if job.deaths[name] >= _TRIES:
        job.passed_over.add(name)
        said = f"{_how(status)}, twice: set aside"
        file = job.task.found
        archive, redacted = file.name if name != file.name else "", job.task.redact_names
        said = "the process that read it " + said if redacted else f"{name}: the process that read it {said}"
        yield unread(name, file.content, said, archive, transient=_from_outside(status), redacted=redacted)
        if job.began is None:
            return
    waiting.append(job)  # behind the others: memory may be there again


def _from_outside(status: int | None) -> bool:
    """Whether a signal killed it that no fault of its own sends: memory that others took, an operator."""
    return status is not None and status < 0 and -status not in _FAULTS


def _how(status: int | None) -> str:
    if status is None or status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"was killed by {name}" + (" (out of memory?)" if -status == signal.SIGKILL else "")


def _end_with(parent: int) -> None:
    """Should that process be killed, nobody wants to know any more: a long log would only take its time from others."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _serve(connection: Connection, parent: int) -> None:
    """A worker's life: it ends when nobody is at the other end."""
    _end_with(parent)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (numbers)
        if int(name) not in (0, 1, 2, connection.fileno()):  # the parent's: locks, the ends of other workers' pipes
            with contextlib.suppress(OSError):
                os.close(int(name))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()  # what was there before is no garbage: not looked through again with each log
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    with contextlib.suppress(EOFError, OSError):
        while True:
            task, passed_over = connection.recv()
            for each in task(passed_over):
                connection.send(each)
            connection.send(None)
    os._exit(0)


def results_of(task: Task, passed_over: Collection[str] = frozenset()) -> list[Result]:
    """All results of one task: what an executor runs, wherever it is."""
    return [each for each in task(passed_over) if isinstance(each, Result)]


def by_executor(tasks: Iterable[Task], executor: Executor, known: Known, stopped: Stopped) -> Iterator[Result]:
    """The same by any executor; its processes need systrace of this version, and see the same files.

    A log that killed several workers of a cluster is named. Anything else that an executor raises is its own trouble, since a
    task raises nothing: what it has not done is not read, and tried by the next run.

    Raises:
        BrokenExecutor: it failed.
    """
    left = iter(tasks)
    running: dict[Future[list[Result]], Task] = {}
    try:
        while not stopped():
            while len(running) < _AHEAD and (task := next(left, None)) is not None:
                running[executor.submit(results_of, task, frozenset(known.get(task.found.name, ())))] = task
            if not running:
                return
            for each in wait(running, _LOOK_S, FIRST_COMPLETED).done:
                task = running.pop(each)
                try:
                    yield from each.result()
                except BrokenExecutor:
                    raise
                except Exception as error:  # noqa: BLE001 (each executor has its own)
                    if type(error).__name__ != _KILLED:
                        raise BrokenExecutor(f"{type(error).__name__}: {error}") from None
                    found, redacted = task.found, task.redact_names
                    said = "several workers died of it: set aside"
                    said = said if redacted else f"{found.name}: {said}"
                    yield unread(found.name, found.content, said, transient=True, redacted=redacted)
    finally:
        for each in running:
            each.cancel()
