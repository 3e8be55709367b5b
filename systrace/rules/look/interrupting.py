"""Which blocked calls a tracer's coming ends with EINTR."""

from __future__ import annotations

from systrace import calls
from systrace.look.nouns import Look, ProcessState, Thread
from systrace.rules.look.wording import who


def interrupted_by_attach(snapshot: Look) -> list[str]:
    """The blocked calls that attaching a tracer ends with EINTR, one sentence each; empty when none.

    Source: signal(7), "Interruption of system calls and library functions by stop signals": a ptrace stop is one.
    """
    found = []
    for process in snapshot.processes:
        for thread in process.threads:
            reason = _interrupted(process, thread)
            if reason and thread.call is not None:
                on = f" on fd {thread.call.fd}" if thread.call.fd is not None else ""
                found.append(f"{who(process, thread)}: {thread.call.name}{on} will fail with EINTR ({reason})")
    return found


def _interrupted(process: ProcessState, thread: Thread) -> str:
    call = thread.call
    if call is None:
        return ""
    if call.name in calls.EPOLLS:
        return "epoll_wait is never restarted"
    if call.limit_source in ("SO_RCVTIMEO", "SO_SNDTIMEO"):
        return f"{call.limit_source} is set"
    if call.name in calls.NEVER_RESTARTED:
        return "it is never restarted"
    descriptor = process.descriptor(call.fd) if call.fd is not None else None
    if descriptor is not None and descriptor.kind == "inotify" and call.name == "read":
        return "a read of inotify is never restarted"
    return ""
