"""The longest prefix decides; of equals what was written by hand; a list that was not read might be longer."""

from __future__ import annotations

import pytest

from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.routes import Route, best, table_of
from tests.cloud.world import ANY, Json, World

PEER = "203.0.113.9"


def chosen(*routes: Json, host: str = PEER) -> Route | None:
    world = World()
    world.table("rtb-a", "subnet-a", routes=list(routes))
    inventory = world.inventory()
    return best(inventory, table_of(inventory, "subnet-a", "vpc-1"), host)


def to(target: str, cidr: str = ANY, **more: str) -> Json:
    key = {"nat": "NatGatewayId", "igw": "GatewayId", "vgw": "GatewayId", "tgw": "TransitGatewayId"}[target[:3]]
    return {"DestinationCidrBlock": cidr, key: target} | more


def test_the_longest_prefix() -> None:
    found = chosen(to("nat-1"), to("tgw-1", "203.0.113.0/24"), to("igw-1", "203.0.0.0/16"))
    assert found is not None
    assert (found.target, found.destination) == ("tgw-1", "203.0.113.0/24")
    assert chosen(to("igw-1", "198.51.100.0/24")) is None


def test_of_equals_what_was_written_by_hand() -> None:
    found = chosen(to("vgw-1", Origin="EnableVgwRoutePropagation"), to("nat-1"))
    assert found is not None
    assert found.target == "nat-1"


def test_a_blackhole_is_chosen_all_the_same() -> None:
    found = chosen(to("igw-1"), to("nat-gone", "203.0.113.0/24", State="blackhole"))
    assert found is not None
    assert found.blackhole


def test_a_list_that_was_not_read_might_be_more_specific() -> None:
    hidden = {"DestinationPrefixListId": "pl-unread", "TransitGatewayId": "tgw-1"}
    with pytest.raises(MissingError, match="could be more specific"):
        chosen(to("nat-1"), hidden)
    same = hidden | {"TransitGatewayId": ""} | {"NatGatewayId": "nat-1"}
    found = chosen(to("nat-1"), same)  # it leads to the same target
    assert found is not None
    assert found.target == "nat-1"


def test_a_subnet_without_a_table_has_the_main_one() -> None:
    inventory = World().inventory()
    assert table_of(inventory, "subnet-b", "vpc-1")["RouteTableId"] == "rtb-main"
    assert table_of(inventory, "subnet-a", "vpc-1")["RouteTableId"] == "rtb-a"
    with pytest.raises(MissingError, match="neither"):
        table_of(inventory, "subnet-z", "vpc-2")
