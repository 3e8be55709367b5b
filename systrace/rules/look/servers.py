"""Waits that are a server's daily bread: for a client, a request, a packet."""

from __future__ import annotations

from typing import Any

from systrace.look.nouns import SocketState
from systrace.model import Step
from systrace.rules.look.waits import Judgement, Wait, at, finish
from systrace.rules.look.wording import exchange, name_of, ss_host

_PORTS = "net.ipv4.ip_local_port_range"
_LOW, _HIGH = 32768, 60999  # its default (ip-sysctl.rst)


def awaits_anybody(wait: Wait, state: SocketState) -> bool:
    """Whether it takes what comes, from whomever: a bound datagram socket without a peer, packet and raw sockets.

    A port outside the range that the kernel chooses from was asked for by number: by a server.
    """
    if state.peer is not None or state.protocol == "tcp" or wait.direction == "w":
        return False
    if state.type == "raw" or (state.type == "dgram" and state.family not in ("unix", "inet", "inet6")):
        return True
    if state.family == "unix":
        return state.type == "dgram" and state.peer_inode is None and state.local is not None
    ports = wait.snapshot.sysctls
    low, high = ports.get(f"{_PORTS}.low", _LOW), ports.get(f"{_PORTS}.high", _HIGH)
    return state.protocol == "udp" and state.local is not None and not low <= state.local.port <= high


def rests(wait: Wait, state: SocketState) -> bool:
    """Whether a server that waits for clients, or a proxy for what its client says, holds it in reserve: nothing was asked on
    it since its last answer.
    """
    waited = {fd for fd, _ in wait.call.fds}
    mine = (s for s in wait.snapshot.sockets if s.pid == wait.process.pid and s.fd in waited)
    clients = any(s.state == "listen" or s.serves for s in mine)
    return clients and state.last_word != "ours" and not state.unsent


def resting(wait: Wait, state: SocketState) -> Judgement:
    """A connection of a server's pool, between two uses."""
    says = "a connection that rests while its program waits for clients"
    steps = [Step(f"ss -tnoi dst {ss_host(state)}")]
    refuted_by = "a client that waits for what this connection has to bring"
    return _at_rest(wait, state, "resting", 11, says, f"{exchange(state)}.", next_steps=steps, refuted_by=refuted_by)


def anybody(wait: Wait, state: SocketState) -> Judgement:
    """It waits for the next message of whoever sends one."""
    says = "it waits for the next message, whoever sends one"
    normal = "normal for a daemon, a hang only for a job that expects an answer there."
    steps = [Step(why=f"is anything sent to {name_of(state)}?")]
    refuted_by = "a question that this very process has sent from this socket: then the answer is missing"
    return _at_rest(wait, state, "messages", 12, says, normal, next_steps=steps, refuted_by=refuted_by)


def accepting(wait: Wait, state: SocketState) -> Judgement:
    """It waits for a client to connect."""
    says = "it is a server that waits for a client to connect"
    normal = "normal for a daemon, a hang only for a job that expects to be called back."
    steps = [Step(f"ss -ltn 'sport = :{state.local.port if state.local is not None else 0}'")]
    refuted_by = "a connection waiting in the listen queue (Recv-Q above 0)"
    return _at_rest(
        wait, state, "accept", 12, says, normal, next_steps=steps, refuted_by=refuted_by, confidence="confirmed"
    )


def serving(wait: Wait, state: SocketState) -> Judgement:
    """It waits for the next request of a client."""
    says = "the server's side of a connection, it waits for the client's next bytes"
    steps = [Step(f"ss -tnoi dst {ss_host(state)}")]
    refuted_by = "the client waits for this server: then the request got lost or is only half here"
    normal = f"{exchange(state)}. Normal between requests."
    return _at_rest(wait, state, "server", 30, says, normal, next_steps=steps, refuted_by=refuted_by)


def _at_rest(
    wait: Wait, state: SocketState, variant: str, weight: int, says: str, normal: str, **more: Any
) -> Judgement:
    """A wait of a server that is no hang."""
    headline = f"{at(wait, state)}: {says}"
    fields = {"severity": "info", "confidence": "likely", **more}
    return finish(wait, wait.finding("hung-read", variant, f"{headline}; {normal}", **fields), weight, headline)
