"""Route tables: the longest prefix decides; of equals a static route, then a prefix list, then what was propagated.

Source: VPC user guide, route priority.
"""

from __future__ import annotations

from systrace.cloud.aws.calls import LISTS
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.prefixes import longest
from systrace.cloud.aws.records import Record, address, dicts, network, text
from systrace.dataclass import dataclass

_TARGETS = (
    "GatewayId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
    "OdbNetworkArn",
)
_STATIC, _LIST, _PROPAGATED = 2, 1, 0


@dataclass(frozen=True, slots=True)
class Route:
    """The one that an address takes."""

    table: str
    destination: str
    target: str  # local, nat-..., igw-...
    blackhole: bool

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.table}: {self.destination} -> {self.target or 'nowhere'}"


def table_of(inventory: Inventory, subnet: str, vpc: str) -> Record:
    """The route table of a subnet: its own, else the VPC's main one.

    Raises:
        MissingError: it was not read.
    """
    own = inventory.found(
        "RouteTables", lambda table: any(text(each, "SubnetId") == subnet for each in dicts(table, "Associations"))
    )
    main = own or inventory.found(
        "RouteTables",
        lambda table: (
            text(table, "VpcId") == vpc and any(each.get("Main") is True for each in dicts(table, "Associations"))
        ),
    )
    if main is None:
        raise MissingError(
            f"neither a route table of {subnet} nor the main one of {vpc} was read",
            f"`{LISTS['RouteTables'].command}` of the account that owns {vpc}",
        )
    return main


def best(inventory: Inventory, table: Record, host: str) -> Route | None:
    """The route to an address; None where there is none.

    Raises:
        MissingError: a prefix list whose entries were not read might be more specific, and leads elsewhere.
    """
    identity = text(table, "RouteTableId")
    found: list[tuple[tuple[int, int], Route]] = []
    unclear: list[tuple[str, MissingError]] = []
    for each in dicts(table, "Routes"):
        target = next((text(each, key) for key in _TARGETS if text(each, key)), "")
        hidden = text(each, "DestinationPrefixListId")
        destination = hidden or text(each, "DestinationCidrBlock") or text(each, "DestinationIpv6CidrBlock")
        try:
            length = longest(inventory, hidden, host) if hidden else _length(destination, host)
        except MissingError as missing:
            unclear.append((target, missing))
            continue
        if length is not None:
            rank = _LIST if hidden else _PROPAGATED if text(each, "Origin") == "EnableVgwRoutePropagation" else _STATIC
            route = Route(identity, destination, target, text(each, "State") == "blackhole")
            found.append(((length, rank), route))
    chosen = max(found, key=lambda each: each[0]) if found else None
    whole = address(host)
    for target, why in unclear:
        certain = chosen is not None and whole is not None and chosen[0] == (whole.max_prefixlen, _STATIC)
        if not certain and (chosen is None or chosen[1].target != target):
            raise MissingError(f"{why.what}: the route to {target} could be more specific", why.ask)
    return chosen[1] if chosen is not None else None


def _length(cidr: str, host: str) -> int | None:
    block, found = network(cidr), address(host)
    if block is None or found is None or found not in block:
        return None
    return block.prefixlen
