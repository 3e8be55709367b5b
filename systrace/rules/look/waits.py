"""What one wait means: a finding with its weight, and what may be known about how long it lasts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from systrace import calls
from systrace.dataclass import dataclass
from systrace.look.nouns import Call, Look, ProcessState, SocketState, Thread
from systrace.model import Draft
from systrace.rules.look.wording import name_of, socket_line, thread_line, who
from systrace.words import roughly

_BEGUN_S = 1.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """A finding about one thread; the heaviest of a tree explains it."""

    weight: int
    finding: Draft
    headline: str


@dataclass(frozen=True, slots=True)
class Wait:
    """One thread's wait, with all that a judge needs."""

    snapshot: Look
    process: ProcessState
    thread: Thread
    call: Call
    state: SocketState | None = None  # the socket waited for
    direction: str = "r"

    @property
    def seconds(self) -> float | None:
        """How long nothing has happened: the socket's silence where the program is awake in between."""
        blocked = self.thread.blocked_ns / 1e9 if self.thread.blocked_ns is not None else None
        if self.state is None or self.state.silent_ms is None or self.retransmitting:
            return blocked
        silent = self.state.silent_ms / 1000
        if blocked is None or self.ticking or len(self.call.fds) > 1:
            return silent if blocked is None else max(silent, blocked)
        return blocked

    @property
    def ticking(self) -> bool:
        """It waits in short slices of its own and asks again: the slice is no deadline."""
        limit = self.call.limit_ns
        silent = self.state.silent_ms if self.state is not None else None
        return limit is not None and silent is not None and silent * 10**6 > 2 * limit and limit <= 5 * 10**9

    @property
    def retransmitting(self) -> bool:
        """Data are unacknowledged and have been repeated: the path is broken now."""
        state = self.state
        return (
            state is not None
            and state.state not in ("syn-sent", "listen")
            and state.timer == "on"
            and state.tcp is not None
            and state.tcp.backoff >= 2
        )

    @property
    def deadline_s(self) -> float | None:
        """Seconds left until the program's own limit ends the wait, None without one."""
        if self.call.limit_ns is None or self.ticking:
            return None
        if self.call.left_ns is not None:
            return self.call.left_ns / 1e9
        return max(self.call.limit_ns - (self.thread.blocked_ns or 0), 0) / 1e9

    @property
    def ends(self) -> str:
        """When the program's own limit ends the wait: "in 12 s", "within 12 s" where it began unseen; "" without one."""
        if self.deadline_s is None:
            return ""
        return f"{'within' if self.call.resumed else 'in'} {roughly(self.deadline_s)}"

    @property
    def subject(self) -> str:
        """ "python3[4242] blocked 412 s in recvfrom"; "waiting" when it was awake in between."""
        blocked = self.thread.blocked_ns
        awake = blocked is not None and self.seconds is not None and self.seconds > blocked / 1e9 + 1
        lasted = "waiting" if awake else "blocked"
        lasted += f" {roughly(self.seconds)}" if self.seconds is not None else ""
        return f"{who(self.process, self.thread)} {lasted} in {self.call.name}"

    @property
    def has_only_begun(self) -> bool:
        """It tells nothing yet: whoever asks and is answered is met in such a wait at any time."""
        return self.seconds is not None and self.seconds < _BEGUN_S

    def severity(self, *, endless: bool) -> str:
        """Fatal when nothing will end it and it has lasted; else a warning: it may just be slow."""
        if endless and self.seconds is not None and self.seconds >= self.snapshot.long_s:
            return "fatal"
        return "warning"

    def finding(self, cause: str, variant: str, summary: str, **more: Any) -> Draft:
        """A finding about this thread with the fields that all share filled in."""
        return Draft(
            cause=cause,
            variant=variant,
            summary=summary,
            pid=self.process.pid,
            command=self.process.command,
            duration_ns=int(self.seconds * 1e9) if self.seconds is not None else None,
            lines=[thread_line(self.thread)],
            **more,
        )


def at(wait: Wait, state: SocketState) -> str:
    """ "python3[4242] blocked 412 s in recvfrom on fd 3 from 192.0.2.7:80"."""
    if wait.call.name in calls.LOOPS:
        return f"{wait.subject} for fd {state.fd} to {name_of(state)}"
    word = "from" if wait.direction == "r" else "to"
    return f"{wait.subject} on fd {state.fd} {word} {name_of(state)}"


def finish(wait: Wait, finding: Draft, weight: int, headline: str) -> Judgement:
    """The judgement of a wait on a socket."""
    state = wait.state
    assert state is not None
    peer = str(state.peer) if state.peer is not None else None
    lines = [*finding.lines, socket_line(state)]
    return Judgement(weight, replace(finding, peer=peer, fd=state.fd, lines=lines), headline)
