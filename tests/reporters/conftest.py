"""Analyses of short logs, through the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.model import Analysis, Input, Keep
from systrace.pipeline import analyze

Analyse = Callable[..., Analysis]

REFUSED = """\
9 1700000100.000000 execve("./job.sh", ["./job.sh"], 0x7ff /* 6 vars */) = 0 <0.0001>
9 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>
9 1700000100.200000 connect(3, {sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("192.0.2.10")}, 16) \
= -1 ECONNREFUSED (Connection refused) <0.001000>
9 1700000100.300000 close(3) = 0 <0.000010>
9 1700000100.400000 exit_group(1) = ?
9 1700000100.500000 +++ exited with 1 +++
"""

HUNG = """\
9 1700000100.000000 execve("/usr/bin/fetch", ["fetch"], 0x7ff /* 6 vars */) = 0 <0.0001>
9 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 4 <0.000010>
9 1700000100.200000 connect(4, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.20")}, 16) = 0 \
<0.030000>
9 1700000100.300000 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, "\\1\\0", 16) = 0 <0.000010>
9 1700000105.300000 sendto(4, "GET / HTTP/1.0\\r\\n\\r\\n", 18, 0, NULL, 0) = 18 <0.000050>
9 1700000105.400000 recvfrom(4, 0x7ffe, 4096, 0, NULL, NULL) = ? ERESTARTSYS \
(To be restarted if SA_RESTART is set) <60.0>
9 1700000165.400000 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---
9 1700000165.500000 +++ killed by SIGTERM +++
"""


def healthy(connections: int) -> str:
    """A log of connections that each send and receive and close."""
    lines = ['9 1700000100.000000 execve("/usr/bin/fetch", ["fetch"], 0x7ff /* 6 vars */) = 0 <0.0001>']
    for at in range(connections):
        lines += [
            f"9 {1700000101 + at}.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 4 <0.000010>",
            f"9 {1700000101 + at}.200000 connect(4, {{sa_family=AF_INET, sin_port=htons(7), "
            f'sin_addr=inet_addr("192.0.2.{at % 250}")}}, 16) = 0 <0.001000>',
            f'9 {1700000101 + at}.300000 sendto(4, "ping", 4, 0, NULL, 0) = 4 <0.000010>',
            f'9 {1700000101 + at}.310000 recvfrom(4, "pong", 99, 0, NULL, NULL) = 4 <0.000010>',
            f'9 {1700000101 + at}.320000 recvfrom(4, "", 99, 0, NULL, NULL) = 0 <0.000010>',
            f"9 {1700000101 + at}.330000 close(4) = 0 <0.000010>",
        ]
    return "\n".join([*lines, "9 1700000999.000000 +++ exited with 0 +++", ""])


@pytest.fixture(scope="session")
def analyse() -> Analyse:
    """Text of a log -> Analysis."""

    def run(log: str | bytes, watch: str | None = None) -> Analysis:
        raw = log.encode() if isinstance(log, str) else log
        return analyze([Input("job.strace", raw.splitlines(keepends=True))], keep=Keep(calls_of=watch))

    return run


@pytest.fixture
def refused(analyse: Analyse) -> Analysis:
    """A connect that is refused."""
    return analyse(REFUSED)


@pytest.fixture
def hung(analyse: Analyse) -> Analysis:
    """A read that ended with SIGTERM."""
    return analyse(HUNG, "S1")


@pytest.fixture
def logs() -> dict[str, str]:
    """The texts themselves."""
    return {"refused": REFUSED, "hung": HUNG, "healthy": healthy(3), "many": healthy(40)}
