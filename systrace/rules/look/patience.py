"""When the kernel will give up: how long a SYN, a retransmission or a keepalive may still go on.

Sources: Documentation/networking/ip-sysctl.rst, net/ipv4/tcp_timer.c (`retransmits_timed_out`, `tcp_model_timeout`);
measured give-up times lie up to 2.5 % later because kernel timers run late.
"""

from __future__ import annotations

import math
import re

from systrace.look.nouns import SocketState

_RETRIES2_DEFAULT = 15
_SYN_RETRIES_DEFAULT = 6
_RTO_MIN_MS = 200
_LATE = 0.99  # timers run late, the RTO is a little above its minimum: the nominal sum is reached one repeat early
_RTO_MAX_MS = 120_000
_LINEAR_SINCE = (6, 5)  # tcp_syn_linear_timeouts appeared in Linux 6.5, default 4
_LINEAR_DEFAULT = 4


def syn_fires(retries: int, linear: int) -> list[int]:
    """Seconds after connect() at which a SYN is repeated; the last one is when it gives up with ETIMEDOUT instead.

    >>> syn_fires(6, 0), syn_fires(6, 4)[-3:]
    ([1, 3, 7, 15, 31, 63, 127], [35, 67, 131])
    """
    limit = 2 ** (min(max(retries, 0), 20) + 1) - 1
    fires, gap = [1], 1
    while fires[-1] < limit:
        if len(fires) > linear:
            gap = min(gap * 2, _RTO_MAX_MS // 1000)
        fires.append(fires[-1] + gap)
    return fires


def connect_gives_up_s(state: SocketState, sysctls: dict[str, int], kernel: str) -> tuple[float, float] | None:
    """(seconds connecting so far, seconds until ETIMEDOUT) of a socket in SYN-SENT."""
    if state.timer_ms is None or state.retransmits is None:
        return None
    linear = sysctls.get("net.ipv4.tcp_syn_linear_timeouts")
    if linear is None:
        linear = _LINEAR_DEFAULT if _version(kernel) >= _LINEAR_SINCE else 0
    retries = state.syn_retries or sysctls.get("net.ipv4.tcp_syn_retries", _SYN_RETRIES_DEFAULT)
    fires = syn_fires(retries, linear)
    at = min(state.retransmits, len(fires) - 1)
    waited = max(fires[at] - state.timer_ms / 1000, 0.0)
    end = float(fires[-1])
    if state.user_timeout_ns is not None:
        end = min(end, state.user_timeout_ns / 1e9)
    return waited, max(end - waited, 0.0)


def retransmission_gives_up_s(state: SocketState, sysctls: dict[str, int]) -> float | None:
    """Seconds until unacknowledged data makes the connection fail; None when nothing is being retransmitted."""
    if state.tcp is None or state.timer_ms is None:
        return None
    rto_max = sysctls.get("net.ipv4.tcp_rto_max_ms", _RTO_MAX_MS)
    rto_min = sysctls.get("net.ipv4.tcp_rto_min_us", _RTO_MIN_MS * 1000) // 1000
    limit = _model_timeout_ms(sysctls.get("net.ipv4.tcp_retries2", _RETRIES2_DEFAULT), rto_min, rto_max)
    if state.user_timeout_ns is not None:
        limit = state.user_timeout_ns // 10**6
    rto = max(state.tcp.rto_ms, 1.0)
    first = rto / 2**state.tcp.backoff if rto < rto_max else float(rto_min)  # at the cap the past cannot be seen
    gaps = [min(first * 2**step, rto_max) for step in range(state.tcp.backoff)]
    fires = sum(gaps) + rto  # since the data were first sent; the clock of the limit starts with the first repeat
    start = gaps[0] if gaps else rto
    ahead = float(state.timer_ms)
    while fires - start < limit * _LATE:
        rto = min(rto * 2, rto_max)
        fires += rto
        ahead += rto
    return ahead / 1000


def _model_timeout_ms(retries: int, rto_min: int, rto_max: int) -> int:
    """tcp_model_timeout(): 924.6 s for the default of 15.

    >>> _model_timeout_ms(15, 200, 120000)
    924600
    """
    threshold = max((rto_max // rto_min).bit_length() - 1, 0)
    if retries <= threshold:
        return ((2 << retries) - 1) * rto_min
    return ((2 << threshold) - 1) * rto_min + (retries - threshold) * rto_max


def keepalive_gives_up_s(state: SocketState) -> float | None:
    """Seconds until keepalive fails the connection if nothing answers; None when no keepalive timer runs."""
    alive = state.keepalive
    if state.timer != "keepalive" or state.timer_ms is None or not alive.on:
        return None
    if alive.interval_s is None or alive.count is None:
        return None
    probes = state.tcp.probes if state.tcp is not None else 0
    first, interval = state.timer_ms / 1000, alive.interval_s
    if state.user_timeout_ns is None or state.tcp is None:
        return first + interval * max(alive.count - probes, 0)
    # TCP_USER_TIMEOUT takes the place of the count (tcp_keepalive_timer): a probe is out, and it is that long since
    # anything came.
    silent = min(state.tcp.last_data_received_ms, state.tcp.last_ack_received_ms) / 1000
    missing = state.user_timeout_ns / 1e9 - silent - first
    return first + interval * max(math.ceil(missing / interval), 0 if probes else 1)


def _version(kernel: str) -> tuple[int, int]:
    match = re.match(r"(\d{1,4})\.(\d{1,4})", kernel)
    return (int(match[1]), int(match[2])) if match is not None else (0, 0)
