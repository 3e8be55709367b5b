"""What is asked of AWS itself: everything that a verdict rests on, and nothing that the printed policy does not allow."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from systrace.cloud.aws import names
from systrace.cloud.aws.asking import commands, policy
from systrace.cloud.aws.calls import DETAILS, LISTS, Call
from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.live import Live
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.sources import Hint, find
from systrace.cloud.aws.walk import way_to
from tests.cloud.setups import SETUPS
from tests.cloud.world import World

pytest.importorskip("boto3")
TASK = "arn:aws:ecs:eu-west-1:111111111111:task/prod/abc"


class Client:
    """Of one service: answers what a world has, and writes down what was called."""

    def __init__(self, service: str, world: World, called: set[tuple[str, str]]) -> None:
        self._service, self._world, self._called = service, world, called

    def can_paginate(self, _: str) -> bool:
        return False

    def __getattr__(self, operation: str) -> Any:
        def answer(**arguments: Any) -> Any:
            from botocore.exceptions import ClientError

            self._called.add((self._service, operation))
            known = [
                (key, call)
                for key, call in (LISTS | DETAILS).items()
                if (call.service, call.operation) == (self._service, operation)
            ]
            for _, document in self._world.all_documents():
                for key, call in known:
                    owned = not call.argument or document.get(call.argument) == arguments[call.argument]
                    if owned and (call.key or key) in document:
                        return document
            if known:
                raise ClientError({"Error": {"Code": "AccessDenied"}}, operation)
            return {}

        return answer


def live(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Live, set[tuple[str, str]]]:
    called = set[tuple[str, str]]()
    inventory = Live()
    monkeypatch.setattr(inventory._session, "client", lambda service, **_: Client(service, world, called))
    return inventory, called


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def by_listener(world: World) -> None:
    """As AWS answers: listeners are asked for by their balancer."""
    for each in world.details:
        for listener in each.get("Listeners", []):
            each["LoadBalancerArn"] = listener["LoadBalancerArn"]


def asked(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """By all set-ups, a task's interface, flow logs, and names."""
    found = set[tuple[str, str]]()
    for setup in SETUPS:
        world = setup.world()
        by_listener(world)
        inventory, called = live(world, monkeypatch)
        way_to(inventory, setup.question, find(inventory, Hint(setup.source)))
        found |= called
    inventory, called = live(World(), monkeypatch)
    for task in (TASK, "abc"):
        with pytest.raises(MissingError):
            find(inventory, Hint(task))
    names.addresses(inventory, "db.example")
    assert inventory.events("group", "eni-job") == []
    return found | called


def test_the_policy_allows_the_calls_that_are_made_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live and by `--commands`: together they need what it says."""
    made = {Call(service, operation).action for service, operation in asked(monkeypatch)}
    typed = {
        Call(service, operation.replace("-", "_")).action
        for service, operation in re.findall(r"aws (\w+) ([a-z-]+)", "\n".join(commands()))
    }
    (statement,) = json.loads(policy())["Statement"]
    assert made | typed == set(statement["Action"])
    assert typed - made == {
        "ec2:DescribeManagedPrefixLists"
    }  # whose entries to ask for: a rule or a route says it itself
    assert made - {"ecs:DescribeTasks", "ecs:ListClusters", "logs:FilterLogEvents"} <= typed


def test_what_few_ways_need_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS support, the instance's type, balancers and clusters by their names."""
    world, job = World(), Hint("eni-job")
    world.details = [{"VpcId": "vpc-1", "EnableDnsSupport": {"Value": False}}]
    instance = {"InstanceId": "i-job", "InstanceType": "m8i.large", "State": {"Name": "running"}}
    world["Reservations"].append({"ReservationId": "r-1", "Instances": [instance]})
    inventory, _ = live(world, monkeypatch)
    resolver = way_to(inventory, Question("10.0.0.2", 53, protocol="udp"), find(inventory, job))
    assert resolver.outcome == "blocked"
    assert [each.idle_s for each in way_to(inventory, Question("10.0.2.20", 5432), find(inventory, job)).limits] == [
        350
    ]

    world.network_balancer("10.0.2.20")
    world.one("NetworkInterfaces", "eni-db")["Description"] = "RDSNetworkInterface"
    groups = [{"VpcSecurityGroupId": "sg-db"}]
    world.documents["DBClusters"] = [{"Endpoint": "pg.cluster-x.rds.amazonaws.com", "VpcSecurityGroups": groups}]
    for name, address in (
        ("lb-1f.elb.eu-west-1.amazonaws.com", "10.0.2.40"),
        ("pg.cluster-x.rds.amazonaws.com", "10.0.2.20"),
    ):
        inventory, _ = live(world, monkeypatch)
        assert names.addresses(inventory, name) == [address]


@pytest.mark.parametrize("setup", SETUPS, ids=lambda each: each.name)
def test_live_answers_are_those_of_files(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What decides is asked for: nothing is taken for absent because nobody asked."""
    world = setup.world()
    by_listener(world)
    inventory, _ = live(world, monkeypatch)
    way = way_to(inventory, setup.question, find(inventory, Hint(setup.source)))
    saved = way_to(world.inventory(), setup.question, find(world.inventory(), Hint(setup.source)))
    assert [(each.name, each.outcome) for each in way.steps] == [(each.name, each.outcome) for each in saved.steps]
