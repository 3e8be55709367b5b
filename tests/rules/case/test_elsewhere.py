"""What probes found confirms, bounds or refutes what the calls suggest; it makes no finding by itself."""

from __future__ import annotations

from systrace.model import Analysis, Input
from systrace.observations import Observation
from systrace.pipeline import analyze
from tests.serverlogs.test_matching import HUNG, Step, log

PEER = "203.0.113.10:80"
SYN = (
    1,
    'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("203.0.113.10")}, 16) = -1 ETIMEDOUT (x) <130.0>',
)
DROPPED = [(0.9, "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.00001>"), SYN, (132, "exit_group(1) = ?"),
           (132.1, "+++ exited with 1 +++")]  # fmt: skip


def judged(steps: list[Step], *facts: Observation) -> Analysis:
    return analyze([Input("t", log(*steps).splitlines(keepends=True))], context=list(facts))


def limit(above: float, below: float | None, peer: str = PEER) -> Observation:
    return Observation("path-limit", peer, {"limit_above_s": above, "limit_below_s": below}, "systrace check --idle")


def test_a_measured_limit_takes_the_place_of_the_catalogue() -> None:
    summary = judged(HUNG, limit(333, 353)).findings[0].summary
    assert "a silence of 333 s was survived and one of 353 s was not (systrace check --idle)" in summary
    assert "AWS" not in summary
    assert "AWS" in judged(HUNG, limit(333, 353, "192.0.2.99:80")).findings[0].summary  # of another path


def test_a_path_that_keeps_silent_connections_is_not_accused() -> None:
    survived = judged(HUNG, limit(1300, None))
    assert survived.verdict.cause == "hung-read"
    assert judged(HUNG, limit(60, None)).verdict.cause == "idle-timeout"  # it says nothing of longer silences


def test_a_probe_of_the_peer_is_said_and_proves() -> None:
    blocked = Observation("path-blocked", PEER, {"text": "SYNs die after hop 3 (10.0.0.1)"}, "systrace check")
    first = judged(DROPPED, blocked).findings[0]
    assert (first.cause, first.confidence) == ("connect-timeout", "confirmed")
    assert first.summary.endswith("Probed by systrace check: SYNs die after hop 3 (10.0.0.1).")
    other = Observation("path-blocked", "192.0.2.99:80", {"text": "SYNs die"}, "systrace check")
    assert "Probed" not in judged(DROPPED, other).findings[0].summary


def test_facts_alone_find_nothing() -> None:
    quiet = [(1, "getpid() = 9 <0.1>"), (2, "exit_group(0) = ?"), (2.1, "+++ exited with 0 +++")]
    analysis = judged(quiet, limit(1, 2), Observation("path-blocked", PEER, {"text": "x"}, "y"))
    assert (analysis.verdict.outcome, analysis.findings) == ("healthy", [])


def test_what_could_not_be_asked_adds_nothing() -> None:
    unknown = Observation("path-blocked", PEER, {"text": "could not be asked", "outcome": "unknown"}, "systrace check")
    first, alone = judged(DROPPED, unknown).findings[0], judged(DROPPED).findings[0]
    assert (first.summary, first.confidence, first.next_steps) == (alone.summary, alone.confidence, alone.next_steps)


def test_only_what_says_the_same_proves() -> None:
    """Hops and the end of the way are one sentence; a rejection by somebody is another fault than silence."""
    hops = [Observation("hop", PEER, {"text": f"hop {n} is 10.0.0.{n}"}, "systrace check") for n in (1, 2)]
    end = Observation("path-blocked", PEER, {"text": "10.0.0.2 rejects packets", "how": "rejected"}, "systrace check")
    first = judged(DROPPED, *hops, end).findings[0]
    assert first.summary.endswith(
        "Probed by systrace check: hop 1 is 10.0.0.1; hop 2 is 10.0.0.2; 10.0.0.2 rejects packets."
    )
    assert first.confidence == judged(DROPPED).findings[0].confidence


DNS = "192.0.2.53"
LOOKUP: list[Step] = [
    (1, "socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 3 <0.00001>"),
    (1, f'connect(3, {{sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("{DNS}")}}, 16) = 0 <0.00001>'),
    (1, r'sendto(3, "\0\7\1\0\0\1\0\0\0\0\0\0\2db\4corp\0\0\1\0\1", 25, MSG_NOSIGNAL, NULL, 0) = 25 <0.00001>'),
    (1, "poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.005>"),
    (7, "exit_group(6) = ?"),
    (7.1, "+++ exited with 6 +++"),
]


def name(server: str, outcome: str, cause: str = "", subject: str = "db") -> Observation:
    value = {"text": f"nameserver {server}: {outcome}", "server": server, "outcome": outcome}
    return Observation("name", subject, value | ({"cause": cause} if cause else {}), "systrace check (names)")


def test_what_a_nameserver_says_now_is_said_of_its_look_up() -> None:
    alone = judged(LOOKUP).findings[0]
    assert (alone.cause, alone.peer) == ("dns-timeout", f"{DNS}:53")
    silent = judged(LOOKUP, name(DNS, "silent", "dns-timeout")).findings[0]
    assert silent.summary == f"{alone.summary} Probed by systrace check (names): nameserver {DNS}: silent."
    assert silent.confidence == "confirmed"
    assert not any(step.command.startswith("dig") for step in silent.next_steps)
    assert "Probed" in judged(LOOKUP, name(DNS, "answered")).findings[0].summary
    for other in (name("192.0.2.54", "silent", "dns-timeout"), name(DNS, "silent", "dns-timeout", "www")):
        assert judged(LOOKUP, other).findings[0].summary == alone.summary
