"""Saved answers: regular files of a bounded size, and what cut or differing ones amount to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from systrace.cloud.aws import saved
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.records import number

VPCS = {"Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16"}]}


def folder(path: Path, **documents: Any) -> Path:
    path.mkdir(exist_ok=True)
    for name, each in documents.items():
        (path / f"{name}.json").write_text(json.dumps(each))
    return path


def test_what_is_no_regular_file_is_passed_over(tmp_path: Path) -> None:
    """A pipe that nobody writes to, a device without an end, a directory, a link to itself."""
    place = folder(tmp_path / "data", vpcs=VPCS)
    os.mkfifo(place / "pipe.json")
    (place / "zero.json").symlink_to("/dev/zero")
    (place / "loop.json").symlink_to(place / "loop.json")
    (place / "folder.json").mkdir()
    (place / "again").symlink_to(place, target_is_directory=True)
    inventory, complaints = saved.read(place)
    assert inventory.keys == ["Vpcs"]
    assert sorted(each.partition(".json: ")[0].rpartition("/")[2] for each in complaints) == [
        "folder",
        "loop",
        "pipe",
        "zero",
    ]


def test_what_is_too_large_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(tmp_path / "data", vpcs=VPCS, large={"Subnets": ["x" * 900]})
    monkeypatch.setattr(saved, "LARGEST", 500)
    inventory, (complaint,) = saved.read(place)
    assert (inventory.keys, complaint) == (["Vpcs"], f"{place / 'large.json'}: too large")


def test_first_pages_of_details_are_not_all_of_them() -> None:
    inventory = Inventory()
    assert saved.add(inventory, {"PrefixListId": "pl-1", "Entries": [{"Cidr": "10.0.0.0/8"}], "NextToken": "more"})
    assert saved.add(inventory, {"Listeners": [{"LoadBalancerArn": "arn:1", "Port": 443}], "NextMarker": "more"})
    for key, owner in (("Entries", "pl-1"), ("Listeners", "arn:1")):
        with pytest.raises(MissingError, match="first pages only"):
            inventory.details(key, owner)


def test_copies_that_agree_are_one_and_others_are_unknown(tmp_path: Path) -> None:
    """Yesterday's answer beside today's, or two accounts' sight of one thing: tags and times do not count."""
    place = folder(tmp_path / "data", a=VPCS, b={"Vpcs": [{**VPCS["Vpcs"][0], "Tags": [{"Key": "x"}]}]})
    inventory, _ = saved.read(place)
    assert len(inventory.records("Vpcs")) == 1
    assert inventory.one("Vpcs", "VpcId", "vpc-1")["CidrBlock"] == "10.0.0.0/16"
    folder(place, c={"Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.1.0.0/16"}]})
    with pytest.raises(MissingError, match=r"a\.json and .*c\.json say different things of vpc-1"):
        saved.read(place)[0].one("Vpcs", "VpcId", "vpc-1")


def test_copies_of_details_that_differ() -> None:
    inventory = Inventory()
    for at, value in enumerate(("60", "60", "4000")):
        told = [{"Key": "idle_timeout.timeout_seconds", "Value": value}]
        saved.add(inventory, {"LoadBalancerArn": "arn:1", "Attributes": told}, f"{at}.json")
        if value == "60":
            assert inventory.details("LoadBalancerAttributes", "arn:1") == told
    with pytest.raises(MissingError, match=r"0\.json and 2\.json"):
        inventory.details("LoadBalancerAttributes", "arn:1")


@pytest.mark.parametrize(
    ("value", "found"),
    [(5, 5), (True, None), (5.0, None), (2**63 - 1, 2**63 - 1), (2**63, None), (-(2**63) - 1, None), ("5", None)],
)
def test_numbers_are_those_of_a_machine(value: object, found: int | None) -> None:
    assert number({"Port": value}, "Port") == found
