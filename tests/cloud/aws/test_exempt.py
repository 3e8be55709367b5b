"""What no filter of AWS can block is never blamed on one."""

from __future__ import annotations

import pytest

from systrace.cloud.aws.exempt import told
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, UNKNOWN
from tests.cloud.world import World


@pytest.mark.parametrize(
    ("peer", "port", "word"),
    [
        ("169.254.169.254", 80, "metadata"),
        ("169.254.170.2", 80, "ECS"),
        ("169.254.169.123", 123, "time service"),
        ("169.254.169.253", 53, "resolver"),
        ("fd00:ec2::253", 53, "resolver"),
        ("10.0.0.2", 53, "resolver (VPC+2)"),
        ("::ffff:10.0.0.2", 53, "resolver (VPC+2)"),
    ],
)
def test_they_are_known(peer: str, port: int, word: str) -> None:
    step = told(World().inventory(), peer, port, "vpc-1")
    assert step is not None
    assert (step.outcome, word in step.text) == (ALLOWED, True)


@pytest.mark.parametrize(
    ("peer", "port"), [("10.0.0.2", 80), ("10.0.1.2", 53), ("10.1.0.2", 53), ("8.8.8.8", 53), ("x", 53)]
)
def test_others_are_not(peer: str, port: int) -> None:
    assert told(World().inventory(), peer, port, "vpc-1") is None


def test_where_the_vpc_s_block_was_not_read_it_is_unknown() -> None:
    step = told(World().inventory(without="Vpcs"), "10.0.0.2", 53, "vpc-1")
    assert step is not None
    assert step.outcome == UNKNOWN


def test_a_resolver_that_is_switched_off() -> None:
    world = World()
    world.details = [{"VpcId": "vpc-1", "EnableDnsSupport": {"Value": False}}]
    step = told(world.inventory(), "10.0.0.2", 53, "vpc-1")
    assert step is not None
    assert (step.outcome, step.cause) == (BLOCKED, "dns-timeout")
    world.details = []
    step = told(world.inventory(), "10.0.0.2", 53, "vpc-1")
    assert step is not None
    assert (step.outcome, "describe-vpc-attribute" in step.ask) == (UNKNOWN, True)
