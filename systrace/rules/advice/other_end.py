"""What to do about a wait for the other end of a UNIX socket: that end is a process of this host, and no path is between."""

from __future__ import annotations

from systrace.model import Draft, Socket, Step
from systrace.rules.advice.remedies import timeout_remedies
from systrace.rules.case.index import Case


def advise(case: Case, finding: Draft, socket: Socket) -> None:
    """Replace what a finding advises for networks, where its socket is a local one."""
    if socket.family != "unix":
        return
    finding.causes = [
        "the process at the other end is stuck, stopped, or waits itself",
        "both ends wait for each other: a deadlock",
    ]
    finding.next_steps = [
        Step("ss -xp", "who holds the other end: by the inode (/proc/PID/fd shows it)"),
        Step("systrace attach ITS_PID --passive", "what that process does"),
    ]
    finding.remedy = timeout_remedies(case, case.process(socket))
    finding.refuted_by = "the other end acting by itself shortly after"
