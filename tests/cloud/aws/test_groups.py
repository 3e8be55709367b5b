"""Security groups: a union of rules that allow; what could not be looked up is unknown, never allowed or blocked."""

from __future__ import annotations

import pytest

from systrace.cloud.aws.groups import Other, judge, untracked
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, UNKNOWN, Step
from tests.cloud.world import ANY, ANY6, Json, World, rule

PEER = "203.0.113.9"
THERE = Other(PEER, frozenset())


def judged(rules: list[Json], other: Other = THERE, *groups: str, port: int = 443, protocol: str = "6") -> Step:
    world = World()
    world.group("sg-x", egress=rules)
    return judge(world.inventory(), "group", ["sg-x", *groups], other, protocol, port, inbound=False)


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        ([rule(cidr=ANY)], ALLOWED),
        ([rule(443, cidr=ANY)], ALLOWED),
        ([rule((400, 500), cidr="203.0.113.0/24")], ALLOWED),
        ([rule(80, cidr=ANY), rule(443, cidr=ANY)], ALLOWED),
        ([rule(80, cidr=ANY)], BLOCKED),
        ([rule(443, cidr=ANY6)], BLOCKED),
        ([rule(443, cidr=ANY, protocol="udp")], BLOCKED),
        ([rule(443, cidr="198.51.100.0/24")], BLOCKED),
        ([], BLOCKED),
        ([rule(443, prefix_list="pl-unread")], UNKNOWN),
        ([rule(443, prefix_list="pl-unread"), rule(443, cidr=ANY)], ALLOWED),
    ],
)
def test_one_rule_that_allows_is_enough(rules: list[Json], outcome: str) -> None:
    assert judged(rules).outcome == outcome


def test_all_groups_of_an_interface_count() -> None:
    assert judged([rule(80, cidr=ANY)], THERE, "sg-app").outcome == ALLOWED
    assert judged([], THERE, "sg-unread").outcome == UNKNOWN


def test_a_rule_that_names_a_group() -> None:
    """It matches who is in that group, by private addresses only."""
    rules = [rule(443, group="sg-db")]
    assert judged(rules, Other("10.0.2.20", frozenset(["sg-db"]))).outcome == ALLOWED
    assert judged(rules, Other("10.0.2.21", frozenset())).outcome == BLOCKED
    public = judged(rules, Other(PEER, frozenset(["sg-db"]), private=False))
    assert (public.outcome, "private addresses only" in public.text) == (BLOCKED, True)
    unseen = judged(rules, Other("10.0.2.20", None, why="who has 10.0.2.20"))
    assert (unseen.outcome, unseen.ask) == (UNKNOWN, "who has 10.0.2.20")


@pytest.mark.parametrize(
    ("out", "back", "free"),
    [
        (rule(cidr=ANY), rule(cidr=ANY), True),
        (rule(443, cidr=ANY), rule((0, 65535), cidr=ANY), True),
        (rule(443, cidr=ANY), rule(443, cidr=ANY), False),
        (rule(80, cidr=ANY), rule(cidr=ANY), False),
        (rule(cidr=ANY), rule((0, 65535), cidr=ANY, protocol="udp"), False),
        (rule((0, 65535), cidr=ANY, protocol="udp"), rule(cidr=ANY), False),
        (rule(cidr=ANY), rule(cidr=ANY6), False),
        (rule(cidr="10.0.0.0/8"), rule(cidr=ANY), False),
    ],
)
def test_what_is_not_tracked_is_not_forgotten(out: Json, back: Json, free: bool) -> None:
    """The way out by its own port, the way back by all of them, of the same protocol and family."""
    world = World()
    world.group("sg-open", ingress=[back], egress=[out])
    assert untracked(world.inventory(), ["sg-open"], "6", 443, PEER) is free


def test_a_rule_without_ports_is_unknown() -> None:
    """It may be about this port, or not."""
    torn = rule(443, cidr=ANY)
    del torn["ToPort"]
    assert judged([torn]).outcome == UNKNOWN
    assert judged([torn, rule(443, cidr=ANY)]).outcome == ALLOWED
