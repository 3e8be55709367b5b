"""Datagrams that came to nothing: nothing is ever established, so an error is all there is (udp(7), ip(7))."""

from __future__ import annotations

from collections.abc import Container

from systrace.model import Fault, Received, Socket


def rejection(socket: Socket, errnos: Container[str]) -> Fault | None:
    """The first error by which this host, a router or the peer rejected what went out, of those asked for."""
    return next((fault for fault in socket.faults if fault.errno is not None and fault.errno in errnos), None)


def expects_answers(socket: Socket) -> bool:
    """Whether anybody waits for what a socket's peer says: of datagrams that are sent and forgotten (statsd, syslog)
    nobody does.
    """
    if socket.type != "dgram" or socket.app_protocol is not None:
        return True
    return any(isinstance(event, Received) for event in socket.timeline)
