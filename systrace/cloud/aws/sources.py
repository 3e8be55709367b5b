"""Which network interface the job has: by the log's own address, by what the user says, or by metadata of this host."""

from __future__ import annotations

from collections.abc import Sequence

from systrace.cloud.aws.interfaces import Interface, having
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.records import address, dicts, number, text
from systrace.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Hint:
    """What is known of it."""

    said: str = ""  # by the user: eni-..., i-..., a task (ARN or id), an address
    addresses: tuple[str, ...] = ()  # the job's own, of the log
    mac: str = ""  # of this host's first interface (metadata)
    identity: str = ""  # eni-..., the same
    where: str = ""  # what told the two: "instance metadata"


class SeveralError(MissingError):
    """More than one interface fits."""


def find(inventory: Inventory, hint: Hint) -> Interface:
    """The job's interface.

    Raises:
        MissingError: it is not known.
        SeveralError: several fit.
    """
    if hint.said:
        return _said(inventory, hint.said)
    if hint.addresses:
        found = {one.identity: one for host in hint.addresses for one in having(inventory, host)}
        return _one(inventory, f"address {', '.join(hint.addresses[:3])}", _narrowed([*found.values()], hint))
    if hint.identity:
        return _known(inventory, hint.identity)
    if hint.mac:
        records = inventory.records("NetworkInterfaces")
        own = [Interface.of(each) for each in records if text(each, "MacAddress") == hint.mac]
        return _one(inventory, f"MAC {hint.mac}", own)
    raise MissingError(
        "which network interface the job has is not known: the log shows no address of its own, and this host has no metadata",
        "--from ENI, INSTANCE, TASK or IP",
    )


def _known(inventory: Inventory, identity: str) -> Interface:
    return Interface.of(inventory.one("NetworkInterfaces", "NetworkInterfaceId", identity))


def _narrowed(found: list[Interface], hint: Hint) -> list[Interface]:
    """VPCs may use the same addresses: metadata tell which of them is meant."""
    own = [
        each for each in found if each.identity == hint.identity or text(each.record, "MacAddress") == hint.mac != ""
    ]
    return own or found


def _one(inventory: Inventory, what: str, found: Sequence[Interface]) -> Interface:
    known = {each.identity: each for each in found}
    if not known:
        inventory.check_whole("NetworkInterfaces")
        raise MissingError(
            f"no network interface that was read has {what}", "the account and region of the job, or --from"
        )
    if len(known) > 1:
        names = ", ".join(f"{each.identity} ({each.vpc})" for each in [*known.values()][:4])
        raise SeveralError(f"several network interfaces have {what}: {names}", "--from, with one of them")
    return Interface.of(inventory.sure("NetworkInterfaces", found[0].record))


def _said(inventory: Inventory, said: str) -> Interface:
    if address(said) is not None:
        return _one(inventory, f"address {said}", having(inventory, said))
    if said.startswith("eni-"):
        return _known(inventory, said)
    if said.startswith("i-"):
        records = inventory.records("NetworkInterfaces")
        own = [each for each in records if text(each, "Attachment", "InstanceId") == said]
        first = [each for each in own if number(each, "Attachment", "DeviceIndex") == 0]
        return _one(inventory, f"instance {said}", [Interface.of(each) for each in first or own])
    return _known(inventory, _of_task(inventory, said))


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
