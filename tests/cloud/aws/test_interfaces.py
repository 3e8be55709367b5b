"""Who has an address: VPCs may use the same, and one that was not read is not nobody."""

from __future__ import annotations

import pytest

from systrace.cloud.aws.interfaces import Interface, at, having, of_public
from systrace.cloud.aws.inventory import MissingError
from tests.cloud.world import World


def test_by_private_public_and_delegated_addresses() -> None:
    world = World()
    world.interface("eni-pod", "10.0.1.77", "subnet-a", "sg-app", public="203.0.113.66", v6="2001:db8::77",
                    Ipv4Prefixes=[{"Ipv4Prefix": "10.0.1.96/28"}])  # fmt: skip
    inventory = world.inventory()
    for host in ("10.0.1.77", "2001:db8::77", "2001:DB8:0::77", "10.0.1.97", "203.0.113.66"):
        assert [each.identity for each in having(inventory, host)] == ["eni-pod"], host
    assert having(inventory, "10.0.1.200") == []
    assert at(inventory, "203.0.113.66", "vpc-1") is None  # it is no address of the VPC
    found = of_public(inventory, "203.0.113.66")
    assert found is not None
    assert found.public_of("10.0.1.77") == "203.0.113.66"
    assert of_public(inventory, "10.0.1.77") is None


def test_two_vpcs_with_one_address() -> None:
    world = World()
    world.interface("eni-twin", "10.0.1.10", "subnet-z", "sg-app", vpc="vpc-2")
    inventory = world.inventory()
    assert {each.identity for each in having(inventory, "10.0.1.10")} == {"eni-job", "eni-twin"}
    found = at(inventory, "10.0.1.10", "vpc-2")
    assert found is not None
    assert found.identity == "eni-twin"


def test_the_first_pages_show_nobody_absent() -> None:
    inventory = World().inventory(without="NetworkInterfaces")
    with pytest.raises(MissingError):
        having(inventory, "10.0.1.10")
    inventory.add("NetworkInterfaces", World()["NetworkInterfaces"], whole=False)
    assert [each.identity for each in having(inventory, "10.0.1.10")] == ["eni-job"]
    with pytest.raises(MissingError, match="first pages only"):
        having(inventory, "10.0.1.200")


def test_a_record_that_anybody_wrote() -> None:
    one = Interface.of({"NetworkInterfaceId": 7, "Groups": "x", "PrivateIpAddresses": [None, {"PrivateIpAddress": 1}]})
    assert (one.identity, one.groups, one.addresses, one.has("10.0.0.1")) == ("", (), [], False)
