"""Envoy's default access log ("Access logging", default format string)."""

from __future__ import annotations

import re
from datetime import datetime

from systrace.serverlogs import Entry, Format, log_format
from systrace.serverlogs.fields import amount, request, status_of

_LINE = re.compile(
    r'\[(\d{4}-\d\d-\d\dT[\d:.]{8,18}Z)\] "((?:[^"\\]|\\.){0,8000})" (\d+) (\S+) (?:\S+ \S+ "[^"]*" )?(\d+) (\d+) '
    r'(\d{1,12}) (\S+) "([^"]*)" "[^"]*" "[^"]*" "([^"]*)" "([^"]*)"'
)
_CLIENT, _SERVER = {"DC", "DPE"}, {"UT", "UF", "UH", "UC", "URX", "NR"}  # response flags


@log_format
class Envoy(Format):
    """The time in brackets is the beginning."""

    name = "Envoy"
    example = (
        '[2026-11-28T10:00:00.000Z] "GET /nightly HTTP/1.1" 200 - 0 366 363600 363598 "198.51.100.7" "python-requests/2.32" '
        '"cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "reports.example" "10.0.1.5:80"'
    )

    def entry(self, text: str, line: int) -> Entry | None:
        """See `Format`."""
        found = _LINE.match(text)
        if found is None:
            return None
        time, asked, status, flags, _received, sent, took, _upstream, forwarded, host, _server = found.groups()
        moment = datetime.fromisoformat(time)
        start = int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
        lasted = int(took) * 1_000_000
        method, target = request(asked)
        said = set(flags.split(","))
        gave_up = "client" if said & _CLIENT else "server" if said & _SERVER else ""
        client = forwarded.split(",")[0].strip() if forwarded != "-" else ""
        return Entry(
            line, start + lasted, lasted, status_of(status), method, target, client, None, amount(sent),
            host if host != "-" else "", gave_up,
        )  # fmt: skip
