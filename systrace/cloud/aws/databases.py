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
# RDS and Aurora user guides, status of a DB instance, and of a cluster; what is in neither may serve: "modifying", "rebooting".
_SERVES = frozenset(
    "available backing-up configuring-enhanced-monitoring configuring-iam-database-auth configuring-log-exports "
    "storage-optimization".split()
)
_SERVES_NOT = frozenset(
    "creating failed stopped inaccessible-encryption-credentials inaccessible-encryption-credentials-recoverable "
    "insufficient-capacity cloning-failed migration-failed".split()
)


def concerns(walk: Walk, there: Interface) -> bool:
    """The interface is a database's."""
    return there.description == _RDS or _named(walk.inventory, walk.question.name) is not None


def _named(inventory: Inventory, name: str) -> tuple[str, Record] | None:
    """By an endpoint's name, in what was read; with the key of its list."""
    wanted = name.lower().rstrip(".")
    for key in ("DBInstances", "DBClusters"):
        for each in inventory.known(key):
            names = text(each, "Endpoint", "Address"), text(each, "Endpoint"), text(each, "ReaderEndpoint")
            if wanted and wanted in (one.lower() for one in names):
                return key, each
    return None


def arrive(walk: Walk, there: Interface) -> None:
    """What the database's record says."""

    def judge() -> Step:
        walk.inventory.records("DBInstances")
        found = _named(walk.inventory, walk.question.name)
        known = [walk.inventory.sure(*found)] if found is not None else _candidates(walk.inventory, there)
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
            found.append(inventory.sure("DBInstances", each))
    return found


def _of(record: Record, port: int) -> Step:
    identity = text(record, "DBInstanceIdentifier") or text(record, "DBClusterIdentifier")
    state = text(record, "DBInstanceStatus") or text(record, "Status")
    own = number(record, "Endpoint", "Port") or number(record, "Port")
    if state in _SERVES_NOT:
        return blocked("database", identity, f"{identity} is {state}", change=f"see to it that {identity} is available")
    if own is not None and own != port:
        return blocked("database", identity, f"{identity} listens on {own}, not on {port}", change=f"use port {own}")
    if own is None or state not in _SERVES:
        said = f"{identity} is {state or 'in no known state'}, {f'port {own}' if own else 'its port is not told'}"
        return Step("database", UNKNOWN, identity, said, ask=f"whether {identity} serves: its events and status")
    return allowed("database", identity, f"{identity} is {state}, port {own}")


def addresses(inventory: Inventory, known: list[Interface], name: str) -> list[str]:
    """Of a database's interfaces, as far as its groups tell them."""
    named = _named(inventory, name)
    if named is None:
        return []
    groups = {text(each, "VpcSecurityGroupId") for each in dicts(named[1], "VpcSecurityGroups")}
    return [
        each.addresses[0]
        for each in known
        if each.description == _RDS and set(each.groups) == groups and each.addresses
    ]
