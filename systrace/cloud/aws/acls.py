"""Network ACLs: stateless, rules in order, the first that matches decides; answers are judged by their own port."""

from __future__ import annotations

from systrace.cloud.aws.calls import LISTS
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.records import Record, contains, dicts, number, text
from systrace.cloud.aws.steps import SHARE, Step, allowed, blocked

_ANY = "-1"
_NUMBERS = {"tcp": "6", "udp": "17", "all": _ANY}
_NAMES = {"6": "TCP", "17": "UDP", _ANY: "all traffic"}
_LAST = 32767  # the rule that is shown as *
_WHOLE = (0, 65535)


def acl_of(inventory: Inventory, subnet: str) -> Record:
    """The network ACL of a subnet.

    Raises:
        MissingError: it was not read.
    """
    found = inventory.found(
        "NetworkAcls", lambda acl: any(text(each, "SubnetId") == subnet for each in dicts(acl, "Associations"))
    )
    if found is None:
        raise MissingError(
            f"no network ACL that was read is that of {subnet}",
            f"`{LISTS['NetworkAcls'].command}` of the account that owns {subnet}",
        )
    return found


def judge(
    inventory: Inventory,
    name: str,
    subnet: str,
    other: str,
    protocol: str,
    ports: Ports,
    *,
    inbound: bool,
    whose: str = "",
) -> Step:
    """What share of these destination ports a subnet's network ACL lets through.

    Args:
        inventory: has it.
        name: of the step.
        subnet: whose ACL.
        other: the address outside the subnet.
        protocol: its number (IANA), as text.
        ports: destination ports: one of a request, those that an answer may come to.
        inbound: in to the subnet, else out of it.
        whose: ports, in words.

    Raises:
        MissingError: it was not read, or for which ports one of its rules is.
    """
    acl = acl_of(inventory, subnet)
    identity = text(acl, "NetworkAclId")
    left, passed = ports, Ports()
    allowing: list[str] = []
    denying: list[str] = []
    for entry in _ordered(acl, inbound):
        if not left.count or not _about(entry, other, protocol):
            continue
        low, high = _range(entry, protocol, identity)
        hit = left.common(low, high)
        if not hit.count:
            continue
        if text(entry, "RuleAction").lower() == "allow":
            passed = passed.plus(hit)
            allowing.append(_told(entry))
        else:
            denying.append(_told(entry))
        left = left.without(low, high)
    if left.count:
        denying.append("rule * denies what no other rule allows")
    return _step(
        name, identity, f"{_NAMES[protocol]} {ports}{whose}", other, inbound, (ports, passed), allowing, denying
    )


def _step(
    name: str,
    identity: str,
    what: str,
    other: str,
    inbound: bool,
    ports: tuple[Ports, Ports],
    allowing: list[str],
    denying: list[str],
) -> Step:
    way = "in from" if inbound else "out to"
    share = ports[1].count / ports[0].count if ports[0].count else 0.0
    if share == 1:
        return allowed(name, identity, f"{identity}: {allowing[0]}")
    kind = "inbound" if inbound else "outbound"
    change = f"allow {what} {way} {other} in the {kind} rules of {identity}, before the rule that denies it"
    if not share:
        said = f"{identity} does not let {what} {way} {other}: {'; '.join(denying[:2])}"
        return blocked(name, identity, said, change=change)
    said = (
        f"{identity} lets {share:.0%} of {what} {way} {other}: {'; '.join(allowing[:2])}; {'; '.join(denying[:2])}: "
        "connections fail now and then, as the port falls"
    )
    return Step(name, SHARE, identity, said, share=share, change=change)


def _ordered(acl: Record, inbound: bool) -> list[Record]:
    entries = [each for each in dicts(acl, "Entries") if bool(each.get("Egress")) != inbound]
    return sorted(entries, key=lambda each: number(each, "RuleNumber") or _LAST)


def _about(entry: Record, other: str, protocol: str) -> bool:
    told = text(entry, "Protocol").lower()
    told = _NUMBERS.get(told, told)
    if told not in (_ANY, protocol):
        return False
    return contains(text(entry, "CidrBlock") or text(entry, "Ipv6CidrBlock"), other)


def _range(entry: Record, protocol: str, identity: str) -> tuple[int, int]:
    low, high = number(entry, "PortRange", "From"), number(entry, "PortRange", "To")
    told = text(entry, "Protocol").lower()
    if _NUMBERS.get(told, told) != protocol:
        return _WHOLE  # all protocols: all ports, whatever else is written there
    if low is None or high is None:
        raise MissingError(f"a rule of {identity} has no ports: {_told(entry)}", f"the rules of {identity}")
    return low, high


def _told(entry: Record) -> str:
    """For people: rule 90 denies TCP 1024-65535 of 0.0.0.0/0."""
    told = text(entry, "Protocol").lower()
    told = _NUMBERS.get(told, told)
    low, high = number(entry, "PortRange", "From"), number(entry, "PortRange", "To")
    ports = "" if told == _ANY or low is None or high is None else f" {Ports.of([(low, high)])}"
    action = "allows" if text(entry, "RuleAction").lower() == "allow" else "denies"
    rule = number(entry, "RuleNumber")
    block = text(entry, "CidrBlock") or text(entry, "Ipv6CidrBlock")
    return f"rule {'*' if rule in (None, _LAST) else rule} {action} {_NAMES.get(told, told)}{ports} of {block}"
