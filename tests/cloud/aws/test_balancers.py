"""Load balancers: a listener, targets that are healthy, and after which silence they end a connection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systrace.cloud.aws.interfaces import at
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.steps import Way
from systrace.cloud.aws.walk import way_to
from tests.cloud.world import Json, World

ASKED = Question("10.0.2.40", 443, local="10.0.1.10")


def way(world: World, question: Question = ASKED, *, without: str = "") -> Way:
    inventory = world.inventory(without=without)
    job = at(inventory, "10.0.1.10", "vpc-1")
    assert job is not None
    return way_to(inventory, question, job)


def balanced(kind: str, target: str = "10.0.2.20", **told: list[Json]) -> World:
    """`told`: what is said of the balancer or its target group in place of what is usual."""
    world = World()
    world.network_balancer(target, kind=kind)
    own = [each for each in world.details if "Listeners" not in each and "ListenerArn" not in each]
    for each in own:
        each |= {key: value for key, value in told.items() if key in each}
    return world


def test_the_idle_time_is_the_balancer_s_own() -> None:
    """An ALB's default is 60 s, an NLB's 350 s."""
    [limit] = way(balanced("app")).limits
    assert (limit.product, limit.idle_s, limit.after, limit.certain) == ("Application Load Balancer", 60, "fin", True)
    told = [{"Key": "idle_timeout.timeout_seconds", "Value": "4000"}]
    assert [each.idle_s for each in way(balanced("app", Attributes=told)).limits] == [4000]
    assert [(each.idle_s, each.after) for each in way(balanced("net", "10.0.2.21")).limits] == [(350, "reset")]


def test_attributes_that_were_not_read_make_the_limit_a_guess() -> None:
    world = balanced("app")
    world.details = [each for each in world.details if "Attributes" not in each]
    [limit] = way(world).limits
    assert (limit.idle_s, limit.certain) == (60, False)


@pytest.mark.parametrize(("port", "step"), [(8443, "listener"), (443, "")])
def test_a_port_without_a_listener(port: int, step: str) -> None:
    world = balanced("app")
    world.group("sg-lb", ingress=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}])
    found = way(world, replace(ASKED, port=port)).deciding
    assert (found.name if found is not None and found.outcome == "blocked" else "") == step


def test_targets_that_are_ill() -> None:
    ill = [
        {
            "Target": {"Id": "10.0.2.20", "Port": 8443},
            "TargetHealth": {"State": "unhealthy", "Reason": "Target.Timeout"},
        }
    ]
    found = way(balanced("app", TargetHealthDescriptions=ill)).deciding
    assert found is not None
    assert (found.name, found.outcome) == ("targets", "blocked")
    found = way(balanced("app"), without="LoadBalancers").deciding
    assert found is not None
    assert (found.name, found.outcome) == ("load-balancer", "unknown")
