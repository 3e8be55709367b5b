"""What the kernel said during a wait decides whose silence it was; without a word of it everything is as it was."""

from __future__ import annotations

from typing import Any

import pytest

from systrace import Analysis
from systrace.look.nouns import Backlog, Reading
from systrace.model import Finding
from systrace.rules.case.index import Case
from systrace.rules.case.kernel_word import word_on
from systrace.rules.case.waits import stalls
from systrace.rules.examples import OPEN, REQUEST, replies
from tests.look.readings import FULL, SYNS, UNACKNOWLEDGED, reading
from tests.rules.case.recordings import CALL, POLL, gives_up, judged, killed

PROBED = (
    REQUEST
    + "9 1.15 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0\n"
    + "9 1.16 setsockopt(3, SOL_TCP, TCP_KEEPIDLE, [5], 4) = 0\n9 1.17 setsockopt(3, SOL_TCP, TCP_KEEPINTVL, [5], 4) = 0\n"
)
SEND = (
    OPEN
    + '9 1.2 sendto(3, "xxxx"..., 900000, 0, NULL, 0) = 70000 <0.1>\n'
    + "9 1.4 poll([{fd=3, events=POLLOUT}], 1, 30000) = 0 (Timeout) <30.03>\n"
)
CONNECT = (
    '9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = -1 EINPROGRESS '
    "(Operation now in progress) <0.0001>\n9 1.1 poll([{fd=3, events=POLLOUT}], 1, 30000) = 0 (Timeout) <30.03>\n"
)
END = "9 32.0 close(3) = 0\n9 32.1 +++ exited with 1 +++"
ANSWERED: dict[str, Any] = {  # by the peer's host: probes of the kernel's, 0.2 s ago; data long ago
    "timer": "keepalive", "last_ack_received_ms": 200, "last_data_sent_ms": 95_000, "last_data_received_ms": 96_000,
}  # fmt: skip
FIN_LOST: dict[str, Any] = {"closed": True, "state": "fin-wait-1", "retransmits": 3}
FIN_ANSWERED: dict[str, Any] = {"closed": True, "state": "fin-wait-2"}


def first(analysis: Analysis, cause: str, outcome: str) -> Finding:
    """The finding of the verdict."""
    found = (analysis.verdict.outcome, analysis.verdict.cause, analysis.findings[0].cause)
    assert found == (outcome, cause, cause)
    return analysis.findings[0]


def blames_path(finding: Finding) -> bool:
    return any("path" in cause for cause in finding.causes)


def cites(finding: Finding) -> bool:
    """A reading is in its evidence, and its words are in the summary."""
    in_evidence = any(b'"reading"' in event.record.raw for event in finding.evidence)
    assert in_evidence == ("The kernel: " in finding.summary)
    return in_evidence


# -------------------------------------------------------------------------------------------------- whose silence


def test_without_readings_everything_is_as_before() -> None:
    for analysis, cause, outcome in (
        (gives_up(), "read-timeout", "failed"),
        (killed(), "hung-read", "hung"),
        (killed(at=400), "idle-timeout", "hung"),
        (judged(SEND, END), "send-blocked", "failed"),
        (judged(CONNECT, END), "connect-timeout", "failed"),
    ):
        finding = first(analysis, cause, outcome)
        assert not cites(finding)
        assert blames_path(finding) or cause == "connect-timeout"


def test_an_acknowledged_request_clears_the_path() -> None:
    finding = first(gives_up(reading(11, waited_s=9.8)), "read-timeout", "failed")
    assert cites(finding)
    assert not blames_path(finding)
    assert finding.causes[0].startswith("the peer's host has all of the request")
    assert finding.confidence == "confirmed"
    assert any("kernel: after 9.80 s of waiting" in str(line) for line in finding.lines)
    finding = first(killed(reading(11, waited_s=9.8)), "hung-read", "hung")
    assert finding.confidence == "confirmed"
    assert not blames_path(finding)
    assert not any(step.command.startswith("tcpdump") for step in finding.next_steps)
    assert first(killed(), "hung-read", "hung").confidence == "likely"


def test_an_acknowledgement_of_long_ago_clears_no_path() -> None:
    """After a minute something on the path may have forgotten the connection: the request had come through all the same."""
    assert blames_path(first(gives_up(reading(99, waited_s=98), limit=100), "read-timeout", "failed"))
    assert not blames_path(first(gives_up(reading(50, waited_s=49), limit=55), "read-timeout", "failed"))


def test_what_is_repeated_in_vain_was_lost() -> None:
    for analysis in (gives_up(reading(11, **UNACKNOWLEDGED)), killed(reading(11, **UNACKNOWLEDGED))):
        finding = first(analysis, "peer-vanished", "failed")
        assert (finding.variant, finding.confidence) == ("retransmission", "confirmed")
        assert cites(finding)
        assert "sent 5 times" in finding.summary
        assert blames_path(finding)


def test_a_single_repetition_decides_nothing() -> None:
    once = reading(11, **{**UNACKNOWLEDGED, "retransmits": 1})
    finding = first(gives_up(once), "read-timeout", "failed")
    assert not cites(finding)
    assert blames_path(finding)
    assert not cites(first(gives_up(reading(20, timer="keepalive", probes=1, unacked=1)), "read-timeout", "failed"))
    assert first(gives_up(reading(11, **{**UNACKNOWLEDGED, "retransmits": 2})), "peer-vanished", "failed")


def test_the_last_word_counts() -> None:
    lost, well = reading(6, **UNACKNOWLEDGED), reading(20)
    assert not blames_path(first(gives_up(lost, well), "read-timeout", "failed"))
    assert first(gives_up(reading(6), reading(20, **UNACKNOWLEDGED)), "peer-vanished", "failed")


def test_an_end_that_nobody_acknowledges() -> None:
    finding = first(gives_up(reading(11), reading(32.5, **FIN_LOST)), "peer-vanished", "failed")
    assert finding.confidence == "confirmed"
    assert "the end (FIN) that was sent at the close was never acknowledged" in finding.summary
    assert first(gives_up(reading(32.5, **FIN_LOST)), "peer-vanished", "failed")
    assert first(gives_up(reading(32.5, **{**FIN_LOST, "retransmits": 1})), "read-timeout", "failed")


def test_an_end_that_is_acknowledged_clears_the_path() -> None:
    """After 400 s without keepalive nothing else would."""
    finding = first(gives_up(reading(390), reading(402.5, **FIN_ANSWERED), limit=400), "read-timeout", "failed")
    assert not blames_path(finding)
    assert "acknowledged all that was sent, the end (FIN) at the close too" in finding.summary
    finding = first(killed(reading(390), reading(400.5, **FIN_ANSWERED), at=400), "hung-read", "hung")
    assert not blames_path(finding)
    assert finding.confidence == "confirmed"
    assert first(killed(reading(390), at=400), "idle-timeout", "hung").confidence != "confirmed"
    came_through = gives_up(reading(20, **UNACKNOWLEDGED), reading(32.5, **FIN_ANSWERED))
    assert not blames_path(first(came_through, "read-timeout", "failed"))


def test_an_end_that_is_lost_after_a_long_silence() -> None:
    """What the path had forgotten was asked for once more by the FIN."""
    finding = first(killed(reading(390), reading(400.5, **FIN_LOST), at=400), "idle-timeout", "hung")
    assert (finding.variant, finding.confidence) == ("silent", "confirmed")


def test_unanswered_probes() -> None:
    for analysis in (
        gives_up(reading(20, timer="keepalive", probes=2), before=PROBED),
        killed(reading(20, timer="keepalive", probes=3), before=PROBED),
    ):
        finding = first(analysis, "peer-vanished", "failed")
        assert (finding.variant, finding.confidence) == ("keepalive", "confirmed")
        assert "keepalive probes went unanswered" in finding.summary


def test_answered_probes_clear_the_path() -> None:
    assert not blames_path(first(gives_up(reading(99, **ANSWERED), limit=100), "read-timeout", "failed"))
    assert not blames_path(first(killed(reading(390, **ANSWERED), at=400), "hung-read", "hung"))
    for other in ({"probes": 1}, {"timer": ""}, {"last_ack_received_ms": 94_900}):  # nothing came after the data
        heard = gives_up(reading(99, **{**ANSWERED, **other}), limit=100)
        assert blames_path(first(heard, "read-timeout", "failed")), other


def test_nothing_was_asked() -> None:
    """A server that is to greet, and does not."""
    wait = POLL.format(at=1.2, limit=30)
    figures: dict[str, Any] = {"bytes_acked": 1, "last_data_sent_ms": 30_000, "last_data_received_ms": 30_000}
    finding = first(
        judged(OPEN, wait, reading(20, **figures), reading(32.5, **FIN_ANSWERED), END), "read-timeout", "failed"
    )
    assert finding.causes[0].startswith("the peer's program is stuck or stopped, or waits to be asked first")
    finding = first(judged(OPEN, wait, reading(20, **figures), END), "read-timeout", "failed")
    assert blames_path(finding)
    assert cites(finding)


# ----------------------------------------------------------------------------------------------------- other waits


def test_a_closed_window() -> None:
    finding = first(judged(SEND, reading(20, timer="persist", unsent=70000), END), "send-blocked", "failed")
    assert not blames_path(finding)
    assert cites(finding)
    finding = first(judged(SEND, reading(20, timer="persist", unsent=70000, probes=2), END), "peer-vanished", "failed")
    assert "2 probes of its closed window went unanswered" in finding.summary
    assert first(judged(SEND, reading(20, **UNACKNOWLEDGED), END), "peer-vanished", "failed")
    assert blames_path(first(judged(SEND, reading(20), END), "send-blocked", "failed"))


def test_a_full_queue() -> None:
    finding = first(judged(CONNECT, reading(20, call="poll", **SYNS, listener=FULL), END), "connect-timeout", "failed")
    assert (finding.variant, len(finding.causes)) == ("queue", 2)
    assert "the listener's queue is full" in finding.summary
    assert "on this host:" in finding.next_steps[0].why
    elsewhere = reading(20, call="poll", **SYNS, listener=Backlog(6, 5, elsewhere=True))
    finding = first(judged(CONNECT, elsewhere, END), "connect-timeout", "failed")
    assert "in its network namespace" in finding.next_steps[0].why
    for other in (None, Backlog(5, 5)):
        finding = first(
            judged(CONNECT, reading(20, call="poll", **SYNS, listener=other), END), "connect-timeout", "failed"
        )
        assert finding.variant == "deadline"
        assert "4 SYNs sent, none answered" in finding.summary
    assert not cites(first(judged(CONNECT, reading(20, call="poll"), END), "connect-timeout", "failed"))  # it stands


# --------------------------------------------------------------------------------------------- silence before it

OLD = REQUEST + replies()
AGAIN = CALL.format(at="401.5") + POLL.format(at=401.6, limit=30)
AFTER = "9 432.0 close(3) = 0\n9 432.1 +++ exited with 1 +++"


def test_a_request_after_a_long_silence_that_nobody_acknowledges() -> None:
    finding, *others = judged(OLD, AGAIN, reading(420, **UNACKNOWLEDGED), AFTER).findings
    assert "peer-vanished" not in [each.cause for each in others]
    assert (finding.cause, finding.variant, finding.confidence) == ("idle-timeout", "unacknowledged", "confirmed")
    assert "silent for 400 s" in finding.summary
    assert finding.causes == ["a NAT gateway, load balancer or firewall on the path forgot the idle connection"]
    assert cites(finding)
    assert first(judged(OLD, AGAIN, AFTER), "read-timeout", "failed")
    assert not blames_path(first(judged(OLD, AGAIN, reading(420), AFTER), "read-timeout", "failed"))


def test_a_request_after_a_short_silence_that_nobody_acknowledges() -> None:
    again = CALL.format(at="61.5") + POLL.format(at=61.6, limit=30)
    after = "9 92.0 close(3) = 0\n9 92.1 +++ exited with 1 +++"
    assert first(judged(OLD, again, reading(80, **UNACKNOWLEDGED), after), "peer-vanished", "failed")


# ------------------------------------------------------------------------------------------------ earlier readings


def two_waits(*readings: Reading, pause: float) -> Analysis:
    """A wait of ten seconds that was answered; after a pause another, which was not."""
    answer = (
        '9 1.2 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096, 0, NULL, NULL) = 38 <10.0>\n'
    )
    asked = 11.2 + pause
    return judged(
        REQUEST, *readings, answer, CALL.format(at=f"{asked:.3f}"), POLL.format(at=f"{asked + 0.01:.3f}", limit=30),
        f"9 {asked + 31:.1f} close(3) = 0\n9 {asked + 31.1:.1f} +++ exited with 1 +++",
    )  # fmt: skip


@pytest.mark.parametrize("pause", [30, 5, 2])
def test_an_earlier_wait_decides_nothing_of_a_later_one(pause: float) -> None:
    for figures in ({}, UNACKNOWLEDGED, {"timer": "keepalive", "probes": 5}, ANSWERED):
        finding = first(two_waits(reading(10.9, **figures), pause=pause), "read-timeout", "failed")
        assert not cites(finding)
        assert blames_path(finding)


def test_an_earlier_wait_of_just_before_decides_nothing_either() -> None:
    """The path was dead for a while and then lived, as the answer shows: what was repeated then is no word on the next wait."""
    first(two_waits(reading(10.9, **UNACKNOWLEDGED), pause=0.05), "read-timeout", "failed")


def test_readings_of_another_connection_decide_nothing() -> None:
    """Another local port, or another descriptor that the log does not show."""
    for other in ({"fd": 7}, {"pid": 9, "fd": 8, "inode": 1}):
        assert not cites(first(gives_up(reading(11, **{**UNACKNOWLEDGED, **other})), "read-timeout", "failed"))


def test_the_words_of_each_kind() -> None:
    assert word_kinds(reading(11)) == ["acknowledged"]
    assert word_kinds(reading(11, bytes_acked=1)) == ["unasked"]
    assert word_kinds(reading(11, tcp=None)) == []
    assert word_kinds(reading(11, unacked=1)) == []
    assert word_kinds(reading(11, unsent=9)) == []
    assert word_kinds(reading(11, state="time-wait")) == []
    assert word_kinds(reading(11, timer="persist", unsent=9)) == ["window"]
    assert word_kinds(reading(11, timer="persist", unsent=9, probes=2)) == ["unacknowledged"]
    assert word_kinds(reading(11, probes=2)) == ["unanswered probes"]
    assert word_kinds(reading(32.5, **FIN_ANSWERED)) == ["acknowledged"]
    assert word_kinds(reading(11, tcp=None), reading(32.5, **FIN_ANSWERED)) == ["acknowledged"]
    assert word_kinds() == []


def word_kinds(*readings: Reading) -> list[str]:
    """Of the wait of `gives_up`."""
    analysis = gives_up(*readings)
    case = Case(analysis.evidence)
    return [word.kind for stall in stalls(case, "r") for word in [word_on(stall)] if word is not None]


def test_what_a_well_ended_job_leaves_behind_is_no_loss() -> None:
    """A farewell that nobody acknowledges, or a pooled connection that is gone at the exit: nothing was lost by it."""
    bye = (
        "9 40.2 close(3) = 0 <0.0001>",
        "9 40.3 +++ exited with 0 +++",
    )
    wait = "9 10.9 poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}]) <2.0>"
    analysis = judged(OPEN, wait, reading(12.0), reading(41.5, **FIN_LOST), *bye)
    assert not [each for each in analysis.findings if each.cause in ("peer-vanished", "idle-timeout")]
