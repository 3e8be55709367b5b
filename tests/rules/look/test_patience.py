"""When the kernel gives up, against the figures of ip-sysctl.rst and measured schedules."""

from __future__ import annotations

import pytest

from systrace.look.nouns import SocketState, TcpInfo
from systrace.model import Keepalive
from systrace.rules.look import patience


def info(rto_ms: float = 200, backoff: int = 0, probes: int = 0) -> TcpInfo:
    return TcpInfo("established", 0, probes, backoff, rto_ms, 1, 1, 0, 0, 0, 0, None, None, None, None)


def state(**more: object) -> SocketState:
    return SocketState(1, 3, 9, "inet", "stream", "tcp", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("retries", "linear", "last"),
    [(1, 4, 3), (2, 4, 7), (3, 4, 19), (4, 4, 35), (5, 4, 67), (6, 4, 131), (6, 0, 127), (5, 0, 63), (0, 0, 1)],
)
def test_syn_schedule(retries: int, linear: int, last: int) -> None:
    assert patience.syn_fires(retries, linear)[-1] == last


@pytest.mark.parametrize(
    ("kernel", "sysctls", "retransmits", "timer_ms", "waited", "left"),
    [
        ("6.18.1", {}, 0, 1000, 0, 131),
        ("6.18.1", {}, 5, 500, 6.5, 124.5),
        ("5.10.0-aws", {}, 2, 3000, 4, 123),
        ("6.18.1", {"net.ipv4.tcp_syn_linear_timeouts": 0, "net.ipv4.tcp_syn_retries": 2}, 1, 1000, 2, 5),
        ("mystery", {}, 0, 1000, 0, 127),
    ],
)
def test_connect(
    kernel: str, sysctls: dict[str, int], retransmits: int, timer_ms: int, waited: float, left: float
) -> None:
    connecting = state(state="syn-sent", timer="on", timer_ms=timer_ms, retransmits=retransmits)
    assert patience.connect_gives_up_s(connecting, sysctls, kernel) == (waited, left)


def test_own_limits_of_a_socket_shorten_the_connect() -> None:
    connecting = state(state="syn-sent", timer="on", timer_ms=1000, retransmits=0, syn_retries=2)
    assert patience.connect_gives_up_s(connecting, {}, "6.18") == (0, 7)
    limited = state(state="syn-sent", timer="on", timer_ms=1000, retransmits=0, user_timeout_ns=3 * 10**9)
    assert patience.connect_gives_up_s(limited, {}, "6.18") == (0, 3)


def test_retransmission_of_a_fresh_loss_lasts_the_whole_schedule() -> None:
    """Measured with defaults: 939.7 s after the write; the schedule itself says 924.6 s after the first repeat."""
    left = patience.retransmission_gives_up_s(state(timer="on", timer_ms=200, tcp=info()), {})
    assert left == pytest.approx(924.8, abs=1)


def test_retransmission_later_leaves_less() -> None:
    later = patience.retransmission_gives_up_s(state(timer="on", timer_ms=60_000, tcp=info(120_000, 14)), {})
    assert later is not None
    assert 100 < later < 300
    limited = state(timer="on", timer_ms=1600, tcp=info(1600, 3), user_timeout_ns=5 * 10**9)
    assert patience.retransmission_gives_up_s(limited, {}) == pytest.approx(1.6 + 3.2, abs=0.1)


def test_keepalive() -> None:
    alive = Keepalive(True, 60, 15, 4)
    assert patience.keepalive_gives_up_s(state(timer="keepalive", timer_ms=30_000, keepalive=alive, tcp=info())) == 90
    two = state(timer="keepalive", timer_ms=5_000, keepalive=alive, tcp=info(probes=2))
    assert patience.keepalive_gives_up_s(two) == 35
    assert patience.keepalive_gives_up_s(state(keepalive=Keepalive(False, 60, 15, 4), tcp=info())) is None
