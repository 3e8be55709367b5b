"""Remedies by the name of the knob that the client at hand has."""

from __future__ import annotations

from systrace.model import Process
from systrace.rules.advice.clients import client_of
from systrace.rules.case.index import Case

_SYSCTL = (
    "host-wide, for new sockets that set SO_KEEPALIVE: sysctl -w net.ipv4.tcp_keepalive_time=60 "
    "net.ipv4.tcp_keepalive_intvl=30 net.ipv4.tcp_keepalive_probes=4 (containers: systemControls / --sysctl), then restart"
)


def keepalive_remedies(case: Case, process: Process | None) -> list[str]:
    """How to keep an idle connection alive, for this client first."""
    client = client_of(case, process)
    own = []
    if client is not None and client.default_keepalive == "early":
        return []  # it probes early enough already
    if client is not None and client.keepalive:
        own.append(f"{client.name}: {client.keepalive}")
    else:
        own.append("set SO_KEEPALIVE=1, TCP_KEEPIDLE=60, TCP_KEEPINTVL=30, TCP_KEEPCNT=4 on this socket")
    return [*own, _SYSCTL, "program can't be changed: systrace run --keepalive 60,15,4 JOB, or systrace keepalive PID"]


def timeout_remedies(case: Case, process: Process | None) -> list[str]:
    """How to set a limit on waiting, for this client first."""
    client = client_of(case, process)
    if client is not None and client.read_knob:
        return [f"{client.name}: {client.read_knob}", "before retrying a timed-out write: it may have succeeded"]
    return ["set a read timeout in the client that fits the slowest good answer", "or run it under timeout(1)"]
