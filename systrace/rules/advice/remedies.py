"""Remedies by the name of the knob that the client at hand has."""

from __future__ import annotations

from systrace.keepalive import ADVISED, ADVISED_SYSCTLS, COUNT, IDLE_S, INTERVAL_S
from systrace.model import Process
from systrace.rules.advice.clients import client_of
from systrace.rules.case.index import Case

_SYSCTL = (
    f"host-wide, for new sockets that set SO_KEEPALIVE: {ADVISED_SYSCTLS} (containers: systemControls / --sysctl), "
    "then restart"
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
        own.append(
            f"set SO_KEEPALIVE=1, TCP_KEEPIDLE={IDLE_S}, TCP_KEEPINTVL={INTERVAL_S}, TCP_KEEPCNT={COUNT} on this socket"
        )
    changed = f"systrace run --keepalive {ADVISED} JOB, or systrace keepalive PID"
    return [*own, _SYSCTL, f"program can't be changed: {changed}"]


def timeout_remedies(case: Case, process: Process | None) -> list[str]:
    """How to set a limit on waiting, for this client first."""
    client = client_of(case, process)
    if client is not None and client.read_knob:
        return [f"{client.name}: {client.read_knob}", "before retrying a timed-out write: it may have succeeded"]
    return ["set a read timeout in the client that fits the slowest good answer", "or run it under timeout(1)"]
