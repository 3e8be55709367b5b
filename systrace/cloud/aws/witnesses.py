"""Interfaces along a way whose flow logs may tell of the connection: the job's, a NAT gateway's, the peer's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from systrace.cloud.aws import flowlogs
from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.records import dicts, text
from systrace.cloud.aws.steps import ALLOWED, FlowSeen, Way
from systrace.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Witness:
    """One of them, and what it saw of the connection."""

    interface: str
    addresses: tuple[str, ...]
    question: Question  # as seen from there
    inbound: bool = False


def along(way: Way, source: Interface, inventory: Inventory) -> list[Witness]:
    """In the order of the way; the job's own first."""
    found = [Witness(source.identity, tuple(source.addresses), way.question)]
    for step in way.steps:
        if step.outcome != ALLOWED:
            continue
        if step.name == "nat-gateway":
            found += _of_nat(step.at, way.question, inventory)
        elif step.name == "destination" and not any(each.name == "nat-gateway" for each in way.steps):
            found += _of_peer(step.at, way, source, inventory)
    return found


def _of_nat(identity: str, question: Question, inventory: Inventory) -> Iterator[Witness]:
    """Its other side: from its private address to the peer, by a port of its own."""
    for record in inventory.known("NatGateways"):
        if text(record, "NatGatewayId") == identity:
            for each in dicts(record, "NatGatewayAddresses"):
                own = text(each, "PrivateIp")
                yield Witness(text(each, "NetworkInterfaceId"), (own,), replace(question, seen=False))


def _of_peer(identity: str, way: Way, source: Interface, inventory: Inventory) -> Iterator[Witness]:
    try:
        there = Interface.of(inventory.one("NetworkInterfaces", "NetworkInterfaceId", identity))
    except MissingError:
        return
    if there.has(way.question.peer):
        asked = replace(way.question, peer=source.own(way.question.local, way.question.peer))
        yield Witness(identity, tuple(there.addresses), asked, inbound=True)


def heard(witnesses: Sequence[Witness], records: Sequence[flowlogs.Record]) -> list[FlowSeen]:
    """What each of them tells: the job's own in any case, the others where the log holds records of theirs."""
    known = {each.interface for each in records}
    return [
        flowlogs.judge(records, each.interface, each.addresses, each.question, inbound=each.inbound)
        for at, each in enumerate(witnesses)
        if at == 0 or each.interface in known
    ]
