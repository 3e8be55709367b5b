"""Which blocked calls a tracer's coming ends, and whether the program is known to live with that.

Source: signal(7), "Interruption of system calls and library functions by stop signals": a ptrace stop is one.
"""

from __future__ import annotations

import re
from signal import Signals

from systrace import calls
from systrace.dataclass import dataclass
from systrace.look.nouns import Look, ProcessState, Thread
from systrace.rules.look.wording import who

# After the handlers of these a program goes on with its work, so it repeats what they interrupted. Those that end it
# (INT, TERM, QUIT) and those that limit a wait (ALRM) are no proof: there EINTR is the reason to give up.
_GOES_ON = tuple(
    Signals[name] for name in "SIGCHLD SIGHUP SIGUSR1 SIGUSR2 SIGWINCH SIGCONT SIGTSTP SIGURG SIGIO".split()
)
_REPEATING = re.compile(r"(python3\.([5-9]|\d\d+)|pypy3\S*)[a-z]*")  # PEP 475
_NOT_OF_PYTHON = ("semop", "semtimedop", "io_")  # modules' own calls, not the interpreter's


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A call that fails with EINTR when a tracer comes."""

    pid: int
    tid: int
    call: str
    what: str  # "job[77]: semop will fail with EINTR (it is never restarted)"
    expected: str  # why the program is known to repeat the call; "": it is not


def interrupted_by_attach(snapshot: Look) -> list[Interrupted]:
    """The blocked calls that attaching a tracer ends with EINTR; empty when none."""
    found = []
    for process in snapshot.processes:
        for thread in process.threads:
            reason = _interrupted(thread)
            if reason and thread.call is not None:
                on = f" on fd {thread.call.fd}" if thread.call.fd is not None else ""
                what = f"{who(process, thread)}: {thread.call.name}{on} will fail with EINTR ({reason})"
                found.append(Interrupted(process.pid, thread.tid, thread.call.name, what, _expected(process, thread)))
    return found


def _interrupted(thread: Thread) -> str:
    call = thread.call
    if call is None:
        return ""
    if call.name in calls.NEVER_RESTARTED:
        return "it is never restarted"
    return f"{call.limit_source} is set" if call.limit_source in ("SO_RCVTIMEO", "SO_SNDTIMEO") else ""


def _expected(process: ProcessState, thread: Thread) -> str:
    """A program that has never met EINTR there may take it for a fault; who has, or repeats every call, does not."""
    assert thread.call is not None
    name = thread.call.name
    if _REPEATING.fullmatch(process.program) and not name.startswith(_NOT_OF_PYTHON):
        return "Python repeats it"
    if name.startswith("rt_sigtimedwait"):  # the signals that it waits for are let through, and run no handler
        return ""
    signals = [each.name for each in _GOES_ON if thread.handled >> (each - 1) & 1]
    return f"its handler of {signals[0]} interrupts it likewise" if signals else ""
