"""RDS and Aurora, by the name of their endpoint: state, port, groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import Inventory
from systrace.cloud.aws.records import Record, dicts, number, text
from systrace.cloud.aws.steps import UNKNOWN, Step, allowed, blocked

if TYPE_CHECKING:
    from systrace.cloud.aws.walk import Walk

_RDS = "RDSNetworkInterface"
_SERVES = (
    "available",
    "backing-up",
    "modifying",
    "configuring-enhanced-monitoring",
    "storage-optimization",
    "upgrading",
)


def concerns(walk: Walk, there: Interface) -> bool:
    """The interface is a database's."""
    return there.description == _RDS or _named(walk.inventory, walk.question.name) is not None


def _named(inventory: Inventory, name: str) -> Record | None:
    """By an endpoint's name, in what was read."""
    wanted = name.lower().rstrip(".")
    for each in [*inventory.known("DBInstances"), *inventory.known("DBClusters")]:
        names = text(each, "Endpoint", "Address"), text(each, "Endpoint"), text(each, "ReaderEndpoint")
        if wanted and wanted in (one.lower() for one in names):
            return each
    return None


def arrive(walk: Walk, there: Interface) -> None:
    """What the database's record says."""

    def judge() -> Step:
        walk.inventory.records("DBInstances")
        found = _named(walk.inventory, walk.question.name)
        known = [found] if found is not None else _candidates(walk.inventory, there)
        if not known:
            return Step(
                "database",
                UNKNOWN,
                there.identity,
                f"which database {there.identity} belongs to is not known",
                ask="name it by its endpoint's name, NAME:PORT",
            )
        steps = [_of(each, walk.question.port) for each in known]
        if len({step.outcome for step in steps}) > 1:
            names = ", ".join(step.at for step in steps)
            return Step(
                "database",
                UNKNOWN,
                there.identity,
                f"the interface may be that of {names}, which differ",
                ask="name it by its endpoint's name, NAME:PORT",
            )
        return steps[0]

    walk.run("database", there.identity, judge)


def _candidates(inventory: Inventory, there: Interface) -> list[Record]:
    """Those with the interface's groups in its VPC."""
    found = []
    for each in inventory.records("DBInstances"):
        groups = {text(one, "VpcSecurityGroupId") for one in dicts(each, "VpcSecurityGroups")}
        if groups == set(there.groups) and text(each, "DBSubnetGroup", "VpcId") in ("", there.vpc):
            found.append(each)
    return found


def _of(record: Record, port: int) -> Step:
    identity = text(record, "DBInstanceIdentifier") or text(record, "DBClusterIdentifier")
    state = text(record, "DBInstanceStatus") or text(record, "Status")
    own = number(record, "Endpoint", "Port") or number(record, "Port")
    if state not in _SERVES:
        return blocked(
            "database", identity, f"{identity} is {state or 'in no known state'}", change=f"start {identity}"
        )
    if own is not None and own != port:
        return blocked("database", identity, f"{identity} listens on {own}, not on {port}", change=f"use port {own}")
    return allowed("database", identity, f"{identity} is {state}, port {own or 'not read'}")


def addresses(inventory: Inventory, known: list[Interface], name: str) -> list[str]:
    """Of a database's interfaces, as far as its groups tell them."""
    record = _named(inventory, name)
    if record is None:
        return []
    groups = {text(each, "VpcSecurityGroupId") for each in dicts(record, "VpcSecurityGroups")}
    return [
        each.addresses[0]
        for each in known
        if each.description == _RDS and set(each.groups) == groups and each.addresses
    ]
