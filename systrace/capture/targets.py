"""Whom `attach` is about: numbers, names, or a name that is still to come."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence

from systrace.capture.reporting import complain
from systrace.errors import CaptureError, UsageError
from systrace.kernel import naming, procfs
from systrace.kernel.naming import Named
from systrace.words import safe

MOST = 64  # processes: whoever names more has most likely mistyped a pattern
_SHOWN = 5


def check(pids: Sequence[int], names: Sequence[str], wait_for: str | None) -> None:
    """Exactly one way to say whom, or numbers and names together.

    Raises:
        UsageError: none, or --wait-for beside others, or a name that is none.
    """
    if wait_for is not None and (pids or names):
        raise UsageError("--wait-for works only without PID and --name")
    if wait_for is None and not pids and not names:
        raise UsageError("which process? Give a PID, --name NAME or --wait-for NAME")
    for name in [*names, *([wait_for] if wait_for is not None else [])]:
        if not name.strip() or "\0" in name:
            raise UsageError("an empty name: give the name of a program or script, such as nightly_export.sh")


def chosen(pids: Sequence[int], names: Sequence[str]) -> list[int]:
    """The processes, each once, in the order in which they were named.

    Raises:
        CaptureError: nobody goes by one of the names, or too many do.
    """
    found = list(pids)
    for name in names:
        found += _called(name)
    return list(dict.fromkeys(found))


def _called(name: str) -> list[int]:
    found = naming.find(name)
    if not found.processes:
        others = f" that you may look at ({_count(found.left_out)} of others: run as root)" if found.left_out else ""
        raise CaptureError(f"no process is called {safe(name)}{others}")
    if len(found.processes) > MOST:
        raise CaptureError(
            f"{len(found.processes)} processes are called {safe(name)}, and at most {MOST} are traced: name some by PID"
        )
    if found.left_out:
        complain(f"{_count(found.left_out)} called {safe(name)} left out: you may not look at them (run as root)")
    return [named.pid for named in found.processes]


def _count(number: int) -> str:
    return f"{number} process{'es' if number > 1 else ''}"


def awaited(name: str) -> int:
    """Wait for a process of that name that was not there yet; says so."""
    there = naming.find(name).processes
    if there:
        more = " …" if len(there) > _SHOWN else ""
        listed = ", ".join(_shown(named) for named in there[:_SHOWN])
        complain(f"already running, and not waited for: {listed}{more} (to look at them: systrace attach PID)")
    complain(f"waiting for a process called {safe(name)}; Ctrl-C ends it")
    with _ending_in_order():
        named = naming.wait_for(name, there)
    complain(f"{_shown(named)} has started")
    return named.pid


@contextlib.contextmanager
def _ending_in_order() -> Iterator[None]:
    """kill(1) and a hang-up end the waiting as Ctrl-C does: what was begun (a report's file) is removed."""
    changed = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in changed:
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _shown(named: Named) -> str:
    return f"process {shown(named.pid)}"


def shown(pid: int) -> str:
    """Its number, and what the kernel calls it."""
    stat = procfs.stat_of(pid)
    return f"{pid} ({safe(stat.name)})" if stat is not None else str(pid)
