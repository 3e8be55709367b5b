"""A server that accepts and stays silent: the other end of an idle test, where real servers would close first."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from systrace.errors import CaptureError
from systrace.probes.target import joined

_MOST = 256  # connections held; more are closed at once
_TICK_S = 3600.0


def listen(host: str, port: int) -> socket.socket:
    """On one address, or on all of both families where `host` is empty.

    Raises:
        CaptureError: the port is taken, or may not be.
    """
    six = ":" in host or (not host and socket.has_dualstack_ipv6())
    try:
        family = socket.AF_INET6 if six else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_MOST, dualstack_ipv6=not host and six)
    except OSError as error:
        raise CaptureError(f"cannot listen on {joined(host or '*', port)}: {error.strerror}") from None


def serve(listener: socket.socket, say: Callable[[str], None], for_s: float | None = None) -> None:
    """Hold what comes until the peer ends it, or the time is over; nothing is sent, what is sent to it is thrown away."""
    until = None if for_s is None else time.monotonic() + for_s
    poll, held = select.poll(), dict[int, tuple[socket.socket, str, float]]()
    poll.register(listener, select.POLLIN)
    try:
        while until is None or time.monotonic() < until:
            left = _TICK_S if until is None else until - time.monotonic()
            for fd, _ in poll.poll(max(left, 0) * 1000 + 1):
                if fd == listener.fileno():
                    _accept(listener, poll, held, say)
                elif _ended(held[fd][0]):
                    one, peer, since = held.pop(fd)
                    poll.unregister(fd)
                    one.close()
                    say(f"{peer} ended after {time.monotonic() - since:.1f} s")
    finally:
        for one, _, _ in held.values():
            one.close()
        listener.close()


def _accept(
    listener: socket.socket,
    poll: select.poll,
    held: dict[int, tuple[socket.socket, str, float]],
    say: Callable[[str], None],
) -> None:
    try:
        one, peer = listener.accept()
    except OSError:
        return  # it went away meanwhile
    if len(held) >= _MOST:
        one.close()
        return
    one.setblocking(False)
    name = joined(peer[0].removeprefix("::ffff:"), peer[1])
    held[one.fileno()] = one, name, time.monotonic()
    poll.register(one, select.POLLIN)
    say(f"{name} connected ({len(held)} held)")


def _ended(one: socket.socket) -> bool:
    try:
        return not one.recv(1 << 16)
    except BlockingIOError:
        return False
    except OSError:
        return True
