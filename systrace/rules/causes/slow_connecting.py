"""Connections that stood, but only after packets were sent again (verdicts 4.2)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls import LOOPS
from systrace.model import Attempt, Draft, Step
from systrace.rules.case.index import SECOND, Case, where
from systrace.rules.causes.connecting import attempted
from systrace.rules.examples import connects, exits
from systrace.rules.rule import Harm, rule
from systrace.words import seconds

SLOW_CONNECT_NS = 950_000_000  # the first SYN is repeated after 1 s; no terrestrial round trip takes that long


@rule(
    "slow-connect",
    on_path=True,
    harm=Harm.DELAY,
    fires=connects("0 <3.07>", 443) + exits("4.2"),
    silent=connects("0 <0.3>", 443) + exits("4.2"),
)
def slow_connect(case: Case) -> Iterator[Draft]:
    """A connect succeeded, but only after packets were sent again.

    What it is: connection set-up took about 1, 2, 3, 4, 5, 7, 11 s or more: the times at which the kernel repeats SYN.
    Why it matters: the target's accept queue overflows, or packets get lost: soon it will be a timeout.
    What proves it: the duration of a successful connect.
    Not this: a slow TLS handshake or a slow answer; those come after the connect.
    What to do: larger listen backlog and somaxconn at the target, more workers; look for loss on the path.
    Source: tcp(7), ip-sysctl.rst tcp_syn_retries, tcp_syn_linear_timeouts
    """
    for socket in case.clients:
        if not socket.is_network or socket.type != "stream":
            continue
        for attempt in socket.attempts:
            if attempt.outcome != "connected" or _surely_took_ns(case, attempt) < SLOW_CONNECT_NS:
                continue
            finding = attempted(case, "slow-connect", socket, attempt)
            finding.severity, finding.confidence = "warning", "likely"
            finding.summary = (
                f"{case.user(socket)}: connect to {case.label(socket)} succeeded, but took "
                f"{seconds(attempt.duration_ns)}: the first connection requests went unanswered and were repeated."
            )
            host, port = where(attempt.peer)
            finding.causes = ["the target's accept queue overflows", "packet loss on the path"]
            finding.next_steps = [Step(f"nstat -az TcpExtListenOverflows; ss -ltn 'sport = :{port}'", f"on {host}")]
            finding.remedy = ["raise listen() backlog and net.core.somaxconn at the target; add workers"]
            finding.refuted_by = "a single SYN answered late in a packet capture"
            yield finding


def _surely_took_ns(case: Case, attempt: Attempt) -> int:
    """The time that the set-up took at least; 0 where the log does not tell."""
    took = attempt.duration_ns
    if took is None or (not attempt.blocking and attempt.ready_ns is None):
        return 0  # nobody looked earlier: the time until then says nothing
    if case.evidence.source.style.duration:
        return took
    if not case.shows(LOOPS):
        return 0  # no -T: it lasted until the thread's next line, and waits in between are hidden
    whole_seconds = not (attempt.start_ns or 0) % SECOND and not (attempt.end_ns or 0) % SECOND
    return took - SECOND if whole_seconds else took  # -t: it may have been a second less
