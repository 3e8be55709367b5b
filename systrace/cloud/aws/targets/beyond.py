"""Where this account's rules end: what comes then is somebody else's, and it is said whom to ask."""

from __future__ import annotations

from systrace.cloud.aws import interfaces
from systrace.cloud.aws.records import text
from systrace.cloud.aws.routes import Route
from systrace.cloud.aws.steps import UNKNOWN, Step, allowed, blocked
from systrace.cloud.aws.targets import target
from systrace.cloud.aws.walk import Walk

_WHOM = {
    "tgw": ("a transit gateway", "its owner: the route table of the attachment, and the route back to {own}"),
    "vgw": (
        "a virtual private gateway (VPN, Direct Connect)",
        "the network beyond: does it route {own} back, and its firewall",
    ),
    "lgw": ("a local gateway (Outposts)", "who runs the network of the Outpost: the way to {peer} and back to {own}"),
    "cagw": ("a carrier gateway (Wavelength)", "the carrier's network: whether {peer} may be reached from {own}"),
    "arn": (
        "a core network (Cloud WAN) or another service's network",
        "its owner: segment, policy, and the route back to {own}",
    ),
}


@target(*_WHOM)
def gateway(walk: Walk, route: Route) -> None:
    """Gateways to other networks."""
    kind = "arn" if route.target.startswith("arn:") else route.target.partition("-")[0]
    what, whom = _WHOM[kind]
    ask = whom.format(own=walk.own, peer=walk.question.peer)
    walk.note("beyond", UNKNOWN, route.target, f"{route.destination} goes through {what}: beyond is unknown", ask=ask)


@target("pcx")
def peering(walk: Walk, route: Route) -> None:
    """A peering connection: its state; the other VPC's rules are its owner's."""

    def judge() -> Step:
        record = walk.inventory.one("VpcPeeringConnections", "VpcPeeringConnectionId", route.target)
        state = text(record, "Status", "Code")
        if state != "active":
            return blocked(
                "peering",
                route.target,
                f"{route.target} is {state}",
                change="accept it, or make a new one",
            )
        return allowed("peering", route.target, f"{route.target} is active")

    walk.run("peering", route.target, judge)
    walk.note(
        "beyond",
        UNKNOWN,
        route.target,
        "beyond the peering connection the other VPC's rules decide",
        ask=(
            f"the owner of the other VPC: its route back to {walk.own}, network ACL and security groups for "
            f"{walk.question.service} of {walk.question.peer}"
        ),
    )


@target("eni", "i")
def appliance(walk: Walk, route: Route) -> None:
    """An instance that forwards: a firewall, a proxy, a NAT instance."""

    def judge() -> Step:
        field = "NetworkInterfaceId" if route.target.startswith("eni-") else "InstanceId"
        found = walk.inventory.found(
            "NetworkInterfaces",
            lambda each: route.target in (text(each, field), text(each, "Attachment", "InstanceId")),
        )
        if found is None:
            walk.check_visible()
            return blocked(
                "appliance",
                route.target,
                f"{route.target} does not exist (any more)",
                change=f"point {route.destination} in {route.table} to something that exists",
            )
        there = interfaces.Interface.of(found)
        if found.get("SourceDestCheck") is True:
            said = f"{there} checks source and destination: it drops what is not addressed to itself"
            return blocked(
                "appliance", there.identity, said, change=f"switch the source/destination check of {there.identity} off"
            )
        return allowed("appliance", there.identity, f"{there} forwards")

    walk.run("appliance", route.target, judge)
    walk.note(
        "beyond",
        UNKNOWN,
        route.target,
        f"{route.destination} goes through an appliance ({route.target})",
        ask=f"who runs it: its own rules, state table and idle limit for {walk.question.service}",
    )
