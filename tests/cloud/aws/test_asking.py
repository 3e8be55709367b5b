"""What `--commands` prints: each answer, once saved, is what `--data` wants; nothing in it changes anything."""

from __future__ import annotations

import re
from typing import Any

import pytest

from systrace.cloud.aws.asking import commands, policy
from systrace.cloud.aws.calls import DETAILS, LISTS
from systrace.cloud.aws.inventory import Inventory
from systrace.cloud.aws.saved import add

SAMPLES: dict[str, Any] = {
    "Listeners": [{"ListenerArn": "arn:l", "Port": 443, "Protocol": "TCP", "DefaultActions": [{"Type": "redirect"}]}],
    "TargetHealthDescriptions": [{"Target": {"Id": "i-1"}, "TargetHealth": {"State": "healthy"}}],
    "Rules": [{"Priority": "default", "IsDefault": True}],
    "Entries": [{"Cidr": "10.0.0.0/8"}],
    "EnableDnsSupport": {"Value": True},
}
jmespath = pytest.importorskip("jmespath")  # what the CLI's --query is


def test_each_list_is_asked_for_and_known() -> None:
    told = "\n".join(commands())
    assert [key for key, call in LISTS.items() if f"{call.command} --output json > {key}.json" not in told] == []
    for key in LISTS:
        assert add(Inventory(), {key: []}), key


@pytest.mark.parametrize("key", list(DETAILS))
def test_details_say_whose_they_are(key: str) -> None:
    call = DETAILS[key]
    line = next(each for each in commands() if f"> {key}-" in each)
    query = line.rsplit("--query ", 1)[1].split(" > ")[0]
    shown = "".join(re.findall(r"'([^']*)'|(\$id)", query)[at][0] or "arn:x" for at in range(3))
    found = SAMPLES.get(key, [{"Key": "k", "Value": "v"}])
    inventory = Inventory()
    assert add(inventory, jmespath.search(shown, {call.key or key: found}))
    assert inventory.details(key, "arn:x") == (found if isinstance(found, list) else [found])


def test_only_verbs_that_read() -> None:
    for line in commands():
        verbs = re.findall(r"aws \w+ ([a-z]+)-", line)
        assert verbs
        assert set(verbs) <= {"describe", "get", "list"}
    assert re.findall(r'"\w+:(?!Describe|Get|List|FilterLogEvents)\w+"', policy()) == []
