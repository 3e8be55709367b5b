"""The peer's end in place of an answer: at once in a conversation, or after a rest in which it had closed."""

from __future__ import annotations

import pytest

from tests.rules.http_job import ask, blamed, connect, got, judged, left


def ended(pause: float, fields: str = "") -> str:
    """One exchange, a pause, the next request, and the peer's end."""
    again = 1.6 + pause
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "200 OK", "ok", more=fields), ask(9, again),
        f'9 {again + 0.1:.3f} recvfrom(3, "", 65536, 0, NULL, NULL) = 0 <0.05>', left(9, again + 0.3, 1),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    return f"{finding.cause}/{finding.variant}"


def test_a_request_right_after_an_answer_met_no_idle_limit() -> None:
    """The server took it, and closed."""
    assert ended(0.01) == "empty-reply/later"


@pytest.mark.parametrize(("pause", "fields"), [(6.0, ""), (0.01, "Connection: close\\r\\n")])
def test_a_connection_that_had_rested_or_was_over_is_stale(pause: float, fields: str) -> None:
    assert ended(pause, fields) == "stale-connection/closed"
