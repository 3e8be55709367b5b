"""Within the VPC: whoever has the address."""

from __future__ import annotations

from systrace.cloud.aws import interfaces
from systrace.cloud.aws.arrival import Sender, arrive
from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.routes import Route
from systrace.cloud.aws.steps import ALLOWED, Step, allowed, blocked
from systrace.cloud.aws.targets import target
from systrace.cloud.aws.walk import Walk


@target("local")
def local(walk: Walk, route: Route) -> None:
    """The interface at the peer's address, its subnet's ACL and its groups."""
    peer, vpc = walk.question.peer, walk.source.vpc

    def judge() -> Step:
        there = interfaces.at(walk.inventory, peer, vpc)
        if there is not None and there.is_loose:
            said = f"{peer} is {there}, which is attached to nothing: nobody is there"
            return blocked("destination", there.identity, said, f"attach {there.identity}, or use the address of today")
        if there is not None:
            return allowed("destination", there.identity, f"{peer} is {there}, {there.subnet}")
        walk.inventory.one("Vpcs", "VpcId", vpc)  # without it, it might be the resolver
        walk.check_visible()
        return blocked(
            "destination",
            "",
            f"no network interface in {vpc} has {peer}: nobody is there",
            change=f"the address is stale: look up {walk.question.name or 'the name'} again",
        )

    if walk.run("destination", "", judge).outcome != ALLOWED:
        return
    try:
        there = interfaces.at(walk.inventory, peer, vpc)
    except MissingError:
        return
    if there is not None:
        groups = frozenset(walk.source.groups)
        arrive(walk, there, Sender(walk.own, groups, walk.source.subnet, walk.question.answers, walk.whose))
