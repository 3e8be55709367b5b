"""Datagrams that came to nothing: nothing is ever established, so an error is all there is (udp(7), ip(7))."""

from __future__ import annotations

from collections.abc import Container

from systrace.model import Fault, Socket


def rejection(socket: Socket, errnos: Container[str]) -> Fault | None:
    """The first error by which this host, a router or the peer rejected what went out, of those asked for."""
    return next((fault for fault in socket.faults if fault.errno is not None and fault.errno in errnos), None)
