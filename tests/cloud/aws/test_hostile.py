"""Records that anybody may have written: whatever they hold, there is an answer, and no terminal obeys it."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from systrace.cloud.aws.facts import observations
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.saved import add
from systrace.cloud.aws.sources import Hint, find
from systrace.cloud.aws.telling import lines, plain
from systrace.cloud.aws.walk import unknown_source, way_to
from systrace.observations import Observation
from tests.cloud.setups import SETUPS
from tests.cloud.world import World

GARBAGE: list[Any] = [
    None,
    5,
    -1,
    1e400,
    True,
    "",
    "x\x1b[2J\u202e\n",
    "0.0.0.0/0",
    "::/0",
    [],
    {},
    [[]],
    [{}],
    "9" * 5000,
]
UNCLEAN = re.compile(r"[\x00-\x1f\x7f-\x9f\u202e]")


def strings(value: Any) -> Iterator[str]:
    """All in a fact."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def spoiled(documents: list[Any], chance: random.Random) -> list[Any]:
    """One to five values replaced, dropped, or doubled."""
    copied = copy.deepcopy(documents)
    for _ in range(chance.randint(1, 5)):
        node: Any = chance.choice(copied)
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = chance.choice(keys)
            inner = node[key]
            if isinstance(inner, dict | list) and inner and chance.random() < 0.8:
                node = inner
                continue
            node[key] = chance.choice(GARBAGE)
            break
    return copied


@pytest.mark.parametrize("seed", range(8))
def test_spoiled_records_have_an_answer(seed: int) -> None:
    chance = random.Random(seed)
    for setup in SETUPS:
        documents = [each for _, each in setup.world().all_documents()]
        for _ in range(6):
            inventory = Inventory()
            for each in spoiled(documents, chance):
                add(inventory, each)
            try:
                way = way_to(inventory, setup.question, find(inventory, Hint(setup.source)))
            except MissingError as missing:
                way = unknown_source(setup.question, missing)
            assert way.outcome in ("allowed", "blocked", "share", "unknown")
            assert not any(UNCLEAN.search(line) for line in lines(way, 80))
            facts = observations(way, 1, "here")
            assert plain(way, facts, {})["verdict"]["text"]
            for fact in facts:
                assert Observation.of({"kind": fact.kind, "subject": fact.subject, "value": fact.value}) is not None, (
                    fact
                )
                assert not [each for each in strings(fact.value) if UNCLEAN.search(each)]


@pytest.mark.parametrize("block", ["10.0.0.0/32", "255.255.255.255/32", "::/0", "0.0.0.0/0", "nonsense", ""])
def test_a_vpc_of_any_block(block: str) -> None:
    """Its resolver would be at the base plus two."""
    world = World()
    world["Vpcs"][0]["CidrBlock"] = block
    inventory = world.inventory()
    way = way_to(inventory, Question("10.0.2.18", 53, protocol="udp"), find(inventory, Hint("eni-job")))
    assert way.outcome in ("blocked", "unknown")
