"""Each form of a reading in words."""

from __future__ import annotations

from typing import Any

import pytest

from systrace.look.nouns import Backlog
from systrace.look.telling import tells
from tests.look.readings import FULL, SYNS, UNACKNOWLEDGED, reading

START = "after 5.00 s of waiting: "
HEARD = "; the peer's host was last heard of 5.00 s before"


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({}, f"established, all that was sent is acknowledged, nothing is outstanding{HEARD}"),
        ({"tcp": None}, "established"),
        ({"state": "", "tcp": None}, "state unknown"),
        ({"unsent": 29}, "established, 29 bytes on their way"),
        ({"unsent": 29, "timer": "on"}, "established, 29 bytes on their way"),
        (UNACKNOWLEDGED, f"established, 29 bytes not acknowledged, repeated 4 times{HEARD}"),
        ({**UNACKNOWLEDGED, "retransmits": 1}, f"established, 29 bytes not acknowledged, repeated 1 time{HEARD}"),
        ({**UNACKNOWLEDGED, "tcp": None}, "established, 29 bytes not acknowledged, repeated 4 times"),
        ({**UNACKNOWLEDGED, "unsent": None, "tcp": None}, "established, 0 bytes not acknowledged, repeated 4 times"),
        (
            {"timer": "persist", "unsent": 70000, "probes": 3},
            "established, 70000 bytes wait: the peer's window is closed, 3 probes unanswered",
        ),
        ({"timer": "persist", "unsent": 7}, "established, 7 bytes wait: the peer's window is closed"),
        ({"timer": "persist", "tcp": None}, "established, 0 bytes wait: the peer's window is closed"),
        ({"timer": "keepalive", "probes": 1}, f"established, 1 keepalive probe unanswered{HEARD}"),
        ({"timer": "keepalive", "probes": 2}, f"established, 2 keepalive probes unanswered{HEARD}"),
        ({"unread": 12, "tcp": None}, "established, 12 bytes unread here"),
        (SYNS, "syn-sent, 4 SYNs sent, none answered"),
        ({**SYNS, "retransmits": 0}, "syn-sent, 1 SYN sent, none answered"),
        ({**SYNS, "retransmits": None}, "syn-sent, 1 SYN sent, none answered"),
        (
            {**SYNS, "listener": FULL},
            "syn-sent, 4 SYNs sent, none answered, the listener's queue holds 6 of at most 6",
        ),
    ],
)
def test_a_wait(figures: dict[str, Any], words: str) -> None:
    assert tells(reading(**figures)) == START + words


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (
            {"state": "fin-wait-1", "retransmits": 3},
            "closed, and the end (FIN) sent 4 times without an acknowledgement",
        ),
        ({"state": "fin-wait-2", "retransmits": 0}, "closed, and the peer's host acknowledged the end (FIN)"),
        ({"state": "time-wait", "retransmits": None}, "closed, and the peer's host acknowledged the end (FIN)"),
    ],
)
def test_a_close(figures: dict[str, Any], words: str) -> None:
    assert tells(reading(**figures, closed=True, unread=9)) == words


@pytest.mark.parametrize(("waiting", "full"), [(0, False), (5, False), (6, True)])
def test_a_queue_is_full_with_one_more_than_listen_was_told(waiting: int, full: bool) -> None:
    """sk_acceptq_is_full: `sk_ack_backlog > sk_max_ack_backlog`."""
    assert Backlog(waiting, 5).full == full
