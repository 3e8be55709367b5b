"""Prefix lists: AWS's own come with their CIDRs, the customer's with entries that are asked for one list at a time."""

from __future__ import annotations

from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.records import Network, Record, address, network, text, texts


def networks(inventory: Inventory, identity: str) -> list[Network]:
    """What a prefix list stands for.

    Raises:
        MissingError: its entries were not read.
    """
    try:
        cidrs = [text(each, "Cidr") for each in inventory.details("Entries", identity)]
    except MissingError as missing:
        own = [each for each in _listed(inventory) if text(each, "PrefixListId") == identity]
        cidrs = [cidr for each in own for cidr in texts(each, "Cidrs")]
        if not cidrs:
            raise MissingError(f"the entries of {identity} were not read", missing.ask) from None
    return [found for cidr in cidrs if (found := network(cidr)) is not None]


def _listed(inventory: Inventory) -> list[Record]:
    try:
        return inventory.records("PrefixLists")
    except MissingError:
        return []


def longest(inventory: Inventory, identity: str, host: str) -> int | None:
    """The length of the longest prefix that holds an address; None: none does.

    Raises:
        MissingError: as `networks`.
    """
    found = address(host)
    if found is None:
        return None
    return max((each.prefixlen for each in networks(inventory, identity) if found in each), default=None)
