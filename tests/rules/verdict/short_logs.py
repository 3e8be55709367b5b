"""Short logs for tests of verdicts: lines with a thread and seconds, and what often stands in them."""

from __future__ import annotations

import re

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

TO = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("192.0.2.%d")}, 16'
REFUSED = "-1 ECONNREFUSED (Connection refused) <0.001>"
STREAM, DGRAM = "AF_INET, SOCK_STREAM, IPPROTO_TCP", "AF_INET, SOCK_DGRAM, IPPROTO_UDP"
SENT = '9 1.2 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.0001>'
STANDS = [f"9 1.0 socket({STREAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (80, 7)}) = 0 <0.0001>", SENT]


def judged(*lines: str, torn: str = "") -> Analysis:
    """The analysis of a log of these lines, each with a thread and seconds; `torn` is a last line without its end."""
    clock = re.compile(r"^((?:\d+ )?)(\d+)\.(\d+)")
    text = "".join(clock.sub(_clock, line) + "\n" for line in lines) + clock.sub(_clock, torn)
    return analyze([Input("log", text.encode().splitlines(keepends=True))])


def _clock(found: re.Match[str]) -> str:
    return f"{found[1]}{1_700_000_000 + int(found[2])}.{found[3]:0<6}"
