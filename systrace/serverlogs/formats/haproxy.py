"""HAProxy's HTTP log format (configuration manual, 8.2.3)."""

from __future__ import annotations

import re

from systrace.serverlogs import Entry, Format, log_format
from systrace.serverlogs.fields import amount, common_time, request, status_of

_LINE = re.compile(
    r"(?:.{0,200}? )?(\S+):(\d{1,5}) \[([^\]]{20,28})\] \S+ (\S+) "
    r"(?:-?\d+/){4}\+?(-?\d{1,12}) (-1|\d{3}) \+?(\d+) \S+ \S+ (\S{4}) \S+ \S+ .{0,2000}?\"((?:[^\"\\]|\\.){0,8000})\"?"
)
_MS = 1_000_000


@log_format
class Haproxy(Format):
    """The time in brackets is that of the connection's acceptance, in the proxy's own zone."""

    name = "HAProxy"
    zoned = False
    example = (
        "haproxy[14389]: 198.51.100.7:41234 [28/Nov/2026:10:00:00.000] http-in jobs/srv1 0/0/1/363598/363600 200 366 - - ---- "
        '1/1/0/0/0 0/0 "GET /nightly HTTP/1.1"'
    )

    def entry(self, text: str, line: int) -> Entry | None:
        """See `Format`."""
        found = _LINE.match(text)
        if found is None:
            return None
        client, port, time, server, total, status, size, state, asked = found.groups()
        start = common_time(time)
        took = int(total) * _MS if int(total) >= 0 else None
        method, target = request(asked)
        gave_up = "client" if state[0] in "Cc" else "server" if state[0] in "sS" or server.endswith("<NOSRV>") else ""
        end = start + (took or 0)
        return Entry(line, end, took, status_of(status), method, target, client, int(port), amount(size), "", gave_up)
