"""fork, exec, exit, signals, and what strace or systrace say beside the calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from systrace import model
from systrace.model import Event, Process, Sent, Span
from systrace.observations import Observation
from systrace.streams.books import Books
from systrace.streams.descriptors import Table
from systrace.streams.forgetting import ended
from systrace.streams.growing import grown
from systrace.streams.readings import adopt_reading
from systrace.streams.short import is_short
from systrace.streams.snapshots import adopt_snapshot, nanoseconds
from systrace.streams.sockets import release
from systrace.streams.tasks import Task
from systrace.streams.waits import SHORT_NS

_IDLE_SIGNALS = frozenset(("SIGWINCH", "SIGCHLD", "SIGURG", "SIGIO"))
_ALARM_NS = 900_000_000  # alarm(2) counts whole seconds; what ends a wait sooner may be any timer
_TICKS = frozenset(("SIGPROF", "SIGVTALRM"))  # setitimer(2): of processor time


def cloning(books: Books, task: Task, event: model.Cloning) -> None:
    books.lookup.sees_clone = True
    books.tasks.forks(task, event.thread, event.shares_files)


def cloned(books: Books, task: Task, event: model.Cloned) -> None:
    books.lookup.sees_clone = True
    if event.record.outcome == model.ENDED:
        return  # its child is not known yet
    books.tasks.forked(task)
    if event.child:
        child = books.tasks.child(task, event.child, event.thread, event.shares_files, event.record.time_ns)
        if event.inner and not event.thread:
            books.tasks.number(task.process.pid, event.inner, child.process)


def executed(books: Books, task: Task, event: model.Executed) -> None:
    record = event.record
    if record.errno is not None or record.outcome != model.RETURNED:
        return
    process = task.process
    process.path = event.path
    process.argv = event.argv or (event.path,)
    process.opened_files = frozenset()
    if task.table.users > 1:  # exec gives the process a table of its own
        task.table.users -= 1
        task.table = task.table.copy()
    for _, description in task.table.take_cloexec():
        release(books, description, record.time_ns, "exec", event)


def exited(books: Books, task: Task | None, event: model.Exited) -> None:
    if task is None:
        return
    process = task.process
    if event.whole or (event.final and (len(process.threads) <= 1 or task.tid == process.pid)):
        if event.signal is not None:
            process.signal = event.signal
        elif process.exit_code is None or event.whole:
            process.exit_code = event.code
        if process.exit_event is None or event.signal is not None:
            process.exit_event = event
        process.end_ns = event.record.time_ns
    if event.final:
        gone(books, task, event)


def gone(books: Books, task: Task, event: model.Exited | None = None) -> None:
    """A task is no more; with the last one of a process go its descriptors."""
    process = task.process
    killed = event is not None and event.whole
    tids = {task.tid, *process.threads} if killed and task.tid == process.pid else {task.tid}
    for tid in tids:
        gone = books.tasks.by_tid.get(tid)
        if gone is not None and gone.alive:
            gone.alive = False
            ended(books, gone)
            process.threads.discard(tid)
            gone.table.users -= 1
            if gone.table.users <= 0:
                how = f"signal {event.signal}" if event is not None and event.signal else "exit"
                close_all(books, gone.table, process, event.record.time_ns if event is not None else None, how, event)


def close_all(books: Books, table: Table, process: Process, time_ns: int | None, how: str, event: Event | None) -> None:
    if how == "exit" and process.signal:
        how = f"signal {process.signal}"
    for fd in list(table.fds):
        description = table.fds.pop(fd)
        release(books, description, time_ns, how, event)


def reaped(books: Books, task: Task, event: model.Reaped) -> None:
    number = books.tasks.outer(task.process.pid, event.child)
    child = books.tasks.processes.get(number)
    if event.record.syscall == "signalled":  # SIGCHLD
        for span in task.last_wait:
            span.broken_by = "SIGCHLD" if span.events[-1].record.interrupted else ""
    task.process.child_statuses[number] = (event.code, event.signal)
    if child is not None and child.parent is None and child is not task.process:
        child.parent = task.process.pid
    if child is None or child.exit_code is not None or child.signal is not None:
        return
    if event.code is not None or event.signal is not None:
        child.exit_code, child.signal = event.code, event.signal
        child.end_ns = event.record.time_ns
        if child.exit_event is None:
            child.exit_event = event


def signalled(books: Books, task: Task, event: model.Signalled) -> None:
    of_timer = event.signal == "SIGALRM" or (event.code == "SI_TIMER" and event.signal not in _TICKS)
    timer = books.timers.get(task.process.pid) if of_timer else None
    ticks = _ticks(task, event) if timer is None else timer[2].periodic  # a profiler's tick ends no wait on purpose
    for span in task.last_wait:
        if not _broken_off(span, event):
            continue
        if not of_timer or ticks:
            span.broken_by = event.signal if event.code != "SI_TKILL" else ""  # threads of a runtime, among themselves
            continue
        span.timed_out, span.limit_source = True, event.signal
        if timer is not None:
            span.limit_ns = timer[1]
            span.events = [timer[2], *span.events]
    if of_timer and not ticks:
        _ends_other_wait(task, event, timer[1] if timer is not None else None)
    if timer is None and of_timer and not ticks:
        task.process.signals = grown(task.process.signals, event)
    elif not of_timer and event.signal not in _IDLE_SIGNALS and len(task.process.signals) < 32:
        task.process.signals = grown(task.process.signals, event)
        _sent_by(books, task, event)


def _ends_other_wait(task: Task, signal: Event, limit_ns: int | None) -> None:
    """The program's own timer broke off a wait that is no socket's, for a lock or the other end of a FIFO."""
    span, came = task.process.spans[-1] if task.process.spans else None, signal.record.time_ns
    if span is None or span.tid != task.tid or span.ended_by != "signal" or span.end_ns is None or came is None:
        return
    if came - span.end_ns < SHORT_NS:
        span.timed_out, span.limit_ns = True, limit_ns


def _broken_off(span: Span, signal: Event) -> bool:
    """The signal ended the call: without a result, or, where it had sent a part, with that (send(2), signal(7))."""
    call = span.events[-1]
    ended, came = call.record.end_ns, signal.record.time_ns
    if type(call) is not Sent or ended is None or came is None:
        return call.record.interrupted
    return call.record.interrupted or (is_short(call) and came - ended < SHORT_NS)


def _ticks(task: Task, signal: Event) -> bool:
    """Whether a timer that the log does not show ended the thread's wait sooner than alarm(2) can."""
    waited = [span.events[-1].record.duration_ns for span in task.last_wait if _broken_off(span, signal)]
    return any(each is not None and each < _ALARM_NS for each in waited)


def _sent_by(books: Books, task: Task, event: model.Signalled) -> None:
    """Who sent it, by its siginfo: the kill(2) may not be in the log, or names a group (kill(0, ...))."""
    sender = books.tasks.by_tid.get(event.sender) if event.sender is not None and event.code == "SI_USER" else None
    if sender is not None and sender.process is not task.process:
        task.process.killed_by = sender.process.pid


def killed(books: Books, task: Task, event: model.Killed) -> None:
    target = books.tasks.processes.get(books.tasks.outer(task.process.pid, event.target))
    if target is not None and event.signal != "SIG_0" and target is not task.process:
        target.killed_by = task.process.pid


def attached(books: Books, task: Task, event: model.Attached) -> None:
    if event.record.syscall == "superseded":
        books.tasks.supersede(event.record.tid, event.tid)
    elif not event.gone and event.record.lineno == books.met + 1:  # at the head of the log: strace -p
        books.met += 1
    if event.gone and task.process.exit_code is not None and task.process.end_ns is None:
        gone(books, task)  # so old straces tell of an end, too


def printed(books: Books, task: Task | None, event: model.Printed) -> None:
    if len(books.printed) < 200:
        books.printed.append(event)


def fact(books: Books, task: Task | None, event: model.Fact) -> None:
    if isinstance(event.values.get("snapshot"), dict):
        try:
            adopt_snapshot(event, books.tasks, books.lookup)
        except (TypeError, ValueError, AttributeError, LookupError, OverflowError):
            pass  # not as we write it: damaged, or made by somebody else
        books.snapshots.append(event.values["snapshot"])
        books.looked_ns = nanoseconds(event.values["snapshot"].get("time"))
        return
    if "reading" in event.values:
        adopt_reading(books, event)
        return
    if "observation" in event.values:
        observation = Observation.of(event.values["observation"])
        books.observations += [observation] if observation is not None else []
        return
    thread = event.values.get("thread")
    if isinstance(thread, dict):
        _stands_in(books, thread)
        return
    lost = event.values.get("lost")
    if isinstance(lost, dict):
        books.facts["lost_calls"] = int(books.facts.get("lost_calls") or 0) + _count(lost.get("calls"))
        return
    books.facts.update(event.values)


def _stands_in(books: Books, thread: dict[str, object]) -> None:
    """A thread that the kernel has not got, for what a ring does (see `tracers.ebpf_worker.rings`)."""
    tid, of = thread.get("pid"), thread.get("of")
    owner = books.tasks.by_tid.get(of) if isinstance(of, int) else None
    if owner is not None and isinstance(tid, int) and tid not in books.tasks.by_tid:
        books.tasks.child(owner, tid, True, True, None)


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 32 else 0


HANDLERS: dict[type[Event], Callable[[Books, Any, Any], None]] = {
    model.Cloned: cloned,
    model.Cloning: cloning,
    model.Executed: executed,
    model.Exited: exited,
    model.Reaped: reaped,
    model.Signalled: signalled,
    model.Killed: killed,
    model.Attached: attached,
    model.Printed: printed,
    model.Fact: fact,
}
