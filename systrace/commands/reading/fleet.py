"""`parse --recursive`, `--into`: the course of a fleet on a terminal: progress, Ctrl-C, the page."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from types import FrameType
from typing import Any

from systrace.commands.reading.output import opened
from systrace.errors import MissingExtraError, UsageError
from systrace.fleet.course import Plan, read, status
from systrace.fleet.summary import summary
from systrace.reporters.layout import Layout
from systrace.words import encoded

_EVERY = 0.2  # seconds between two states of the progress
_ANSWER_S = 10  # seconds for a scheduler to answer
_FOR_GOOD = 128  # + the signal: what a shell makes of it


def read_fleet(plan: Plan, scheduler: str | None = None) -> int:
    """Read, print the page, and return the exit status.

    Raises:
        SystraceError: see `course.read`.
    """
    if "-" in plan.paths:
        raise UsageError("--recursive and --into read files and folders, not standard input")
    with _stop_in_order() as stopped:
        with _cluster(scheduler) as executor, _progress() as told:
            done = read(plan, executor, stopped=lambda: bool(stopped), told=told)
        with opened(None) as out:
            out.write(encoded("\n".join(summary(done, Layout.of(out))) + "\n"))
    return _FOR_GOOD + stopped[0] if stopped else status(done)


@contextlib.contextmanager
def _stop_in_order() -> Iterator[list[int]]:
    """The first SIGINT, SIGTERM or SIGHUP is noted, and what is read is kept; the second ends the program."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, signal.SIG_DFL)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, note) for each in signals if signal.getsignal(each) is not signal.SIG_IGN}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _cluster(scheduler: str | None) -> Iterator[Executor | None]:
    """The workers of a Dask scheduler; they need this version of systrace, and the files under the same names.

    Raises:
        MissingExtraError: distributed is not installed.
        UsageError: no scheduler answers there.
    """
    if scheduler is None:
        yield None
        return
    try:
        import distributed
    except ImportError:
        raise MissingExtraError("distributed", "fleet") from None
    address = re.fullmatch(r"(?:tcp|tls)://(\[[^\]]+\]|[^:/]+):(\d{1,5})", scheduler)
    if address is None:
        raise UsageError(f"--scheduler {scheduler}: write tcp://HOST:8786")
    try:  # a Client that finds nobody says so for half a minute
        socket.create_connection((address[1].strip("[]"), int(address[2])), _ANSWER_S).close()
        connect: Any = distributed.Client  # without types
        client = connect(scheduler, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, OverflowError) as error:
        raise UsageError(f"--scheduler {scheduler}: {getattr(error, 'strerror', None) or error}") from None
    with client:
        yield client.get_executor(pure=False)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A line on standard error that is written over, on a terminal only."""
    import time

    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    last = 0.0

    def tell(done: int, of: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= _EVERY:
            last = now
            print(f"\rreading: {done:,} of {of:,}\x1b[K", end="", file=sys.stderr, flush=True)  # noqa: T201

    try:
        yield tell
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # noqa: T201
