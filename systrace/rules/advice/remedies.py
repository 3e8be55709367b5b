"""Remedies by the name of the knob that the client at hand has."""

from __future__ import annotations

from systrace.keepalive import ADVISED, ADVISED_SYSCTLS, COUNT, IDLE_S, INTERVAL_S
from systrace.model import Draft, Process, Socket, Step
from systrace.rules.advice.clients import client_of
from systrace.rules.advice.probes import is_repeatable
from systrace.rules.case.index import Case

_SYSCTL = (
    f"host-wide, for new sockets that set SO_KEEPALIVE: {ADVISED_SYSCTLS} (containers: systemControls / --sysctl), "
    "then restart"
)


def keepalive_remedies(case: Case, process: Process | None, socket: Socket) -> list[str]:
    """How to keep an idle connection alive, for this client first."""
    client = client_of(case, process, socket)
    if on_this_host(socket):
        return []  # no probe goes unanswered where no network is: the kernel itself answers them
    own = []
    if client is not None and client.default_keepalive == "early":
        return []  # it probes early enough already
    if client is not None and client.keepalive:
        own.append(_knob(client.name, client.keepalive))
    else:
        own.append(
            f"set SO_KEEPALIVE=1, TCP_KEEPIDLE={IDLE_S}, TCP_KEEPINTVL={INTERVAL_S}, TCP_KEEPCNT={COUNT} on this socket"
        )
    changed = f"systrace run --keepalive {ADVISED} JOB, or systrace keepalive PID"
    return [*own, _SYSCTL, f"program can't be changed: {changed}"]


def timeout_remedies(case: Case, process: Process | None, socket: Socket) -> list[str]:
    """How to set a limit on waiting, for this client first."""
    client = client_of(case, process, socket)
    if client is not None and client.read_knob:
        knob = _knob(client.name, client.read_knob)
        if is_repeatable(socket):
            return [f"{knob}; asking again does no harm here"]
        return [knob, "before retrying a timed-out write: it may have succeeded"]
    return ["set a read timeout in the client that fits the slowest good answer", "or run it under timeout(1)"]


def _knob(client: str, knob: str) -> str:
    return knob if knob.startswith(client) else f"{client}: {knob}"


def on_this_host(socket: Socket) -> bool:
    """Whether its peer is this host, by way of IP."""
    return socket.family != "unix" and socket.peer is not None and socket.peer.is_local


def lost_on_path(socket: Socket, cause: str) -> str:
    """A cause that needs a path; where there is none, what may stand in for one."""
    if on_this_host(socket):
        return "if that port leads on (ssh -L, a proxy, a container): what lies behind it lost the connection"
    return cause


def advise_local(case: Case, finding: Draft, socket: Socket) -> None:
    """Replace what a finding advises for networks where its socket is a UNIX one: its other end is a process of this host."""
    if socket.family != "unix":
        return
    finding.causes = [
        "the process at the other end is stuck, stopped, or waits itself",
        "both ends wait for each other: a deadlock",
    ]
    finding.next_steps = [
        Step("ss -xp", "who holds the other end: by the inode (ls -l /proc/*/fd shows it)"),
        Step(why="then systrace attach --passive to that process: what it does"),
    ]
    finding.remedy = timeout_remedies(case, case.process(socket), socket)
    finding.refuted_by = "the other end acting by itself shortly after"
