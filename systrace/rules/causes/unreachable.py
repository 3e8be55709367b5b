"""Peers that somebody says cannot be reached: this host's routes, a router, a firewall; for connections and datagrams."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import Connected, Draft, Sent, Socket, Step
from systrace.rules.case.datagrams import rejection
from systrace.rules.case.index import SECOND, Case, where
from systrace.rules.causes.connecting import attempted, failed, unnamed
from systrace.rules.causes.resources import lacks_ports
from systrace.rules.examples import connects, exits
from systrace.rules.rule import Phase, rule
from systrace.words import seconds

_UNREACHABLE = {
    "EHOSTUNREACH": "a router or the neighbour look-up said: host unreachable",
    "ENETUNREACH": "there is no route to that network",
    "EACCES": "the connection is forbidden by policy (prohibit route, SELinux or ICMP admin-prohibited)",
    "EPERM": "the connection is forbidden by policy (cgroup filter, local firewall or seccomp)",
    "EINVAL": "the route is a blackhole, or the address is not usable",
    "ENETDOWN": "the network interface is down",
    "EHOSTDOWN": "the host is down",
    "ENOPROTOOPT": "ICMP protocol unreachable",
    "ENODEV": "the network interface is gone",
    "EADDRNOTAVAIL": "this host has no IPv6 address to connect from",
}
_SAY_SO = _UNREACHABLE.keys() - {"EINVAL"}  # of a datagram: an address or a length that does not fit


@rule(
    "unreachable",
    phase=Phase.CONNECT,
    of_connect=True,
    on_path=True,
    fires=connects("-1 EHOSTUNREACH (No route to host) <3.06>", 443) + exits("4.1", 1),
    silent="9 1.0 connect(3, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
    'inet_pton(AF_INET6, "2001:db8::7", &sin6_addr), sin6_scope_id=0}, 28)'
    " = -1 ENETUNREACH (Network is unreachable) <0.0001>\n" + connects("0 <0.01>", 443, "1.1", fd=4) + exits("1.3"),
)
def unreachable(case: Case) -> Iterator[Draft]:
    """The network said that the peer cannot be reached, or policy forbids it.

    What it is: connect(2) gave EHOSTUNREACH, ENETUNREACH, EACCES, EPERM or a sibling.
    Why it matters: somebody answered: this host's routing table, the neighbour look-up, a router or a firewall.
    What proves it: the errno, and when it came: microseconds mean a local decision, 3 s the ARP/NDP look-up,
        a round trip an ICMP error.
    Not this: IPv6 tried first on a host without IPv6, with IPv4 succeeding: that is fallback-ok.
    What to do: repair route, gateway, subnet mask or the rejecting firewall rule.
    Source: connect(2), ip(7), RFC 1122 3.2.2.1
    """
    for socket, attempt in failed(case, *_UNREACHABLE):
        if lacks_ports(case, attempt):
            continue
        finding = attempted(case, "unreachable", socket, attempt)
        waited = attempt.duration_ns
        when = "at once: a decision of this host" if waited is not None and waited < SECOND // 100 else seconds(waited)
        if waited is not None and 2.5 * SECOND < waited < 3.6 * SECOND:
            when = "3 s: neither the host nor its gateway answered the neighbour look-up (ARP/NDP)"
        finding.variant = (attempt.errno or "").lower()
        finding.summary = (
            f"{case.user(socket)}: connect to {finding.peer} failed with {attempt.errno} "
            f"({when}): {_UNREACHABLE[attempt.errno or '']}."
        )
        host, _ = where(attempt.peer)
        finding.causes = [
            "the host or its gateway is down, or the subnet mask is wrong (3 s, ARP)",
            "a firewall rejects with an ICMP error (one round trip)",
            "no route, a prohibit route, or a policy on this host (microseconds)",
        ]
        finding.next_steps = [Step(f"ip route get {host}; ip neigh show {host}"), Step("tcpdump -ni any icmp or icmp6")]
        finding.remedy = ["repair the route, gateway or firewall rule that answered"]
        finding.refuted_by = "a successful connect to the same address at the same time"
        yield finding
    yield from unnamed(case, "unreachable")
    yield from _rejected_datagrams(case)


def _rejected_datagrams(case: Case) -> Iterator[Draft]:
    """Datagrams that could not be sent, or that somebody on the way rejected by ICMP: nothing is ever established."""
    for socket in case.clients:
        if socket.type not in ("dgram", "raw") or not socket.is_network or case.is_dns(socket) or socket.received.calls:
            continue
        fault = rejection(socket, _SAY_SO)
        if fault is None or case.fate(case.process(socket)) not in ("failed", "killed"):
            continue
        errno, event = fault.errno or "", fault.event
        if isinstance(event, Connected) and (_has_others(case, socket) or _found_another(socket)):
            continue  # so a resolver finds out which of its addresses may be used (RFC 6724)
        finding = case.finding("unreachable", socket, [*socket.timeline[:3], event])
        finding.severity, finding.confidence, finding.variant = "fatal", "confirmed", errno.lower()
        finding.end_ns = case.ended(event)
        sent = socket.sent.calls and not isinstance(event, Sent)
        how = "was answered with" if sent else "could not be sent:"
        what = f"a datagram to {case.label(socket)} {how}"
        if isinstance(event, Connected):
            what = f"connect to {case.label(socket)} over UDP failed with"
        finding.summary = f"{case.user(socket)}: {what} {errno}: {_UNREACHABLE[errno]}."
        host, _ = where(socket.peer)
        finding.causes = [
            "no route, or a policy of this host (at once)",
            "a router or firewall rejects (one round trip)",
        ]
        finding.next_steps = [
            Step(f"ip route get {host}; ip neigh show {host}"),
            Step("nft list ruleset; iptables -S OUTPUT"),
        ]
        finding.remedy = ["repair the route, gateway or firewall rule that answered"]
        finding.refuted_by = "an answer from the same address at the same time"
        yield finding


def _found_another(socket: Socket) -> bool:
    """It could be connected to another address: one of datagrams may try them in turn (connect(2))."""
    connects = (event for event in socket.timeline if isinstance(event, Connected) and event.record.errno is None)
    return any(each.peer is not None and each.peer.family != "unspec" for each in connects)


def _has_others(case: Case, socket: Socket) -> bool:
    """Its process uses other sockets, too."""
    return any(other is not socket and case.process(other) is case.process(socket) for other in case.clients)
