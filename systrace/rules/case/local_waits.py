"""Waits that are no socket's: what they are in words, and those that a signal put an end to."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import Accepted, Event, Process, Span, Transfer, Waited
from systrace.rules.case.index import SECOND, Case, once
from systrace.words import seconds

UNDONE = "another thread or process has not done its part"
# Kind of wait: what it is in words, and why it lasts.
WAITS = {
    "lock": ("it waited for a file lock", "another process holds the lock"),
    "sleep": ("it slept", "the program pauses on purpose"),
    "child": ("it waited for a child process", "the child does not end: it was not traced (-f), or waits itself"),
    "stdin": (
        "it waited for input from the keyboard or its standard input",
        "the program asks a question (password, yes/no) and nobody is there to answer",
    ),
    "pipe": ("it waited for a pipe", "the process at the other end of the pipe neither writes nor closes"),
    "stdio": ("it waited until somebody reads its output", "the reader of its pipe or terminal is stuck, or stopped"),
    "futex": ("it waited for a lock or another thread", UNDONE),
    "message": ("it waited for a semaphore or message queue", UNDONE),
    "file": ("it waited for a file or device", UNDONE),
    "accept": ("it waited for a client to connect", UNDONE),
}
_HELD_UP = ("lock", "file", "stdin", "message")  # nobody waits for these on purpose, as for children or the time of day
_WITH_DETAIL = ("lock", "file", "accept")


_PIPED = ("it waited for its standard input, a pipe", WAITS["pipe"][1])  # no keyboard, as the log says


def wait_in_words(span: Span) -> tuple[str, str]:
    """What it waited for, and why that lasts."""
    if span.kind == "stdin" and b"(0<pipe:" in span.events[-1].record.raw:
        return _PIPED
    return WAITS.get(span.kind, ("what it waited for is not in the log", UNDONE))


def waited_for(span: Span) -> str:
    """`it waited for a file lock (/run/lock/job)`."""
    words, _ = wait_in_words(span)
    return f"{words} ({span.detail})" if span.detail and span.kind in _WITH_DETAIL else words


def descriptors_of(event: Event) -> str:
    """The numbers that a call waits on: `3`, `4, 5`; "" where it names none."""
    if isinstance(event, Transfer | Accepted):
        return str(event.fd)
    if isinstance(event, Waited):
        return ", ".join(str(fd) for fd, _want in event.fds[:4]) or (str(event.epoll_fd) if event.epoll_fd >= 0 else "")
    return ""


@once
def broken_off(case: Case) -> list[tuple[Process, Span]]:
    """Processes that failed, or were stopped, right after a signal had ended such a wait."""
    return list(_broken_off(case))


def _broken_off(case: Case) -> Iterator[tuple[Process, Span]]:
    for process in case.evidence.processes.values():
        span, over = process.spans[-1] if process.spans else None, process.end_ns
        if span is None or span.kind not in _HELD_UP or span.ended_by != "signal" or over is None:
            continue
        lasted, ended = span.duration_ns, span.end_ns
        if lasted is None or ended is None or lasted < SECOND or over - ended >= SECOND:
            continue
        if case.fate(process) in ("failed", "killed"):
            yield process, span


def told(case: Case, process: Process, span: Span) -> str:
    """`it waited for a file lock (/run/lock/job) for 3.00 s, until SIGTERM ended that`."""
    by = "its own timer" if span.timed_out else case.death_signal(process) or "a signal"
    return f"{waited_for(span)} for {seconds(span.duration_ns)}, until {by} ended that"
