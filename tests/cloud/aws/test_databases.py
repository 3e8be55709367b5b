"""Databases: what certainly does not serve is blamed, what certainly does is not, and the rest is unknown."""

from __future__ import annotations

import pytest

from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.sources import Hint, find
from systrace.cloud.aws.walk import way_to
from tests.cloud.world import World

NAME = "pg.cluster-x.eu-west-1.rds.amazonaws.com"


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("available", "allowed"),
        ("storage-optimization", "allowed"),
        ("stopped", "blocked"),
        ("creating", "blocked"),
        ("inaccessible-encryption-credentials-recoverable", "blocked"),
        ("rebooting", "unknown"),
        ("upgrading", "unknown"),
        ("failing-over", "unknown"),
        ("storage-full", "unknown"),
        ("a status of next year", "unknown"),
    ],
)
def test_the_status_of_a_cluster(state: str, outcome: str) -> None:
    world = World()
    world.one("NetworkInterfaces", "eni-db")["Description"] = "RDSNetworkInterface"
    world.documents["DBClusters"] = [{"DBClusterIdentifier": "pg", "Status": state, "Endpoint": NAME, "Port": 5432}]
    inventory = world.inventory()
    way = way_to(inventory, Question("10.0.2.20", 5432, NAME), find(inventory, Hint("eni-job")))
    assert way.outcome == outcome
