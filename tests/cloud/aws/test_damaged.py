"""Records that were cut or damaged: the answer is the same, or unknown; never another verdict."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.saved import add
from systrace.cloud.aws.shapes import fault
from systrace.cloud.aws.sources import Hint, find
from systrace.cloud.aws.steps import UNKNOWN
from systrace.cloud.aws.walk import way_to
from tests.cloud.setups import SETUPS, Setup
from tests.cloud.world import World

GONE = object()
STRANGE: tuple[Any, ...] = (GONE, None, "", 7, [None], {})
Path = tuple[str | int, ...]
# AWS leaves them out where they do not apply: that they are missing shows nowhere.
OPTIONAL = {"Association", "PublicIp", "Attachment", "InstanceId", "Ipv6Addresses", "VpcPeeringConnectionId"}
OPTIONAL |= {"Ipv6CidrBlockAssociationSet", "SecurityGroups", "IpAddressType"}


def paths(node: Any, at: Path = ()) -> Iterator[Path]:
    """To everything in a document, but its own keys."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        if at:
            yield (*at, key)
        yield from paths(value, (*at, key))


def at_path(node: Any, path: Path) -> Any:
    for key in path:
        node = node[key]
    return node


def damaged(document: Any, path: Path, strange: Any) -> Any:
    found = copy.deepcopy(document)
    node = at_path(found, path[:-1])
    if strange is not GONE:
        node[path[-1]] = strange
    elif isinstance(node, dict):
        del node[path[-1]]
    return found


def outcome(documents: list[Any], setup: Setup) -> str:
    inventory = Inventory()
    for each in documents:
        add(inventory, each)
    try:
        return way_to(inventory, setup.question, find(inventory, Hint(setup.source))).outcome
    except MissingError:
        return UNKNOWN


@pytest.mark.parametrize("setup", SETUPS, ids=lambda each: each.name)
def test_what_is_damaged_is_unknown(setup: Setup) -> None:
    chance = random.Random(setup.name)
    documents = [each for _, each in setup.world().all_documents()]
    places = [(at, path) for at, each in enumerate(documents) for path in paths(each) if path[-1] not in OPTIONAL]
    for at, path in chance.sample(places, 30):
        strange = chance.choice([each for each in STRANGE if type(each) is not type(at_path(documents[at], path))])
        changed = [*documents]
        changed[at] = damaged(documents[at], path, strange)
        found = outcome(changed, setup)
        assert found in (setup.outcome, UNKNOWN), (path, "gone" if strange is GONE else strange)


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("SecurityGroups", "IpPermissions", None),
        ("SecurityGroups", "IpPermissions", [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "IpRanges": []}]),
        ("SecurityGroups", "IpPermissionsEgress", [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0/8"}]}]),
        ("NetworkAcls", "Entries", [{"Egress": True, "RuleAction": "allow", "RuleNumber": 1, "Protocol": "-1"}]),
        ("RouteTables", "Routes", [{"GatewayId": "igw-1", "State": "active"}]),
        ("RouteTables", "Associations", [{"RouteTableId": "rtb-a"}]),
        ("NetworkInterfaces", "Groups", [{}]),
        ("NatGateways", "State", ""),
    ],
)
def test_the_field_is_named(key: str, field: str, value: Any) -> None:
    record = World()[key][0]
    assert fault(key, record) == ""
    assert fault(key, record | {field: value}) == field


def test_a_record_without_its_id_may_be_any() -> None:
    world = World()
    del world.one("NatGateways", "nat-1")["NatGatewayId"]
    setup = next(each for each in SETUPS if each.name == "out through NAT")
    inventory = world.inventory()
    step = way_to(inventory, setup.question, find(inventory, Hint("eni-job"))).deciding
    assert step is not None
    assert step.text == "NatGateways holds a record that is not understood (without an id: NatGatewayId)"
    assert step.ask == "run `aws ec2 describe-nat-gateways` again, without limits"
