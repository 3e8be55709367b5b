"""What a thread that waits for many descriptors waits for in truth: epoll sets within others, and timers among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from systrace import calls
from systrace.kernel import procfs
from systrace.look.nouns import Call, Descriptor

_DEEPEST = 5  # EP_MAX_NESTS of fs/eventpoll.c is 4
Watched = Mapping[int, tuple[tuple[int, str], ...]]


def followed(pid: int, call: Call | None, descriptors: tuple[Descriptor, ...], watched: Watched) -> Call | None:
    """The call with what its epoll descriptors watch in their place, and the earliest of its timerfds as its limit."""
    if call is None:
        return None
    if call.name in calls.EPOLLS and call.fd is not None:
        call = replace(call, fds=_expanded(watched.get(call.fd, ()), watched, 1))
    elif call.name in calls.POLLS | calls.SELECTS:
        call = replace(call, fds=_expanded(call.fds, watched, 0))
    timers = {d.fd for d in descriptors if d.kind == "timerfd"}
    waited = {fd for fd, direction in call.fds if "r" in direction}
    left = [ns for fd in timers & waited if (ns := procfs.timerfd_left_ns(pid, fd)) is not None]
    if left and (call.limit_ns is None or min(left) < call.limit_ns):
        call = replace(call, limit_ns=min(left), left_ns=min(left), limit_source="timerfd")
    return call


def _expanded(fds: tuple[tuple[int, str], ...], watched: Watched, depth: int) -> tuple[tuple[int, str], ...]:
    if depth >= _DEEPEST or not any(fd in watched for fd, _ in fds):
        return fds
    found: dict[tuple[int, str], None] = {}
    for entry in fds:
        inner = _expanded(watched[entry[0]], watched, depth + 1) if entry[0] in watched else (entry,)
        found.update(dict.fromkeys(inner))
    return tuple(found)
