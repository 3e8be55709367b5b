"""What neither security groups nor network ACLs can filter, and flow logs never show: it is not blamed on them.

Source: VPC user guide, security groups and network ACLs ("Amazon DNS, DHCP, instance metadata, ECS task metadata, time").
"""

from __future__ import annotations

from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.records import address, network, text
from systrace.cloud.aws.steps import UNKNOWN, Step, allowed, blocked

_FIXED = {
    "169.254.169.253": "the VPC's resolver",
    "fd00:ec2::253": "the VPC's resolver",
    "169.254.169.254": "the instance metadata service (containers need a hop limit of 2)",
    "fd00:ec2::254": "the instance metadata service",
    "169.254.170.2": "the task metadata and credentials service of ECS",
    "169.254.170.23": "the credentials agent of EKS",
    "fd00:ec2::23": "the credentials agent of EKS",
    "169.254.169.123": "the time service",
    "fd00:ec2::123": "the time service",
}
_RESOLVER = "the VPC's resolver"
_DNS = 53
_SMALLEST, _SECOND = 16, 2  # a VPC has 16 addresses at least; the resolver is the base of its first block plus two


def told(inventory: Inventory, peer: str, port: int, vpc: str) -> Step | None:
    """The only step of a way to such a peer; None for all others."""
    found = address(peer)
    what = next((name for fixed, name in _FIXED.items() if address(fixed) == found), "")
    if not what and port == _DNS and found is not None and found.version == 4 and int(found) % _SMALLEST == _SECOND:
        try:
            block = network(text(inventory.one("Vpcs", "VpcId", vpc), "CidrBlock"))
        except MissingError as missing:
            said = f"whether {peer} is the VPC's resolver, which nothing filters, is not known: {missing.what}"
            return Step("exempt", UNKNOWN, vpc, said, ask=missing.ask)
        what = (
            f"{_RESOLVER} (VPC+2)" if block is not None and int(found) == int(block.network_address) + _SECOND else ""
        )
    if not what:
        return None
    said = f"{peer} is {what}: no security group or network ACL filters it, flow logs do not show it"
    if what.startswith(_RESOLVER):
        return _resolver(inventory, vpc, said)
    return allowed("exempt", "", said)


def _resolver(inventory: Inventory, vpc: str, said: str) -> Step:
    """It answers unless the VPC has it switched off: `describe-vpc-attribute --attribute enableDnsSupport`."""
    try:
        told = [each.get("Value") for each in inventory.details("EnableDnsSupport", vpc)]
    except MissingError as missing:
        unread = (
            f"{said}, and whether {vpc} has DNS support switched on, as is the default, is not known: {missing.what}"
        )
        return Step("exempt", UNKNOWN, vpc, unread, ask=missing.ask)
    if False in told:
        off = f"DNS support is switched off in {vpc} (enableDnsSupport): the resolver does not answer"
        return blocked("exempt", vpc, off, change=f"switch it on in {vpc}", cause="dns-timeout")
    return allowed("exempt", "", f"{said}; it answers 1024 packets a second for each interface, and drops more")
