"""Names that the records themselves know: of load balancers, databases, endpoints. No resolver is asked."""

from __future__ import annotations

from systrace.cloud.aws import databases
from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.records import dicts, text, texts


def addresses(inventory: Inventory, name: str) -> list[str]:
    """Addresses behind a name, as a resolver in the VPC gives them; [] where no record tells them."""
    wanted = name.lower().rstrip(".")
    try:
        known = [Interface.of(each) for each in inventory.records("NetworkInterfaces")]
    except MissingError:
        return []
    found = databases.addresses(inventory, known, wanted) or _balancers(inventory, known, wanted)
    return found or _endpoints(inventory, known, wanted)


def _balancers(inventory: Inventory, known: list[Interface], name: str) -> list[str]:
    """An internet-facing one's name is that of its public addresses, also within its VPC (ELB API, Scheme)."""
    for each in inventory.known("LoadBalancers"):
        if text(each, "DNSName").lower() == name.removeprefix("dualstack."):
            suffix = text(each, "LoadBalancerArn").partition(":loadbalancer/")[2]
            own = [one for one in known if one.description == f"ELB {suffix}"]
            if text(each, "Scheme") == "internet-facing":
                return [public for one in own if (public := next(filter(None, one.publics()), ""))]
            return [one.addresses[0] for one in own if one.addresses and text(each, "Scheme") == "internal"]
    return []


def _endpoints(inventory: Inventory, known: list[Interface], name: str) -> list[str]:
    for each in inventory.known("VpcEndpoints"):
        if name in (text(one, "DnsName").lower() for one in dicts(each, "DnsEntries")):
            own = texts(each, "NetworkInterfaceIds")
            return [one.addresses[0] for one in known if one.identity in own and one.addresses]
    return []
