"""A NAT gateway: its state, its own subnet's network ACL four ways, its own route, and a limit of 350 s on silence.

Answers come back to it at 1024-65535, to the job at the ports of its host: two different intervals.
Source: VPC user guide, NAT gateways, and troubleshooting them ("Internet connection drops after 350 seconds").
"""

from __future__ import annotations

from systrace.cloud.aws.ports import NAT_PORTS
from systrace.cloud.aws.records import Record, dicts, text
from systrace.cloud.aws.routes import Route
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, UNKNOWN, Step, allowed, blocked
from systrace.cloud.aws.targets import target
from systrace.cloud.aws.targets.internet_gateway import outside, public_access
from systrace.cloud.aws.walk import Walk
from systrace.idle_limits import nat_s

_NAMED = " (the ports of NAT)"


@target("nat")
def nat_gateway(walk: Walk, route: Route) -> None:
    """Through it and on."""
    identity = route.target
    step = walk.run("nat-gateway", identity, lambda: _state(walk, identity))
    if step.outcome != ALLOWED:
        return
    if walk.question.protocol == "tcp":
        walk.limit(identity, "NAT gateway", nat_s(), "reset")
    if ":" in walk.question.peer:
        said = f"{identity} translates {walk.question.peer} to IPv4 (NAT64): what comes then is not judged here"
        walk.note("beyond", UNKNOWN, identity, said, ask="ask again with the IPv4 address of the peer")
        return
    record = walk.inventory.one("NatGateways", "NatGatewayId", identity)
    subnet, peer = text(record, "SubnetId"), walk.question.peer
    if not subnet:  # a regional one (AvailabilityMode) stands in no subnet, and has a route table of its own
        walk.note(
            "nat-route",
            UNKNOWN,
            identity,
            f"{identity} is regional: its own routes are not judged here",
            ask=f"the route table {text(record, 'RouteTableId')} of {identity}: has it a route to {peer}?",
        )
        return
    if subnet != walk.source.subnet:  # within one subnet no ACL is asked
        walk.acl("nat-acl-in", subnet, walk.own, walk.wanted, inbound=True)
    walk.acl("nat-acl-out", subnet, peer, walk.wanted, inbound=False)
    walk.acl("nat-acl-in-answer", subnet, peer, NAT_PORTS, inbound=True, whose=_NAMED)
    if subnet != walk.source.subnet:
        walk.acl("nat-acl-out-answer", subnet, walk.own, walk.question.answers, inbound=False, whose=walk.whose)
    onward = walk.route("nat-route", subnet, walk.source.vpc, peer)
    if onward is not None:
        _onward(walk, record, onward)


def _state(walk: Walk, identity: str) -> Step:
    """It is read from the gateway itself: a route may still look active when its target is gone."""
    gone = "point the route at a NAT gateway that is available"
    found = walk.inventory.found("NatGateways", lambda each: text(each, "NatGatewayId") == identity)
    if found is None:
        walk.check_visible()
        return blocked("nat-gateway", identity, f"{identity} does not exist (any more)", change=gone)
    state, kind = text(found, "State"), text(found, "ConnectivityType") or "public"
    if state != "available":
        why = text(found, "FailureMessage")
        said = f"{identity} is {state}{f': {why}' if why else ''}"
        return blocked("nat-gateway", identity, said, change=gone)
    return allowed(
        "nat-gateway", identity, f"{identity} ({kind}, {text(found, 'SubnetId') or 'regional'}) is available"
    )


def _onward(walk: Walk, record: Record, onward: Route) -> None:
    identity, told = text(record, "NatGatewayId"), text(record, "ConnectivityType")
    private = told != "public" and (told == "private" or not _public_address(record))
    kind = onward.target.partition("-")[0]
    if kind == "igw" and not private:
        subnet = text(record, "SubnetId")
        walk.run("block-public-access", subnet, lambda: public_access(walk, subnet, by_nat=True))
        outside(walk, _public_address(record), NAT_PORTS, _NAMED)
    elif kind == "nat":
        said = f"{text(record, 'SubnetId')}, where {identity} is, routes back to a NAT gateway ({onward.target})"
        walk.note(
            "nat-route",
            BLOCKED,
            onward.table,
            said,
            change=(f"{identity} must stand in a public subnet, whose route table leads to an internet gateway"),
        )
    elif kind == "igw":
        walk.note(
            "nat-route",
            BLOCKED,
            identity,
            f"{identity} is private: it cannot go through an internet gateway",
            change="use a public NAT gateway",
        )
    elif onward.target == "local":
        walk.note(
            "beyond",
            UNKNOWN,
            identity,
            f"behind {identity} the peer is in the VPC itself",
            ask="why the route to an address of the VPC leads through NAT",
        )
    else:
        walk.follow(onward)


def _public_address(record: Record) -> str:
    return next((text(each, "PublicIp") for each in dicts(record, "NatGatewayAddresses") if text(each, "PublicIp")), "")
