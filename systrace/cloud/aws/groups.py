"""Security groups: stateful, a union of rules that allow. Nothing denies, and answers always pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.prefixes import longest
from systrace.cloud.aws.records import Record, contains, dicts, number, text
from systrace.cloud.aws.steps import UNKNOWN, Step, allowed, blocked
from systrace.dataclass import dataclass

_ANY = "-1"
_NUMBERS = {"tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58"}
_NAMES = {"6": "TCP", "17": "UDP", "1": "ICMP", "58": "ICMPv6", _ANY: "all traffic"}
_MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Other:
    """The other end, as rules see it."""

    address: str
    groups: frozenset[str] | None  # of its interface; None: it could not be looked up
    private: bool = True  # its private address is used: only then groups that name groups match
    why: str = ""  # of `groups` being None

    def __str__(self) -> str:
        return self.address


def judge(
    inventory: Inventory, name: str, groups: Sequence[str], other: Other, protocol: str, port: int, *, inbound: bool
) -> Step:
    """Whether one of these groups lets the traffic through.

    Args:
        inventory: has them.
        name: of the step.
        groups: all that the interface has.
        other: who sends, or is sent to.
        protocol: its number (IANA), as text.
        port: of the destination.
        inbound: in to the interface, else out of it.
    """
    unclear: list[MissingError] = []
    near: list[str] = []
    for identity in groups:
        try:
            group = inventory.one("SecurityGroups", "GroupId", identity)
        except MissingError as missing:
            unclear.append(missing)
            continue
        for rule in dicts(group, "IpPermissions" if inbound else "IpPermissionsEgress"):
            try:
                if not _of_port(rule, protocol, port):
                    continue
                match = _matches(inventory, rule, other)
                if match and _is_vague(rule):
                    raise MissingError(f"a rule of {identity} for {match} has no ports", f"the rules of {identity}")
            except MissingError as missing:
                unclear.append(missing)
                continue
            if match:
                return allowed(name, identity, f"{identity} lets {_told(rule)} {_way(inbound)} {match}")
            near += [f"{identity}: {_told(rule)} {_way(inbound)} {each}" for each in _named(rule)]
    if unclear:
        first = unclear[0]
        return Step(name, UNKNOWN, groups[0], f"no rule that was read allows it, and {first.what}", ask=first.ask)
    return _blocked(name, groups, near, other, f"{_NAMES.get(protocol, protocol)} {port}", inbound)


def untracked(inventory: Inventory, groups: Sequence[str], protocol: str, port: int, peer: str) -> bool:
    """The port may go out to everybody, and every port come in: such connections are not tracked, and not forgotten.

    Source: EC2 user guide, untracked connections.
    """
    known = [each for each in inventory.known("SecurityGroups") if text(each, "GroupId") in groups]
    everybody = "::/0" if ":" in peer else "0.0.0.0/0"

    def is_open(way: str, low: int, high: int) -> bool:
        rules = (rule for group in known for rule in dicts(group, way) if everybody in _cidrs(rule))
        return any(_covers(rule, protocol, low, high) for rule in rules)

    return is_open("IpPermissionsEgress", port, port) and is_open("IpPermissions", 0, 65535)


def _covers(rule: Record, protocol: str, low: int, high: int) -> bool:
    """All of these ports."""
    first, last, told = number(rule, "FromPort"), number(rule, "ToPort"), _protocol(rule)
    if told == _ANY or told != protocol:
        return told == _ANY
    return first is not None and last is not None and (first == -1 or (first <= low and high <= last))


def _blocked(name: str, groups: Sequence[str], near: list[str], other: Other, wanted: str, inbound: bool) -> Step:
    way = _way(inbound)
    every = ", ".join(groups)
    said = f"no rule of {every} lets {wanted} {way} {other}"
    if near:
        said += f"; for this port there is only {'; '.join(near[:_MOST_TOLD])}"
    if not other.private and any("sg-" in each.partition(":")[2] for each in near):
        said += "; a rule that names a group matches private addresses only, and the public one is used"
    kind = "an inbound" if inbound else "an outbound"
    named = sorted(other.groups or ()) if other.private else []
    change = f"add {kind} rule to {groups[0]}: {wanted} {'from' if inbound else 'to'} {' or '.join([*named[:1], str(other)])}"
    return blocked(name, groups[0], said, change=change)


def _way(inbound: bool) -> str:
    return "in from" if inbound else "out to"


def _protocol(rule: Record) -> str:
    """Its number, or -1."""
    told = text(rule, "IpProtocol").lower()
    return _NUMBERS.get(told, told)


def _of_port(rule: Record, protocol: str, port: int) -> bool:
    """It is about this port, or may be."""
    told = _protocol(rule)
    if told == _ANY or told != protocol:
        return told == _ANY
    low, high = number(rule, "FromPort"), number(rule, "ToPort")
    return low is None or high is None or low == -1 or low <= port <= high


def _is_vague(rule: Record) -> bool:
    """Of TCP or UDP, and for which ports is not told."""
    return _protocol(rule) != _ANY and None in (number(rule, "FromPort"), number(rule, "ToPort"))


def _told(rule: Record) -> str:
    told = _protocol(rule)
    name = _NAMES.get(told, f"protocol {told}")
    low, high = number(rule, "FromPort"), number(rule, "ToPort")
    if told == _ANY or low in (None, -1):
        return name
    return f"{name} {low}" if low == high else f"{name} {low}-{high}"


def _matches(inventory: Inventory, rule: Record, other: Other) -> str:
    """Which part of a rule is about the other end, "" where none is.

    Raises:
        MissingError: none that was read is, and others could not be read.
    """
    unclear: MissingError | None = None
    for cidr in _cidrs(rule):
        if contains(cidr, other.address):
            return cidr
    for pair in dicts(rule, "UserIdGroupPairs"):
        identity = text(pair, "GroupId")
        if not other.private:
            if text(pair, "VpcPeeringConnectionId"):
                whom = f"account {text(pair, 'UserId') or 'of the other VPC'}: whether {other} is in {identity}"
                unclear = MissingError(f"whether {other} is in {identity}, of another VPC, is not known", whom)
            continue
        if other.groups is None:
            unclear = MissingError(f"whether {other} is in {identity} is not known: {other.why}", other.why)
        elif identity in other.groups:
            return f"{identity} ({other} is in it)"
    for each in dicts(rule, "PrefixListIds"):
        identity = text(each, "PrefixListId")
        try:
            if longest(inventory, identity, other.address) is not None:
                return identity
        except MissingError as missing:
            unclear = missing
    if unclear is not None:
        raise unclear
    return ""


def _cidrs(rule: Record) -> Iterator[str]:
    yield from (text(each, "CidrIp") for each in dicts(rule, "IpRanges"))
    yield from (text(each, "CidrIpv6") for each in dicts(rule, "Ipv6Ranges"))


def _named(rule: Record) -> Iterator[str]:
    yield from _cidrs(rule)
    yield from (text(each, "GroupId") for each in dicts(rule, "UserIdGroupPairs"))
    yield from (text(each, "PrefixListId") for each in dicts(rule, "PrefixListIds"))
