"""Network interfaces: where everything in a VPC has its addresses, groups and subnet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from systrace.cloud.aws.inventory import Inventory
from systrace.cloud.aws.records import Record, address, contains, dicts, text


@dataclass(frozen=True, slots=True)
class Interface:
    """What of one matters here."""

    identity: str
    subnet: str
    vpc: str
    owner: str  # account
    kind: str  # interface, vpc_endpoint, nat_gateway, network_load_balancer, ...
    description: str
    groups: tuple[str, ...]
    record: Record

    @staticmethod
    def of(record: Record) -> Interface:
        """From `describe-network-interfaces`."""
        groups = tuple(text(each, "GroupId") for each in dicts(record, "Groups"))
        names = "NetworkInterfaceId", "SubnetId", "VpcId", "OwnerId", "InterfaceType", "Description"
        identity, subnet, vpc, owner, kind, description = (text(record, name) for name in names)
        return Interface(identity, subnet, vpc, owner, kind or "interface", description, groups, record)

    @property
    def addresses(self) -> list[str]:
        """Private IPv4 and IPv6 ones, the first one first."""
        told = [text(self.record, "PrivateIpAddress")]
        told += [text(each, "PrivateIpAddress") for each in dicts(self.record, "PrivateIpAddresses")]
        told += [text(each, "Ipv6Address") for each in dicts(self.record, "Ipv6Addresses")]
        return list(dict.fromkeys(each for each in told if each))

    def has(self, host: str) -> bool:
        """Whether a private address is its own, by itself or in a prefix that was delegated to it (EKS)."""
        wanted = address(host)
        if wanted is None:
            return False
        prefixes = [text(each, "Ipv4Prefix") for each in dicts(self.record, "Ipv4Prefixes")]
        prefixes += [text(each, "Ipv6Prefix") for each in dicts(self.record, "Ipv6Prefixes")]
        return any(address(each) == wanted for each in self.addresses) or any(contains(each, host) for each in prefixes)

    def public_of(self, host: str) -> str:
        """The public address that stands for a private one, "" where there is none."""
        for each in dicts(self.record, "PrivateIpAddresses"):
            if text(each, "PrivateIpAddress") == host:
                return text(each, "Association", "PublicIp")
        first = text(self.record, "PrivateIpAddress")
        return text(self.record, "Association", "PublicIp") if host in ("", first) else ""

    def publics(self) -> Iterator[str]:
        """All public addresses."""
        yield text(self.record, "Association", "PublicIp")
        yield from (text(each, "Association", "PublicIp") for each in dicts(self.record, "PrivateIpAddresses"))

    @property
    def instance(self) -> str:
        """That it is attached to."""
        return text(self.record, "Attachment", "InstanceId")

    def __str__(self) -> str:
        about = f" ({self.description})" if self.description else f" ({self.instance})" if self.instance else ""
        return f"{self.identity}{about}"


def at(inventory: Inventory, host: str, vpc: str) -> Interface | None:
    """Who has a private address in a VPC; None: nobody, as far as this account sees.

    Raises:
        MissingError: the interfaces were not read.
    """
    found = inventory.found(
        "NetworkInterfaces", lambda each: text(each, "VpcId") == vpc and Interface.of(each).has(host)
    )
    return Interface.of(found) if found is not None else None


def of_public(inventory: Inventory, host: str) -> Interface | None:
    """Whose public address this is; None: nobody's that this account sees.

    Raises:
        MissingError: the interfaces were not read.
    """
    found = inventory.found("NetworkInterfaces", lambda each: bool(host) and host in Interface.of(each).publics())
    return Interface.of(found) if found is not None else None
