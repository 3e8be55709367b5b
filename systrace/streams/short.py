"""Calls that moved fewer bytes than asked, where that says something: recv(2) MSG_WAITALL, a send that waits for room."""

from __future__ import annotations

import re

from systrace.model import Received, Record, Transfer

_ASKED = re.compile(rb'"(?:\.\.\.)?, (?:\w+=)?(\d{1,18})(?:[,)]|\Z)')
_MANY = 2048  # bytes: a full buffer takes many before it takes fewer than offered
_TAIL = 200  # bytes: flags, and an address that sendto shows


def asked_of(record: Record) -> int | None:
    """The count argument of read, write, send, recv and kin, which follows the string; None where it does not show."""
    found = _ASKED.findall(record.args, max(0, len(record.args) - _TAIL))
    return int(found[-1]) if found else None


def is_short(event: Transfer) -> bool:
    """The call moved something, and less than was asked for."""
    asked = asked_of(event.record)
    return asked is not None and 0 < event.size < asked


def is_end(event: Transfer) -> bool:
    """A receive that returned 0 on a stream: the end, seen by a peek too, unless nothing was asked for (recv(2))."""
    return type(event) is Received and (b"MSG_PEEK" not in event.flags or bool(asked_of(event.record)))


def left_over(event: Transfer) -> bool:
    """A send that took less than it was given."""
    if event.record.syscall == "write":
        asked = event.record.args.rpartition(b", ")[2]
        return asked.isdigit() and int(asked) > event.size
    return event.size >= _MANY and is_short(event)
