"""Which network interface the job has: by the log's own address, by what the user says, or by metadata of this host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.records import Record, address, dicts, number, text


@dataclass(frozen=True, slots=True)
class Hint:
    """What is known of it."""

    said: str = ""  # by the user: eni-..., i-..., a task (ARN or id), an address
    addresses: tuple[str, ...] = ()  # the job's own, of the log
    mac: str = ""  # of this host's first interface (metadata)
    identity: str = ""  # eni-..., the same
    where: str = ""  # what told the two: "instance metadata"


def find(inventory: Inventory, hint: Hint) -> Interface:
    """The job's interface.

    Raises:
        MissingError: it is not known, or several fit.
    """
    if hint.said:
        return _said(inventory, hint.said)
    if hint.addresses:
        return _one(inventory, f"address {', '.join(hint.addresses[:3])}", _with(inventory, hint.addresses))
    if hint.identity:
        return Interface.of(inventory.one("NetworkInterfaces", "NetworkInterfaceId", hint.identity))
    if hint.mac:
        records = inventory.records("NetworkInterfaces")
        return _one(inventory, f"MAC {hint.mac}", [each for each in records if text(each, "MacAddress") == hint.mac])
    raise MissingError(
        "which network interface the job has is not known: the log shows no address of its own, and this host has no metadata",
        "--from ENI, INSTANCE, TASK or IP",
    )


def _with(inventory: Inventory, hosts: Sequence[str]) -> list[Record]:
    found = []
    for record in inventory.records("NetworkInterfaces"):
        one = Interface.of(record)
        if any(one.has(host) or host in one.publics() for host in hosts):
            found.append(record)
    return found


def _one(inventory: Inventory, what: str, found: Sequence[Record]) -> Interface:
    if not found:
        raise MissingError(
            f"no network interface that was read has {what}", "the account and region of the job, or --from"
        )
    if len(found) > 1:
        names = ", ".join(f"{text(each, 'NetworkInterfaceId')} ({text(each, 'VpcId')})" for each in found[:4])
        raise MissingError(f"several network interfaces have {what}: {names}", "--from, with one of them")
    return Interface.of(found[0])


def _said(inventory: Inventory, said: str) -> Interface:
    if address(said) is not None:
        return _one(inventory, f"address {said}", _with(inventory, [said]))
    if said.startswith("eni-"):
        return Interface.of(inventory.one("NetworkInterfaces", "NetworkInterfaceId", said))
    if said.startswith("i-"):
        records = [
            each for each in inventory.records("NetworkInterfaces") if text(each, "Attachment", "InstanceId") == said
        ]
        first = [each for each in records if number(each, "Attachment", "DeviceIndex") == 0]
        return _one(inventory, f"instance {said}", first or records)
    return Interface.of(inventory.one("NetworkInterfaces", "NetworkInterfaceId", _of_task(inventory, said)))


def _of_task(inventory: Inventory, said: str) -> str:
    """The interface of an ECS task (network mode awsvpc)."""
    wanted = said.rpartition("/")[2]
    for task in inventory.tasks(said):
        if text(task, "taskArn").rpartition("/")[2] != wanted:
            continue
        for attached in dicts(task, "attachments"):
            for detail in dicts(attached, "details"):
                if text(detail, "name") == "networkInterfaceId":
                    return text(detail, "value")
        raise MissingError(
            f"task {wanted} has no network interface of its own", "--from INSTANCE: the one that it runs on"
        )
    raise MissingError(f"task {said} was not read", "save what `aws ecs describe-tasks` prints, or --from ENI")
