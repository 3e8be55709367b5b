"""From paths to a page: find, pass over what is known, read the rest, keep it, and say what it amounts to."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from systrace import __version__
from systrace.dataclass import dataclass
from systrace.errors import SystraceError, UsageError
from systrace.fleet.bucket import Bucket
from systrace.fleet.finding import Found, Shard, find
from systrace.fleet.objects import is_url
from systrace.fleet.parts import NOBODY, Entry
from systrace.fleet.pool import by_executor, by_processes
from systrace.fleet.stale import stale
from systrace.fleet.store import Store
from systrace.fleet.task import OTHER, UNREAD, Result, Task
from systrace.idle_limits import Limit

_REDACTED = "-redacted"  # at the end of an edition
_PUSH_S = 30.0  # of what is kept in a bucket, so much work may be lost
Told = Callable[[int, int], None]  # how many are read, of how many


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read, how, and where the tables go."""

    paths: Sequence[str]
    into: str | None = None  # None: only the page is wanted
    recursive: bool = False
    jobs: int = 1
    shard: Shard = Shard()
    limits: Sequence[Limit] = ()
    redact_names: bool = False
    path_pattern: str | None = None

    @property
    def edition(self) -> str:
        """By what the results are what they are: another version, or other options, read all again."""
        options = (tuple(self.limits), self.redact_names, self.path_pattern)
        if options == ((), False, None):
            return __version__
        digest = hashlib.blake2b(repr(options).encode(), digest_size=4).hexdigest()
        return f"{__version__}+{digest}{_REDACTED if self.redact_names else ''}"


@dataclass(slots=True)
class Done:
    """What came of it."""

    entries: list[Entry]  # of what was found, in order of names: recordings and what should have been some
    others: Counter[str]  # files that are something else, by kind
    complaints: list[str]  # about paths
    new: int = 0  # read now
    seconds: float = 0.0
    left: int = 0  # not read: it was stopped
    again: int = 0  # could not be read now: the next run tries them again
    into: str | None = None
    fault: str | None = None  # why it was stopped, where that was not asked for


def read(
    plan: Plan,
    executor: Executor | None = None,
    stopped: Callable[[], bool] = lambda: False,
    told: Told = lambda _done, _all: None,
) -> Done:
    """Read what is new below some paths, and keep it.

    Args:
        plan: see `Plan`.
        executor: runs the tasks; None: `plan.jobs` processes of this machine.
        stopped: asked several times a second; what is under way then is given up, what is read is kept.
        told: how far it is.

    Raises:
        SystraceError: nothing can be written there; no path could be read.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        found, complaints = find(plan.paths, plan.recursive, plan.into)
        if not found and complaints:
            raise SystraceError(complaints[0])
        store, push = _store(plan, stack)
        mine = [each for each in found if plan.shard.has(each)]
        new = [each for each in mine if (store.known.get(each.key) or NOBODY).edition != store.edition]
        before = stale(new, found, store, plan.paths)
        done = Done([], Counter(), complaints, into=plan.into)
        tasks = [Task(each, plan.limits, plan.redact_names, plan.path_pattern) for each in new]
        partly = _partly(new, store)
        results: Iterator[Result] = (
            by_processes(tasks, plan.jobs, partly, stopped)
            if executor is None
            else by_executor(tasks, executor, partly, stopped)
        )
        failed = _keep(results, store, push, before, done, told)
        _sort(mine, failed, store, done)
    done.seconds = time.monotonic() - began
    return done


def _store(plan: Plan, stack: ExitStack) -> tuple[Store, Callable[[], None]]:
    """The results, and what brings them where they are kept, if that is elsewhere."""
    slot = "all" if plan.shard.of == 1 else f"{plan.shard.number}-of-{plan.shard.of}"
    here = plan.into is not None and not is_url(plan.into)
    folder = Path(plan.into if here and plan.into else stack.enter_context(TemporaryDirectory(prefix="systrace-")))
    fetch, push = None, _nothing
    if plan.into is not None and not here:
        bucket = Bucket(plan.into, folder)
        bucket.fetch()
        fetch, push = bucket.part, bucket.push
    alone = here or plan.into is None or plan.shard.of == 1
    store = Store(folder, plan.edition, slot, fetch, alone)
    stack.callback(store.close)
    if plan.redact_names and any(not each.edition.endswith(_REDACTED) for each in store.known.values()):
        raise UsageError(
            f"{plan.into}: there are results with names in the clear: name a new folder for --redact-names"
        )
    if not alone and any(each.edition != plan.edition for each in store.known.values()):
        raise UsageError(f"{plan.into} is of another version, or other options: a run without --shard replaces it")
    return store, push


def _nothing() -> None:
    """What is kept here need not be brought anywhere."""


def _keep(
    results: Iterator[Result],
    store: Store,
    push: Callable[[], None],
    before: Mapping[str, list[Entry]],
    done: Done,
    told: Told,
) -> list[Entry]:
    """Keep what is so for ever, each in the place of what was known of its file before; the rest is returned."""
    finished, pushed = 0, time.monotonic()
    failed: list[Entry] = []
    again: set[str] = set()  # archives of which a member failed
    try:
        for result in results:
            done.new += result.kind != OTHER
            whole = not result.archive and result.name in before
            if result.transient or (whole and result.name in again):
                again.add(result.archive)
                failed.append(store.entry(result))
                done.again += result.kind == UNREAD
            else:
                store.add(result, before[result.name] if whole else ())
            finished += whole
            told(finished, len(before))
            if push is not _nothing and time.monotonic() - pushed > _PUSH_S:
                store.commit()
                push()
                pushed = time.monotonic()
    except BrokenExecutor as error:
        done.fault = f"the executor broke down: {error}"
    store.commit()
    push()
    return failed


def _partly(new: Sequence[Found], store: Store) -> dict[str, set[str]]:
    """Of archives that were being read when it was stopped: what is known of each."""
    contents = {each.name: each.content for each in new}
    known: dict[str, set[str]] = {}
    for entry in store.known.values():
        if entry.edition == store.edition and contents.get(entry.archive) == entry.content:
            known.setdefault(entry.archive, set()).add(entry.name)
    return known


def _sort(found: Sequence[Found], failed: Sequence[Entry], store: Store, done: Done) -> None:
    """What is known now of each that was found, and of what is inside the archives among them."""
    inside: dict[tuple[str, str], list[Entry]] = {}
    whole: dict[tuple[str, str], Entry] = {}
    for entry in (*store.known.values(), *failed):
        if entry.edition == store.edition and entry.archive:
            inside.setdefault((entry.archive, entry.content), []).append(entry)
        elif entry.edition == store.edition:
            whole[entry.name, entry.content] = entry
    for each in found:
        known = whole.get((each.name, each.content))
        members = [one for one in inside.get((each.name, each.content), ()) if one.kind != OTHER]
        done.entries += members
        if known is None:
            done.left += 1
        elif known.kind != OTHER:
            done.entries.append(known)
        elif not members:
            done.others[str(known.row.get("reason"))] += 1
    done.entries.sort(key=lambda entry: entry.name)


def status(done: Done) -> int:
    """Exit status: 0 nothing of severity error or fatal, 1 something, 2 something could not be read."""
    if done.complaints or done.left or any(each.kind == UNREAD for each in done.entries):
        return 2
    return int(any(each.row.get("severity") in ("error", "fatal") for each in done.entries))
