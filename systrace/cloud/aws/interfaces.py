"""Network interfaces: where everything in a VPC has its addresses, groups and subnet."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.cloud.aws.inventory import Inventory
from systrace.cloud.aws.records import Record, address, contains, dicts, text
from systrace.dataclass import dataclass


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

    @property
    def is_loose(self) -> bool:
        """Nothing is attached to it (any more)."""
        return text(self.record, "Status") == "available" and not text(self.record, "Attachment", "AttachmentId")

    def __str__(self) -> str:
        about = f" ({self.description})" if self.description else f" ({self.instance})" if self.instance else ""
        return f"{self.identity}{about}"


class _Index:
    """All of them by their addresses: an account has thousands."""

    def __init__(self, records: list[Record]) -> None:
        self.private: dict[str, list[Interface]] = {}
        self.public: dict[str, list[Interface]] = {}
        self.prefixed: list[Interface] = []
        for record in records:
            one = Interface.of(record)
            for each in one.addresses:
                self.private.setdefault(str(address(each)), []).append(one)
            for each in {*one.publics()} - {""}:
                self.public.setdefault(str(address(each)), []).append(one)
            if record.get("Ipv4Prefixes") or record.get("Ipv6Prefixes"):
                self.prefixed.append(one)


def _index(inventory: Inventory) -> _Index:
    return inventory.remembered("interfaces", lambda: _Index(inventory.records("NetworkInterfaces")))


def having(inventory: Inventory, host: str) -> list[Interface]:
    """All that have an address, private or public: VPCs may use the same.

    Raises:
        MissingError: the interfaces were not read, or nobody has it in the pages that were.
    """
    index, wanted = _index(inventory), str(address(host))
    found = [*index.private.get(wanted, []), *(each for each in index.prefixed if each.has(host))]
    found += index.public.get(wanted, [])
    if not found:
        inventory.check_whole("NetworkInterfaces")
    return list({each.identity: each for each in found}.values())


def at(inventory: Inventory, host: str, vpc: str) -> Interface | None:
    """Who has a private address in a VPC; None: nobody, as far as this account sees.

    Raises:
        MissingError: as `having`.
    """
    return next((each for each in having(inventory, host) if each.vpc == vpc and each.has(host)), None)


def of_public(inventory: Inventory, host: str) -> Interface | None:
    """Whose public address this is; None: nobody's that this account sees.

    Raises:
        MissingError: as `having`.
    """
    return next((each for each in having(inventory, host) if host in each.publics()), None)
