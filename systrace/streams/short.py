"""Calls that moved fewer bytes than asked, where that says something: recv(2) MSG_WAITALL, a send that waits for room."""

from __future__ import annotations

import re

from systrace.model import Record, Transfer

_ASKED = re.compile(rb'"(?:\.\.\.)?, (?:\w+=)?(\d{1,18})(?:[,)]|\Z)')
_TAIL = 200  # bytes: flags, and an address that sendto shows


def asked_of(record: Record) -> int | None:
    """The count argument of read, write, send, recv and kin, which follows the string; None where it does not show."""
    found = None
    for found in _ASKED.finditer(record.args, max(0, len(record.args) - _TAIL)):
        pass
    return int(found[1]) if found is not None else None


def is_short(event: Transfer) -> bool:
    """The call moved something, and less than was asked for."""
    asked = asked_of(event.record)
    return asked is not None and 0 < event.size < asked
