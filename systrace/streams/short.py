"""Calls that moved fewer bytes than asked, where that says something: recv(2) MSG_WAITALL, a send that waits for room."""

from __future__ import annotations

from systrace.model import Received, Transfer

_MANY = 2048  # bytes: a full buffer takes many before it takes fewer than offered


def is_short(event: Transfer) -> bool:
    """The call moved something, and less than was asked for."""
    asked = event.asked()
    return asked is not None and 0 < event.size < asked


def is_end(event: Transfer) -> bool:
    """A receive that returned 0 on a stream: the end, seen by a peek too, unless nothing was asked for (recv(2))."""
    if type(event) is not Received:
        return False
    asked = event.asked()
    return asked != 0 and (b"MSG_PEEK" not in event.flags or asked is not None)


def left_over(event: Transfer) -> bool:
    """A send that took less than it was given."""
    if event.record.syscall == "write":
        asked = event.record.args.rpartition(b", ")[2]
        return asked.isdigit() and int(asked) > event.size
    return event.size >= _MANY and is_short(event)
