"""What worked this time and will bite: missing keepalive, keepalive that starts too late, slow answers (verdicts 4.4)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.idle_limits import shortest_s
from systrace.model import Draft, Event, Socket, Step
from systrace.rules.advice.remedies import keepalive_remedies
from systrace.rules.case.index import SECOND, Case, where
from systrace.rules.examples import REQUEST, exits, replies
from systrace.rules.limits import matching_limits
from systrace.rules.rule import rule
from systrace.words import seconds

_NEAR = 0.7  # of a limit: the next run may exceed it
SLOW_ANSWER_NS = 5 * SECOND
_SOCKET = "9 0.8 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n"
_KEEP = "9 0.9 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0 <0.01>\n"
_SOON = REQUEST + replies() + exits("400.9")
_LATE = REQUEST + replies("301.2") + exits("400.9")


def _survived(case: Case) -> Iterator[tuple[Socket, int, list[Event]]]:
    """Remote TCP sockets with the longest silence that they survived, and the calls around it."""
    for socket in case.clients:
        if socket.type != "stream" or not socket.is_network or socket.peer is None or socket.peer.is_local:
            continue
        silence = max((ns for ns, _, _ in socket.idle), default=0)
        if silence >= shortest_s() * SECOND * _NEAR:
            _, before, after = next(item for item in socket.idle if item[0] == silence)
            yield socket, silence, [before, after]


def _warn(case: Case, cause: str, socket: Socket, silence: int, events: list[Event], how: str) -> Draft:
    finding = case.finding(cause, socket, events, severity="warning", confidence="likely", duration_ns=silence)
    fits = matching_limits(case, int(silence / _NEAR), socket)
    finding.summary = (
        f"{case.user(socket)}: the connection to {case.label(socket)} was silent for {seconds(silence)} and "
        f"worked this time; keepalive is {how}. {fits}"
    )
    finding.causes = ["the answer took that long, or the connection was kept without use"]
    host, _ = where(socket.peer)
    finding.next_steps = [
        Step(f"ss -tno dst {host}", "is there a keepalive timer?"),
        Step(why="which boxes are in the path, and their limits"),
    ]
    finding.remedy = keepalive_remedies(case, case.process(socket), socket)
    finding.refuted_by = "longer silences survived on the same path"
    return finding


@rule("no-keepalive", fires=_SOCKET + _LATE, silent=_SOCKET + _SOON)
def no_keepalive(case: Case) -> Iterator[Draft]:
    """A connection was silent for minutes without keepalive: it worked this time.

    What it is: a silence near or above the idle limits of NAT gateways and load balancers, on a socket that never set
        SO_KEEPALIVE.
    Why it matters: on a path with such a box the same job hangs for ever once the silence exceeds the limit.
    What proves it: the silence, and a socket whose options are all in the log.
    Not this: sockets on this host, connections opened before the trace, keepalive on.
    What to do: keepalive with 60 to 240 s on this socket.
    Source: socket(7) SO_KEEPALIVE; idle_limits.toml
    """
    for socket, silence, events in _survived(case):
        if not socket.keepalive.on and not (socket.inherited and socket.keepalive.on is None):
            yield _warn(case, "no-keepalive", socket, silence, events, "off")


@rule(
    "keepalive-too-late",
    fires=_SOCKET + _KEEP + _LATE,
    silent=_SOCKET + _KEEP + _SOON,
)
def keepalive_too_late(case: Case) -> Iterator[Draft]:
    """Keepalive is on, but its first probe comes after the limits that it should beat.

    What it is: SO_KEEPALIVE without TCP_KEEPIDLE (7200 s unless the host is tuned), or with an idle time above 240 s, and
        a silence near those limits.
    Why it matters: it looks protected and is not.
    What proves it: the setsockopt calls and the silence.
    Not this: TCP_KEEPIDLE below the limits.
    What to do: TCP_KEEPIDLE of 60, or the sysctl.
    Source: tcp(7) TCP_KEEPIDLE, tcp_keepalive_time
    """
    for socket, silence, events in _survived(case):
        idle = case.probed_after_s(socket)
        if idle is not None and idle * SECOND > shortest_s() * SECOND:
            yield _warn(case, "keepalive-too-late", socket, silence, events, f"on, but only after {idle} s")


@rule("slow-response", fires=_SOCKET + _LATE, silent=_SOCKET + _SOON)
def slow_response(case: Case) -> Iterator[Draft]:
    """An answer came, but only after seconds.

    What it is: five seconds or more from the last byte of a request to the first byte of its answer.
    Why it matters: the job's time goes there, and the next step is a timeout.
    What proves it: the times of the two calls.
    Not this: server push and long polling, where waiting is the purpose.
    What to do: see what the server did in that time.
    Source: the log itself
    """
    for socket in case.clients:
        turn = socket.longest_turn
        if turn is None or turn.first_answer_ns is None or turn.request_end_ns is None or case.is_dns(socket):
            continue
        took = turn.first_answer_ns - turn.request_end_ns
        if took < SLOW_ANSWER_NS:
            continue
        finding = case.finding("slow-response", socket, turn.events, severity="warning", confidence="confirmed")
        finding.duration_ns = took
        what = f"the first byte of an answer from {case.label(socket)}"
        finding.summary = f"{case.user(socket)} waited {seconds(took)} for {what}; it came."
        finding.causes = ["the server is slow for this request", "waiting is the purpose (long polling, server push)"]
        finding.next_steps = [Step(why="the server's access log: how long did this request take?")]
        finding.remedy = ["speed up the request, or make it asynchronous"]
        finding.refuted_by = "the first byte having come earlier in a packet capture"
        yield finding
