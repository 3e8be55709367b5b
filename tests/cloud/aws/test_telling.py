"""What is told of a way, as data: by its contract, whatever the set-up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from systrace.cloud.aws.facts import observations
from systrace.cloud.aws.steps import FlowSeen
from systrace.cloud.aws.telling import plain
from systrace.reporters.shapes.schema import schema
from tests.cloud.aws.test_setups import judged
from tests.cloud.setups import SETUPS, Setup

VALIDATOR = Draft202012Validator(schema("aws"))


def told(setup: Setup, **queries: str) -> dict[str, Any]:
    way = judged(setup.world().inventory(), setup)
    way.flows.append(FlowSeen("lost", "asked, and nothing came back"))
    facts = observations(way, 1_795_000_000_000_000_000, "job-host")
    found: dict[str, Any] = json.loads(json.dumps(plain(way, facts, queries)))
    return found


@pytest.mark.parametrize("setup", SETUPS, ids=lambda each: each.name)
def test_every_way_follows_the_schema(setup: Setup) -> None:
    found = told(setup, insights="fields @timestamp", athena="srcaddr = '10.0.1.10'")
    VALIDATOR.validate(found)
    assert found.keys() == schema("aws")["properties"].keys()
    defined = schema("aws")["$defs"]
    for name, kind in (("steps", "WayStep"), ("limits", "PathLimit"), ("observations", "Observation")):
        for each in found[name]:
            assert each.keys() == defined[kind]["properties"].keys()


def test_what_is_wrong_is_refused() -> None:
    found = told(next(each for each in SETUPS if each.outcome == "blocked"))
    VALIDATOR.validate(found)
    for name, value in (("verdict", {**found["verdict"], "outcome": "perhaps"}), ("steps", [{}]), ("target", None)):
        with pytest.raises(ValidationError):
            VALIDATOR.validate({**found, name: value})


def test_all_kinds_of_limits_are_met() -> None:
    met = {limit["after"] for setup in SETUPS for limit in told(setup)["limits"]}
    assert met == {"reset", "silent", "fin"}
