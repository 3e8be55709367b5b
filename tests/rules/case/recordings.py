"""Short recordings with readings between the calls, as `systrace run` writes them, and what is judged of them."""

from __future__ import annotations

from systrace import Analysis, Input, analyze
from systrace.look.lines import line_of
from systrace.look.nouns import Reading
from systrace.rules.examples import REQUEST
from systrace.rules.pages import full_trace

POLL = "9 {at} poll([{{fd=3, events=POLLIN}}], 1, {limit}000) = 0 (Timeout) <{limit}.03>\n"
CALL = '9 {at} sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'


def judged(*parts: str | Reading) -> Analysis:
    """Calls in the short form of `rules.examples`, and readings."""
    lines: list[bytes] = []
    for part in parts:
        if isinstance(part, Reading):
            lines.append(line_of(part))
        else:
            lines += full_trace(part).encode().splitlines()
    return analyze([Input("log", [line + b"\n" for line in lines])])


def gives_up(*readings: Reading, limit: int = 30, before: str = REQUEST) -> Analysis:
    """A request, a wait with a limit of its own from 1.2 s on, and the end."""
    return judged(
        before,
        POLL.format(at=1.2, limit=limit),
        *readings,
        f"9 {limit + 2}.0 close(3) = 0\n9 {limit + 2}.1 +++ exited with 1 +++",
    )


def killed(*readings: Reading, at: int = 60, before: str = REQUEST) -> Analysis:
    """A request, a wait without end from 1.2 s on, and SIGTERM."""
    return judged(
        before, "9 1.2 recvfrom(3,  <unfinished ...>\n", *readings,
        f"9 {at}.0 <... recvfrom resumed>0x7ffd, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is set) "
        f"<{at - 2}.8>\n9 {at}.1 --- SIGTERM {{si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0}} ---\n"
        f"9 {at}.2 +++ killed by SIGTERM +++",
    )  # fmt: skip
