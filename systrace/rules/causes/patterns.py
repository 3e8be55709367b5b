"""What is seen only over several findings: retries and recoveries."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from systrace.model import Draft, Step
from systrace.rules.case.index import SECOND, Case
from systrace.rules.examples import FAIL, FINE, connects
from systrace.rules.rule import Harm, rule
from systrace.words import seconds

_REFUSED = "-1 ECONNREFUSED (Connection refused) <0.0001>"
_ONCE_REFUSED = connects(_REFUSED)
_STORM = 5  # attempts; below, a handful of tries is what careful programs do
_STORM_SPACING_NS = SECOND


@rule("retry-storm", judges=True, harm=Harm.DELAY, fires="".join(
          f'9 1.{n}0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n'
          + connects(_REFUSED, time=f"1.{n}1") + f"9 1.{n}2 close(3) = 0 <0.0001>\n" for n in range(9)) + FAIL,
      silent=_ONCE_REFUSED + connects("0 <0.0001>", time="3.0") + FINE)  # fmt: skip
def retry_storm(case: Case) -> Iterator[Draft]:
    """Many failing attempts at the same service, one right after the other.

    What it is: five or more attempts at one address with the same failing result, less than a second apart, without
        growing pauses.
    Why it matters: it loads the ailing server, fills logs and port tables, and gives up before the server can recover.
    What proves it: the attempts with their times.
    Not this: attempts with growing pauses; a handful of tries; many connections that all work.
    What to do: exponential back-off with jitter and an upper bound.
    Source: RFC 1122 4.2.3.5 in spirit; AWS builders' library, timeouts and retries with jitter
    """
    by_peer: dict[tuple[str, str, int | None], list[Draft]] = {}
    for finding in case.findings:
        if finding.peer is not None and finding.severity in ("fatal", "error") and finding.socket is not None:
            by_peer.setdefault((finding.cause, finding.peer, finding.pid), []).append(finding)
    for (cause, peer, _), group in by_peer.items():
        times = [f.time_ns for f in group if f.time_ns is not None]
        if len(group) < _STORM or len(times) != len(group):
            continue
        times.sort()
        gaps = [later - earlier for earlier, later in pairwise(times)]
        if sorted(gaps)[len(gaps) // 2] >= _STORM_SPACING_NS:
            continue
        last = group[-1]
        finding = case.finding("retry-storm", case.evidence.sockets.get(last.socket or ""), [
            *group[0].evidence, *last.evidence], case.owner_of(last.pid))  # fmt: skip
        span = times[-1] - times[0]
        finding.variant, finding.peer, finding.severity = cause, peer, "warning"
        finding.confidence, finding.count, finding.duration_ns = "confirmed", sum(f.count for f in group), span
        finding.summary = (
            f"{case.name_of(case.owner_of(last.pid))} tried {peer} {finding.count} times in {seconds(span)}, each time with "
            f"the same result ({cause}) and without back-off."
        )
        finding.causes = ["a retry loop without pause"]
        finding.next_steps = [Step(why="find the loop in the program or its client library's retry settings")]
        finding.remedy = ["exponential back-off with jitter and an upper bound"]
        finding.refuted_by = "growing pauses between the attempts"
        yield finding


@rule("fallback-ok", judges=True, harm=Harm.COPED,
      fires=_ONCE_REFUSED + connects("0 <0.0001>", time="2.0", host="192.0.2.8") + FINE,
      silent=_ONCE_REFUSED + FAIL)  # fmt: skip
def fallback_ok(case: Case) -> Iterator[Draft]:
    """One address failed, another of the same service worked: no harm done.

    What it is: a connect failed or was given up, and the same program reached the same port at another address.
    Why it matters: as a rule it does not; it costs time when the first address fails slowly on every start.
    What proves it: the failed and the successful connect.
    Not this: the same address failing first and working later (recovered-error).
    What to do: nothing; if each start loses a second or more, repair or drop the dead address.
    Source: RFC 8305 (happy eyeballs), RFC 6724
    """
    yield from _benign(case, "fallback-ok", ("fallback",), "another address of the same service worked")


@rule("recovered-error", judges=True, harm=Harm.COPED,
      fires=_ONCE_REFUSED + connects("0 <0.0001>", time="3.0") + FINE,
      silent=_ONCE_REFUSED + FAIL)  # fmt: skip
def recovered_error(case: Case) -> Iterator[Draft]:
    """An error on a socket, and a retry that worked, or a job that did without.

    What it is: a failure on one connection, followed by success with the same service, or by a good end of the program
        with other work done after it; or a child that failed of it, while whoever began it ended with status 0.
    Why it matters: the job is well; the error shows what may fail next time.
    What proves it: the failure and the later success.
    Not this: a failure after which nothing worked any more.
    What to do: nothing now; where a script lets the failure of a child pass unnoticed, `set -e` or a check of its status.
    Source: the log itself
    """
    yield from _benign(case, "recovered-error", ("retry", "survived"), "a later try, or the rest of the job, worked")
    yield from _benign(case, "recovered-error", ("let pass",), "the job let it pass and ended with status 0")
    yield from _benign(case, "recovered-error", ("report",), "the job had failed before, and this was to tell of it")


def _benign(case: Case, cause: str, kinds: tuple[str, ...], why: str) -> Iterator[Draft]:
    group = [f for f in case.findings if f.recovered in kinds]
    if not group:
        return
    first = group[0]
    socket = case.evidence.sockets.get(first.socket or "")
    finding = case.finding(cause, socket, first.evidence, case.owner_of(first.pid))
    finding.variant, finding.severity, finding.confidence = first.cause, "info", "confirmed"
    finding.peer, finding.count = first.peer, sum(f.count for f in group)
    lost = _lost_ns(group)
    finding.duration_ns = lost or None
    cost = f" It cost {seconds(lost)}." if lost >= SECOND else ""
    finding.summary = f"{first.cause} at {first.peer}, but {why}.{cost}"
    finding.refuted_by = "the job having failed because of it all the same"
    yield finding


def _lost_ns(group: list[Draft]) -> int:
    """The time that passed while at least one of these failures lasted: those of parallel threads are not added up.

    Those that a finding stands for (`count`) without times of their own are added to it.
    """
    lost, until = 0, 0
    timed = [f for f in group if f.duration_ns is not None and f.time_ns is not None]
    for finding in sorted(timed, key=lambda f: f.time_ns or 0):
        start, took = finding.time_ns or 0, finding.duration_ns or 0
        end = start + took * finding.count
        lost += max(0, end - max(start, until))
        until = max(until, end)
    return lost
