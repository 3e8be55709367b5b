"""At the other end, within a VPC: the subnet's ACL, the interface's groups, and what kind of service answers there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from systrace.cloud.aws.calls import LISTS
from systrace.cloud.aws.groups import Other
from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.records import dicts, text, texts
from systrace.cloud.aws.steps import Step, allowed, blocked
from systrace.dataclass import dataclass

if TYPE_CHECKING:
    from systrace.cloud.aws.walk import Walk

_PRIVATELINK_S = 350


@dataclass(frozen=True, slots=True)
class Sender:
    """Who comes, as the other end sees it."""

    address: str
    groups: frozenset[str]
    subnet: str  # "" where it comes from outside
    answers: Ports  # that it is answered at
    whose: str
    private: bool = True


def arrive(walk: Walk, there: Interface, sender: Sender) -> None:
    """All filters of the other end, then the service itself."""
    from systrace.cloud.aws import balancers, databases

    if there.kind == "vpc_endpoint":
        there = _with_own_groups(walk, there)
    same = there.subnet == sender.subnet
    if not same:
        walk.acl("acl-in", there.subnet, sender.address, walk.wanted, inbound=True)
    other = Other(sender.address, sender.groups, sender.private)
    walk.group("security-group-in", there, other, inbound=True)
    if not same:
        walk.acl("acl-out-answer", there.subnet, sender.address, sender.answers, inbound=False, whose=sender.whose)
    if there.kind == "vpc_endpoint":
        _endpoint(walk, there)
    elif there.description.startswith("ELB "):
        balancers.arrive(walk, there, sender)
    elif databases.concerns(walk, there):
        databases.arrive(walk, there)
    elif there.instance:
        _instance(walk, there)


def _with_own_groups(walk: Walk, there: Interface) -> Interface:
    """An interface endpoint's groups stand at the endpoint; its interfaces have the same."""
    from dataclasses import replace

    try:
        found = walk.inventory.found("VpcEndpoints", lambda each: there.identity in texts(each, "NetworkInterfaceIds"))
    except MissingError:
        return there
    groups = tuple(text(each, "GroupId") for each in dicts(found or {}, "Groups"))
    return replace(there, groups=groups) if groups else there


def _endpoint(walk: Walk, there: Interface) -> None:
    walk.limit(there.identity, "interface endpoint (PrivateLink)", _PRIVATELINK_S, "silent")

    def judge() -> Step:
        found = walk.inventory.found("VpcEndpoints", lambda each: there.identity in texts(each, "NetworkInterfaceIds"))
        if found is None:
            raise MissingError(
                f"the endpoint that {there.identity} belongs to is not among those that were read",
                f"`{LISTS['VpcEndpoints'].command}` of its owner",
            )
        identity, state = text(found, "VpcEndpointId"), text(found, "State")
        if state.lower() != "available":
            return blocked(
                "endpoint",
                identity,
                f"{identity} is {state}",
                change="whoever offers the service accepts the endpoint",
            )
        return allowed("endpoint", identity, f"{identity} ({text(found, 'ServiceName')}) is available")

    walk.run("endpoint", there.identity, judge)


def _instance(walk: Walk, there: Interface) -> None:
    """One that is stopped keeps its address, and answers nothing."""

    def judge() -> Step:
        state = text(walk.inventory.instance(there.instance), "State", "Name")
        if state != "running":
            return blocked("instance", there.instance, f"{there.instance} is {state}", change=f"start {there.instance}")
        return allowed("instance", there.instance, f"{there.instance} is running")

    walk.run("instance", there.instance, judge)
