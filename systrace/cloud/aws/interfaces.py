"""Network interfaces: where everything in a VPC has its addresses, groups and subnet."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.cloud.aws.inventory import Inventory
from systrace.cloud.aws.records import Record, address, contains, dicts, is_private, text
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

    def own(self, local: str, peer: str) -> str:
        """Its address of the peer's family: the job's where that is known, "" where it has none."""
        if local and self.has(local):
            return local
        version = 6 if ":" in peer else 4
        return next((each for each in self.addresses if (found := address(each)) and found.version == version), "")

    def has(self, host: str) -> bool:
        """Whether a private address is its own, by itself or in a prefix that was delegated to it (EKS)."""
        wanted = address(host)
        if wanted is None:
            return False
        prefixes = [text(each, "Ipv4Prefix") for each in dicts(self.record, "Ipv4Prefixes")]
        prefixes += [text(each, "Ipv6Prefix") for each in dicts(self.record, "Ipv6Prefixes")]
        return any(address(each) == wanted for each in self.addresses) or any(contains(each, host) for each in prefixes)

    def public_of(self, host: str) -> str:
        """The public address that stands for a private one, "" where there is none; a global one stands for itself."""
        if ":" in host:
            return "" if is_private(host) else host
        for each in dicts(self.record, "PrivateIpAddresses"):
            if text(each, "PrivateIpAddress") == host and text(each, "Association", "PublicIp"):
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
        MissingError: the interfaces were not read, or nobody has it in the pages that were, or two files differ about one.
    """
    index, wanted = _index(inventory), str(address(host))
    found = [*index.private.get(wanted, []), *(each for each in index.prefixed if each.has(host))]
    found += index.public.get(wanted, [])
    if not found:
        inventory.check_whole("NetworkInterfaces")
    for each in found:
        inventory.sure("NetworkInterfaces", each.record)
    return list({each.identity: each for each in found}.values())


def at(inventory: Inventory, host: str, vpc: str) -> Interface | None:
    """Who has a private address in a VPC; None: nobody, as far as this account sees.

    Raises:
        MissingError: as `having`.
    """
    return next((each for each in having(inventory, host) if each.vpc == vpc and each.has(host)), None)


def of_public(inventory: Inventory, host: str) -> Interface | None:
    """Whose public address this is (an IPv6 address is its own); None: nobody's that this account sees.

    Raises:
        MissingError: as `having`.
    """
    wanted = address(host)
    for each in having(inventory, host):
        if wanted in map(address, each.publics()) or (":" in host and each.has(host)):
            return each
    return None
