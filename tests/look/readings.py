"""Readings as the kernel gives them, made by hand: `reading(state=..., probes=...)` of a connection that owes nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

from systrace.look.nouns import Backlog, Reading, SocketState, TcpInfo
from systrace.model import Endpoint

EPOCH_S = 1_700_000_000
HERE, THERE = Endpoint("inet", "10.0.0.5", 41000), Endpoint("inet", "192.0.2.7", 80)
TCP = TcpInfo("established", 0, 0, 0, 204.0, 1.5, 0, 5000, 6000, 5000, 0, 30, 0, 0, 0.0)
SOCKET = SocketState(
    9, 3, 4711, "inet", "stream", "tcp", HERE, THERE, "established", "", None, 0, 0, 0, tcp=TCP,
)  # fmt: skip
_OF_TCP = {field.name for field in dataclasses.fields(TcpInfo)} - {"state", "retransmits", "unsent"}
_OF_SOCKET = {field.name for field in dataclasses.fields(SocketState)} - {"pid"}


def reading(at_s: float = 6.0, *, waited_s: float = 5.0, call: str = "recvfrom", **figures: Any) -> Reading:
    """Of thread 9, `at_s` seconds after the epoch of the tests; figures of TCP_INFO and of the socket by their names."""
    info = dataclasses.replace(TCP, **{name: each for name, each in figures.items() if name in _OF_TCP})
    state = dataclasses.replace(
        SOCKET, **{"tcp": info} | {name: each for name, each in figures.items() if name in _OF_SOCKET}
    )
    return Reading(
        EPOCH_S * 10**9 + round(at_s * 10**9), 9, 9, call, round(waited_s * 10**9), state,
        bool(figures.get("closed")), figures.get("listener"),
    )  # fmt: skip


UNACKNOWLEDGED: dict[str, Any] = {"timer": "on", "timer_ms": 900, "retransmits": 4, "unsent": 29, "unacked": 1}
SYNS: dict[str, Any] = {"state": "syn-sent", "timer": "on", "retransmits": 3, "unsent": 1}
FULL = Backlog(6, 5)
