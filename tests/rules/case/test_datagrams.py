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


PROBE = (
    "9 1.1 connect(3, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
    'inet_pton(AF_INET6, "2001:db8::9", &sin6_addr), sin6_scope_id=0}, 28)'
    " = -1 ENETUNREACH (Network is unreachable) <0.0001>\n9 1.2 connect(3, {sa_family=AF_UNSPEC}, 16) = 0 <0.0001>\n"
)


def test_one_that_could_be_connected_to_another_address_is_none_either() -> None:
    """The same socket is used for all addresses, and these tables name only the last."""
    lone = "9 0.9 socket(AF_INET6, SOCK_DGRAM, IPPROTO_IP) = 3 <0.0001>\n" + PROBE
    assert judged(lone, connects("0 <0.0001>", 443, "1.3"), FAIL).findings == []
    assert judged(lone, FAIL).verdict.cause == "unreachable"


METRIC = (
    "9 {at}1 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 7 <0.0001>\n"
    '9 {at}2 sendto(7, "jobs:1|c", 8, 0, {{sa_family=AF_INET, sin_port=htons(8125), sin_addr=inet_addr("192.0.2.8")}}, 16)'
    " = 8 <0.0001>\n"
)
REFUSAL = "9 1.1 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n" + connects(
    "-1 ECONNREFUSED (Connection refused) <0.0001>", 80, "1.2"
)


@pytest.mark.parametrize("order", [(METRIC.format(at="1.0"), REFUSAL), (REFUSAL, METRIC.format(at="1.9"))])
def test_nobody_waits_for_an_answer_to_a_metric(order: tuple[str, str]) -> None:
    """In a log without waits (-e trace=network) what nobody answers looks like a request given up; statsd never answers."""
    job = "socket(AF_UNIX, SOCK_DGRAM, 0) = 9\n"  # no call but those of the network
    verdict = judged(f"9 0.5 {job}", *order, FAIL).verdict
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("failed", "connect-refused", "192.0.2.7:80")
    assert judged(f"9 0.5 {job}", METRIC.format(at="1.0"), FAIL).verdict.cause == "inconclusive"


def test_one_who_tries_to_receive_waits() -> None:
    """The same datagram, and a look for what came."""
    looks = "9 1.5 recvfrom(7, 0x7f, 9, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.0001>\n"
    verdict = judged(METRIC.format(at="1.0"), looks, "9 4.0 +++ exited with 1 +++\n").verdict
    assert (verdict.cause, verdict.peer) == ("read-timeout", "192.0.2.8:8125")
