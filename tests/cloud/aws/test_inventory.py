"""What was not read, or not to its end, is said; it is never taken for empty."""

from __future__ import annotations

import pytest

from systrace.cloud.aws.calls import dashed
from systrace.cloud.aws.inventory import Inventory, MissingError

VPC = {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16"}
LISTENER = {"ListenerArn": "arn:2", "Port": 443, "Protocol": "TCP", "DefaultActions": [{"Type": "redirect"}]}


def test_an_empty_list_is_another_thing_than_none() -> None:
    inventory = Inventory()
    with pytest.raises(MissingError, match="Vpcs was not read"):
        inventory.records("Vpcs")
    inventory.add("Vpcs", [])
    assert inventory.records("Vpcs") == []
    with pytest.raises(MissingError, match="not among the Vpcs that were read"):
        inventory.one("Vpcs", "VpcId", "vpc-1")


def test_a_refusal_names_what_to_be_allowed() -> None:
    inventory = Inventory()
    inventory.refused("Vpcs", "UnauthorizedOperation")
    with pytest.raises(MissingError, match="UnauthorizedOperation") as raised:
        inventory.records("Vpcs")
    assert raised.value.ask == "ask who may call ec2:DescribeVpcs"


def test_pages_add_up_and_the_last_one_counts() -> None:
    inventory = Inventory()
    inventory.add("Vpcs", [VPC], whole=False)
    assert inventory.one("Vpcs", "VpcId", "vpc-1") == VPC
    with pytest.raises(MissingError, match="first pages only"):
        inventory.one("Vpcs", "VpcId", "vpc-2")


def test_details_belong_to_one_resource() -> None:
    inventory = Inventory()
    inventory.add_details("Listeners", "arn:1", [LISTENER])
    assert inventory.details("Listeners", "arn:1") == [LISTENER]
    with pytest.raises(MissingError, match="Listeners was not read"):
        inventory.details("Listeners", "arn:2")
    assert dashed("LoadBalancerArn") == "load-balancer-arn"


def test_what_takes_long_is_made_once() -> None:
    inventory, made = Inventory(), list[int]()
    for _ in range(3):
        inventory.remembered("x", lambda: made.append(1))
    assert made == [1]
