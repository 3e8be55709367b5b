"""nginx and Apache: the combined format, with the time that a request took behind it, in any place.

nginx: `$request_time` (seconds with three digits); Apache: `%D` (microseconds), `%T` (whole seconds). The time in brackets is
nginx's end of the request, and Apache's beginning: with the same `took` both are a moment apart at most where it is short.
"""

from __future__ import annotations

import re

from systrace.serverlogs import Entry, Format, log_format
from systrace.serverlogs.fields import amount, common_time, request, seconds_ns, status_of

_LINE = re.compile(r'(\S+) \S+ (.{1,200}?) \[([^\]]{20,32})\] "((?:[^"\\]|\\.){0,8000})" (\d{3}) (\d+|-)(.*)')
_DECIMAL = re.compile(r"(?<![\w.\-:/])(\d{1,7}\.\d{3,6})(?![\w.:/])")
_WHOLE = re.compile(r"(?<![\w.\-:/])(\d{4,12})\s*\Z")  # microseconds, where nothing follows; it may be something else
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_GAVE_UP = 499  # nginx: the client closed the connection


@log_format
class Combined(Format):
    """`client - user [time] "request" status bytes "referer" "agent" ...`."""

    name = "nginx or Apache"
    example = '198.51.100.7 - - [28/Nov/2026:10:06:03 +0000] "GET /nightly HTTP/1.1" 200 366 "-" "python-requests/2.32" 363.600'

    def entry(self, text: str, line: int) -> Entry | None:
        """See `Format`."""
        found = _LINE.match(text)
        if found is None:
            return None
        client, _user, time, asked, status, size, rest = found.groups()
        end = common_time(time)
        method, target = request(asked)
        took, microseconds = _took(_QUOTED.sub(" ", rest))
        if microseconds and took is not None:  # Apache notes when the request came
            end += took
        code = status_of(status)
        gave_up = "client" if code == _GAVE_UP else "server" if code in (502, 504) else ""
        sent = 0 if size == "-" else amount(size)  # Apache's %b
        return Entry(line, end, took, code, method, target, client, None, sent, "", gave_up, vague=microseconds)


def _took(rest: str) -> tuple[int | None, bool]:
    """(ns, whether it was given in microseconds)."""
    decimal = _DECIMAL.search(rest)
    if decimal is not None:
        return seconds_ns(decimal[1]), False
    whole = _WHOLE.search(rest)
    return (int(whole[1]) * 1000, True) if whole is not None else (None, False)
