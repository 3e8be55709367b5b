"""Datagrams that somebody rejects: of a program that talks by them alone, and of a resolver that tries what has a route."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.rules.examples import FAIL, FINE, connects
from systrace.rules.pages import full_trace

SOCKET = "9 0.9 socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = 3 <0.0001>\n"
SEND = '9 1.2 sendto(3, "ping", 4, 0, NULL, 0) = {} <0.0001>\n'
ROUTE = "-1 ENETUNREACH (Network is unreachable) <0.0001>"
REFUSED = "9 1.3 recvfrom(3, 0x7f, 9, 0, NULL, NULL) = -1 ECONNREFUSED (Connection refused) <0.0001>\n"
ELSEWHERE = "9 1.4 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 4 <0.0001>\n" + connects("0 <0.001>", 80, "1.5", 4)


def judged(*lines: str) -> Analysis:
    return analyze([Input("log", full_trace("".join(lines)).encode().splitlines(keepends=True))])


@pytest.mark.parametrize(
    ("story", "cause", "variant"),
    [
        (connects("0 <0.0001>", 9999) + SEND.format("-1 EHOSTUNREACH (No route to host)"), "unreachable", "ehostunreach"),
        (connects(ROUTE, 9999), "unreachable", "enetunreach"),
        (connects("0 <0.0001>", 9999) + SEND.format(4) + REFUSED, "connect-refused", "udp"),
    ],
)  # fmt: skip
def test_who_rejected_it(story: str, cause: str, variant: str) -> None:
    verdict = judged(SOCKET, story, FAIL).verdict
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("failed", cause, "192.0.2.7:9999")
    assert judged(SOCKET, story, FAIL).findings[0].variant == variant
    assert judged(SOCKET, story, FINE).verdict.outcome == "healthy"


def test_an_address_that_a_resolver_tries_is_no_trouble() -> None:
    """getaddrinfo connects datagram sockets to learn which addresses have a route (RFC 6724); nothing is shown as failed."""
    analysis = judged(SOCKET, connects(ROUTE, 9999), "9 1.3 close(3) = 0 <0.0001>\n", ELSEWHERE, FAIL)
    assert (analysis.verdict.outcome, analysis.findings) == ("inconclusive", [])
    probe = next(s for s in analysis.evidence.sockets.values() if s.type == "dgram")
    assert [fault.kind for fault in probe.faults] == ["connect"]
