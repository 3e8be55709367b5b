"""One catalogue of limits, and one advice against them."""

from __future__ import annotations

from systrace import idle_limits, keepalive
from systrace.kernel import checks


def test_what_the_catalogue_says() -> None:
    assert (idle_limits.shortest_s(), idle_limits.nat_s()) == (240, 350)
    assert all(limit.keepalive for limit in idle_limits.known() if limit.unseen)
    assert not any(limit.users for limit in idle_limits.known())


def test_what_is_advised_beats_every_limit_that_probes_can_beat() -> None:
    assert idle_limits.shortest_s() > keepalive.IDLE_S + keepalive.INTERVAL_S * keepalive.COUNT
    assert keepalive.ADVISED == "60,15,4"  # run --keepalive


def test_doctor_knows_all_of_them() -> None:
    late = checks.settings({"net.ipv4.tcp_keepalive_time": keepalive.KEEPALIVE_IDLE_S})[0]
    lengths = {limit.idle_s for limit in idle_limits.known() if limit.unseen}
    assert all(f"({seconds:g} s)" in late.cost for seconds in lengths if seconds <= keepalive.KEEPALIVE_IDLE_S)
    assert keepalive.ADVISED_SYSCTLS in late.mend
