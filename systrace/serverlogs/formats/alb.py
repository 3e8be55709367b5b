"""AWS Application Load Balancer (guide "Access logs for your Application Load Balancer", fields in this order)."""

from __future__ import annotations

import re
from datetime import datetime

from systrace.serverlogs import Entry, Format, log_format
from systrace.serverlogs.fields import amount, host_of, port_of, request, seconds_ns, status_of

_FIELDS = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_TYPES = ("http", "https", "h2", "grpcs", "ws", "wss")
_LEAST = 22
_GAVE_UP = 460  # the client closed the connection before the idle limit


@log_format
class Alb(Format):
    """`time` is when the answer was sent; the start is in `request_creation_time`."""

    name = "ALB"
    example = (
        "https 2026-11-28T10:06:03.600000Z app/jobs/50dc 198.51.100.7:41234 10.0.1.5:80 0.001 363.598 0.001 200 200 "
        '34 366 "GET https://reports.example:443/nightly HTTP/1.1" "python-requests/2.32" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 '
        'arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/t/1 "Root=1-58337281-1d84f3d73c47ec4e58577259" "reports.example" '
        '"-" 0 2026-11-28T10:00:00.000000Z "forward" "-" "-" "10.0.1.5:80" "200" "-" "-"'
    )

    def entry(self, text: str, line: int) -> Entry | None:
        """See `Format`."""
        words = [quoted or plain for quoted, plain in _FIELDS.findall(text)]
        if len(words) < _LEAST or words[0] not in _TYPES:
            return None
        end = _ns(words[1])
        client, _colon, port = words[3].rpartition(":")
        took = [seconds_ns(word) for word in words[5:8]]
        status = status_of(words[8])
        method, target = request(words[12])
        gave_up = "client" if status == _GAVE_UP else ""
        if status in (502, 503, 504) and words[9] == "-":
            gave_up = "server"
        start = _start(words[21])
        whole = end - start if start is not None else sum(t for t in took if t is not None) if any(took) else None
        return Entry(
            line, end, whole, status, method, target, client.strip("[]"), port_of(port),
            amount(words[11]), words[18] if words[18] != "-" else host_of(target), gave_up,
        )  # fmt: skip


def _start(text: str) -> int | None:
    try:
        return _ns(text)
    except ValueError:
        return None


def _ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
