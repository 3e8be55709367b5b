"""Judgements that would take minutes to bring about: sockets as the kernel shows them then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systrace.look.nouns import Call, Look, ProcessState, SocketState, TcpInfo, Thread
from systrace.model import Endpoint, Keepalive
from systrace.rules.look.diagnose import Diagnosis, diagnose

OFF = Keepalive(False, 7200, 75, 9)
INFO = TcpInfo("established", 0, 0, 0, 204, 1, 0, 412_000, 412_300, 412_000, 0, 100, 2000, 0, 0)
IDLE = SocketState(
    pid=42,
    fd=5,
    inode=99,
    family="inet",
    type="stream",
    protocol="tcp",
    local=Endpoint("inet", "10.0.0.5", 41000),
    peer=Endpoint("inet", "203.0.113.10", 443),
    state="established",
    retransmits=0,
    unread=0,
    unsent=0,
    nonblock=False,
    keepalive=OFF,
    options_known=True,
    tcp=INFO,
)
SENT = replace(INFO, backoff=4, rto_ms=3200)
RECV = Call(45, "recvfrom", (5, 0, 100, 0, 0, 0), 5, ((5, "r"),))


def judged(state: SocketState, call: Call = RECV, blocked_s: float | None = 412) -> Diagnosis:
    blocked = int(blocked_s * 1e9) if blocked_s is not None else None
    thread = Thread(42, 42, "python3", "S", "wait_woken", call, blocked)
    process = ProcessState(42, 1, "python3", ("python3", "export.py"), "S", 0, 1, "x86_64", (thread,))
    return diagnose(Look(42, 0, 0, "6.18.1", (process,), (state,), (), {}, {}, ()))


def test_the_case_of_the_article_in_one_line() -> None:
    diagnosis = judged(IDLE)
    assert diagnosis.headline == (
        "export.py[42] blocked 412 s in recvfrom on fd 5 from 203.0.113.10:443, nothing outstanding, "
        "last sent 412 s ago and no answer since, no keepalive, no timeout: it will wait for ever"
    )
    first = diagnosis.findings[0]
    assert (first.cause, first.variant) == ("idle-timeout", "waiting")
    assert (first.severity, first.confidence) == ("fatal", "likely")
    assert "if a NAT gateway or NLB is in the path" in first.summary
    assert "systrace keepalive 42 --fd 5" in " ".join(first.remedy)
    assert first.peer == "203.0.113.10:443"
    assert any("IdleTimeoutCount" in step.why for step in first.next_steps)


@pytest.mark.parametrize(
    ("changes", "blocked_s", "cause", "variant", "severity", "says"),
    [
        ({"tcp": replace(INFO, last_data_sent_ms=90_000, last_data_received_ms=90_300)}, 90, "hung-read", "no-deadline",
         "fatal", "will wait for ever"),
        ({"tcp": replace(INFO, last_data_sent_ms=9_000, last_data_received_ms=9_300)}, 9, "hung-read", "no-deadline",
         "warning", "may just be slow"),
        ({"peer": Endpoint("inet", "127.0.0.1", 443)}, 412, "hung-read", "no-deadline", "fatal", "on this host"),
        ({"keepalive": Keepalive(True, 7200, 75, 9), "timer": "keepalive", "timer_ms": 6_788_000}, 412, "idle-timeout",
         "waiting", "warning", "keepalive after 7200 s every 75 s ×9, no timeout; if the peer is gone that shows in"),
        ({"keepalive": Keepalive(True, 60, 15, 4), "timer": "keepalive", "timer_ms": 20_000,
          "tcp": replace(INFO, last_ack_received_ms=40_000)}, 412, "hung-read", "peer-silent", "fatal",
         "The peer's host answers keepalive probes"),
        ({"keepalive": Keepalive(True, 400, 15, 4), "timer": "keepalive", "timer_ms": 5_000,
          "tcp": replace(INFO, probes=2)}, 412, "idle-timeout", "waiting", "warning", "2 probes unanswered"),
        ({"unsent": 77, "timer": "on", "timer_ms": 900, "tcp": SENT},
         412, "peer-vanished", "retransmitting", "error", "77 bytes unacknowledged, repeated 4 times, again in 0.9 s"),
        ({"options_known": False, "keepalive": Keepalive()}, 412, "idle-timeout", "waiting", "fatal",
         "keepalive not known"),
    ],
)  # fmt: skip
def test_what_could_end_the_wait_decides(
    changes: dict[str, object], blocked_s: float, cause: str, variant: str, severity: str, says: str
) -> None:
    first = judged(replace(IDLE, **changes), blocked_s=blocked_s).findings[0]  # type: ignore[arg-type]
    assert (first.cause, first.variant, first.severity) == (cause, variant, severity)
    assert says in first.summary


def test_a_deadline_of_the_program_is_told_with_what_is_left() -> None:
    call = Call(7, "poll", (0,) * 6, 5, ((5, "r"),), 600 * 10**9, "poll")
    diagnosis = judged(IDLE, call)
    assert diagnosis.findings[0].cause == "read-timeout"
    assert "its own limit of 600 s (poll) ends it in 188 s" in diagnosis.headline


@pytest.mark.parametrize("limit_s", [None, 30])
def test_a_wait_that_has_only_begun_is_no_trouble(limit_s: int | None) -> None:
    """A poller between question and answer is met in one at any time."""
    now = replace(INFO, last_data_sent_ms=100, last_data_received_ms=104)
    call = Call(7, "poll", (0,) * 6, 5, ((5, "r"),), limit_s * 10**9, "poll") if limit_s is not None else RECV
    for blocked_s, severity in ((0.1, "info"), (1.5, "warning")):
        assert judged(replace(IDLE, tcp=now), call, blocked_s).findings[0].severity == severity


def test_the_limit_of_an_event_loop_is_not_that_of_a_connection_kept_for_later() -> None:
    """Its timers end the wait; on this connection nothing was asked since the last answer."""
    kept = replace(IDLE, tcp=replace(INFO, last_data_sent_ms=3_004, last_data_received_ms=3_000))
    call = Call(281, "epoll_pwait", (3,) + (0,) * 5, 3, ((5, "r"),), 35 * 10**8, "epoll_pwait")
    first = judged(kept, call, blocked_s=3).findings[0]
    assert (first.cause, first.severity) == ("read-timeout", "info")
    assert "has not answered" not in first.summary
    assert judged(IDLE, replace(call, limit_ns=600 * 10**9)).findings[0].severity == "warning"


def test_slices_are_no_deadline_and_the_silence_is_the_duration() -> None:
    call = Call(7, "poll", (0,) * 6, 5, ((5, "r"),), 10**9, "poll")
    diagnosis = judged(IDLE, call, blocked_s=0.4)
    assert diagnosis.headline.startswith("export.py[42] waiting 412 s in poll for fd 5 to 203.0.113.10:443")
    assert "asks again every 1.0 s (poll)" in diagnosis.headline


def test_without_the_schedulers_note_the_silence_counts() -> None:
    assert "blocked 412 s in recvfrom" in judged(IDLE, blocked_s=None).headline


def test_of_many_watched_sockets_the_one_with_a_request_out_is_named() -> None:
    answered = replace(
        IDLE, fd=6, peer=Endpoint("inet", "203.0.113.66", 443), tcp=replace(INFO, last_data_received_ms=411_000)
    )
    call = Call(232, "epoll_wait", (3,) + (0,) * 5, 3, ((6, "r"), (5, "r")), None, "epoll_wait")
    thread = Thread(42, 42, "python3", "S", "do_epoll_wait", call, 412 * 10**9)
    process = ProcessState(42, 1, "python3", ("node", "job.js"), "S", 0, 1, "x86_64", (thread,))
    snapshot = Look(42, 0, 0, "6.18.1", (process,), (answered, IDLE), (), {}, {}, ())
    assert diagnose(snapshot).findings[0].peer == "203.0.113.10:443"


def test_a_pool_of_threads_is_told_once() -> None:
    threads = tuple(Thread(42, 42 + n, "worker", "S", "wait_woken", RECV, 10**9 * n) for n in range(8))
    process = ProcessState(42, 1, "java", ("java",), "S", 0, 1, "x86_64", threads)
    findings = diagnose(Look(42, 0, 0, "6.18.1", (process,), (IDLE,), (), {}, {}, ())).findings
    assert [finding.count for finding in findings] == [8]


def test_connections_that_nobody_closes_are_noted() -> None:
    half = tuple(replace(IDLE, fd=100 + n, state="close-wait") for n in range(12))
    thread = Thread(42, 42, "job", "S", "hrtimer_nanosleep", Call(35, "nanosleep", (0,) * 6, limit_ns=10**9), 10**8)
    process = ProcessState(42, 1, "job", ("job",), "S", 0, 1, "x86_64", (thread,))
    findings = diagnose(Look(42, 0, 0, "6.18.1", (process,), half, (), {}, {}, ())).findings
    assert [(finding.cause, finding.count) for finding in findings[1:]] == [("stale-connection", 12)]


def test_a_resting_pool_is_only_a_warning() -> None:
    rested = replace(INFO, last_data_sent_ms=412_300, last_data_received_ms=412_000)
    pool = tuple(replace(IDLE, fd=5 + n, tcp=rested) for n in range(2))
    call = Call(232, "epoll_wait", (3,) + (0,) * 5, 3, ((5, "r"), (6, "r")), None, "epoll_wait")
    thread = Thread(42, 42, "java", "S", "do_epoll_wait", call, 412 * 10**9)
    process = ProcessState(42, 1, "java", ("java",), "S", 0, 1, "x86_64", (thread,))
    first = diagnose(Look(42, 0, 0, "6.18.1", (process,), pool, (), {}, {}, ())).findings[0]
    assert (first.severity, first.confidence) == ("warning", "possible")


def test_an_event_loop_that_is_awake_for_others_still_shows_the_silent_one() -> None:
    busy = replace(IDLE, fd=6, tcp=replace(INFO, last_data_sent_ms=50, last_data_received_ms=40))
    call = Call(232, "epoll_wait", (3,) + (0,) * 5, 3, ((6, "r"), (5, "r")), None, "epoll_wait")
    thread = Thread(42, 42, "job", "S", "do_epoll_wait", call, 10**7)
    process = ProcessState(42, 1, "job", ("job",), "S", 0, 1, "x86_64", (thread,))
    diagnosis = diagnose(Look(42, 0, 0, "6.18.1", (process,), (busy, IDLE), (), {}, {}, ()))
    assert diagnosis.headline.startswith("job[42] waiting 412 s in epoll_wait for fd 5 to 203.0.113.10:443")
