"""Every set-up gets a network engineer's answer; with a file missing, never a better one."""

from __future__ import annotations

import time

import pytest

from systrace.cloud.aws.facts import conclude
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.saved import add
from systrace.cloud.aws.sources import Hint, find
from systrace.cloud.aws.steps import ALLOWED, UNKNOWN, Way
from systrace.cloud.aws.walk import unknown_source, way_to
from tests.cloud.setups import SETUPS, Setup
from tests.cloud.world import World

STATUS = {"allowed": 0, "blocked": 1, "share": 1, "unknown": 2}


def judged(inventory: Inventory, setup: Setup) -> Way:
    try:
        source = find(inventory, Hint(setup.source))
    except MissingError as missing:
        return unknown_source(setup.question, missing)
    return way_to(inventory, setup.question, source)


@pytest.mark.parametrize("setup", SETUPS, ids=lambda each: each.name)
def test_the_answer_is_a_network_engineers(setup: Setup) -> None:
    way = judged(setup.world().inventory(), setup)
    step = way.deciding
    assert (way.outcome, step.name if step else "") == (setup.outcome, setup.step), way.steps
    assert setup.said in (step.text if step else "")
    assert conclude(way).status == STATUS[setup.outcome]
    assert step is None or (step.ask if setup.outcome == UNKNOWN else step.change)


@pytest.mark.parametrize("setup", SETUPS, ids=lambda each: each.name)
def test_a_missing_file_never_reads_as_allowed(setup: Setup) -> None:
    """Without any one of them the answer is the same, or it is unknown what decides."""
    world = setup.world()
    for name, _ in world.all_documents():
        way = judged(world.inventory(without=name), setup)
        assert way.outcome in (setup.outcome, UNKNOWN), (name, way.steps)
        if setup.outcome != ALLOWED and way.outcome == ALLOWED:
            pytest.fail(f"without {name} it reads as allowed")
        if way.outcome == UNKNOWN and way.deciding is not None:
            assert way.deciding.ask, way.deciding


def test_a_denied_call_is_said_and_never_reads_as_allowed() -> None:
    world, setup = World(), next(each for each in SETUPS if each.name == "a database in the next subnet")
    for key in ("NetworkInterfaces", "SecurityGroups", "NetworkAcls", "RouteTables"):
        inventory = world.inventory(without=key)
        inventory.refused(key, "UnauthorizedOperation")
        way = judged(inventory, setup)
        assert (way.outcome, conclude(way).status) == (UNKNOWN, 2), key
        step = way.deciding
        assert step is not None
        assert "UnauthorizedOperation" in step.text
        assert step.ask.startswith("ask who may call ec2:Describe")


@pytest.mark.parametrize("key", ["NetworkInterfaces", "NetworkAcls", "RouteTables", "NatGateways"])
def test_first_pages_do_not_prove_that_something_is_not_there(key: str) -> None:
    world = World()
    world.documents[key] = []
    inventory = world.inventory(without=key)
    assert add(inventory, {key: [], "NextToken": "more"})
    setup = next(each for each in SETUPS if each.name == "out through NAT")
    way = judged(inventory, setup)
    assert way.outcome == UNKNOWN
    assert way.deciding is not None
    assert "first pages only" in way.deciding.text


def test_all_of_them_take_less_than_a_second() -> None:
    ready = [(setup.world().inventory(), setup) for setup in SETUPS]
    assert len(ready) >= 40
    began = time.process_time()
    for inventory, setup in ready:
        judged(inventory, setup)
    assert time.process_time() - began < 1
