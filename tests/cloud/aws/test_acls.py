"""Network ACLs: rules in order, the first that matches decides; a share of the ports is a share of the connections."""

from __future__ import annotations

import pytest

from systrace.cloud.aws.acls import acl_of, judge
from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.ports import EPHEMERAL, Ports
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, SHARE, Step
from tests.cloud.world import ANY6, Json, World, entry, last

HTTPS = Ports(((443, 443),))


def judged(entries: list[Json], ports: Ports = HTTPS, peer: str = "203.0.113.9", *, inbound: bool = False) -> Step:
    world = World()
    world.acl("acl-x", entries, "subnet-a")
    return judge(world.inventory(), "acl", "subnet-a", peer, "6", ports, inbound=inbound)


def allow(number: int, ports: tuple[int, int] | None = None, **more: str) -> Json:
    return entry(number, "allow", egress=True, ports=ports, **more)


def deny(number: int, ports: tuple[int, int] | None = None, **more: str) -> Json:
    return entry(number, "deny", egress=True, ports=ports, **more)


@pytest.mark.parametrize(
    ("entries", "outcome"),
    [
        ([allow(100), *last()], ALLOWED),
        ([allow(100), deny(90)], BLOCKED),  # the order of numbers, not that of the list
        ([allow(90), deny(100)], ALLOWED),
        ([], BLOCKED),  # rule * is there whether it is told or not
        ([allow(100, (443, 443)), *last()], ALLOWED),
        ([allow(100, (80, 442)), *last()], BLOCKED),
        ([allow(100, (443, 443), protocol="17"), *last()], BLOCKED),
        ([allow(100, cidr=ANY6), *last()], BLOCKED),  # of another family
        ([deny(90, cidr="203.0.113.0/24"), allow(100)], BLOCKED),
        ([entry(100, "allow", egress=False), *last()], BLOCKED),  # of the other direction
    ],
)
def test_the_first_rule_that_matches_decides(entries: list[Json], outcome: str) -> None:
    assert judged(entries).outcome == outcome


def test_a_share_of_the_ports() -> None:
    """Linux hands out 32768 to 60999; the rule was made for 49152 and above."""
    step = judged([allow(100, (49_152, 65_535)), *last()], EPHEMERAL)
    assert step.outcome == SHARE
    assert step.share == (60_999 - 49_152 + 1) / (60_999 - 32_768 + 1)
    assert judged([deny(90, (40_000, 40_000)), allow(100)], Ports(((40_000, 40_000),))).outcome == BLOCKED


def test_whose_it_is() -> None:
    assert acl_of(World().inventory(), "subnet-b")["NetworkAclId"] == "acl-1"
    with pytest.raises(MissingError, match="subnet-unknown"):
        acl_of(World().inventory(), "subnet-unknown")
    with pytest.raises(MissingError, match="NetworkAcls was not read"):
        acl_of(World().inventory(without="NetworkAcls"), "subnet-a")
