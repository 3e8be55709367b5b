"""Target groups of load balancers: whether targets are able, and whether they admit the client where they see its address.

Source: ELB guides (target health, weighted target groups, client IP preservation, security groups of a Network Load
Balancer, hairpinning) and the API's TargetHealth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from systrace.cloud.aws import acls, groups, interfaces
from systrace.cloud.aws.calls import DETAILS, LISTS
from systrace.cloud.aws.groups import Other
from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.records import Record, address, dicts, number, text, texts
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, SHARE, UNKNOWN, Step, allowed, blocked, decisive
from systrace.dataclass import dataclass

if TYPE_CHECKING:
    from systrace.cloud.aws.arrival import Sender
    from systrace.cloud.aws.walk import Walk

_DATAGRAMS = ("UDP", "TCP_UDP", "QUIC", "TCP_QUIC")  # the client's address is kept, whatever is set
_ILL = ("unhealthy", "unhealthy.draining", "draining", "unused")
_NOT_CHECKED = "Target.HealthCheckDisabled"  # that of Lambda functions is off unless it is switched on
_ANSWERED = "Target.ResponseCodeMismatch"  # with none better it is asked all the same, and may answer the job
_GROUPS = f"`{LISTS['TargetGroups'].command}`"
_HEALTH = f"`{DETAILS['TargetHealthDescriptions'].command}`"


@dataclass(frozen=True, slots=True)
class Balanced:
    """What its target groups see of a balancer."""

    record: Record
    interface: Interface  # that the client comes to
    sender: Sender

    @property
    def is_network(self) -> bool:
        """It passes packets on, and may keep their sender."""
        return text(self.record, "Type") == "network"

    @property
    def name(self) -> str:
        """For people."""
        return text(self.record, "LoadBalancerName")


def judge(walk: Walk, balanced: Balanced, listener: Record) -> None:
    """Steps of every target group that the listener's default action gives connections to."""
    weights = _weights(listener)
    if not weights:
        kinds = ", ".join(text(each, "Type") for each in dicts(listener, "DefaultActions")) or "nothing"
        walk.note("targets", ALLOWED, balanced.name, f"the listener answers by itself ({kinds})")
        return
    whole = sum(weights.values())
    if not whole:
        said = f"all target groups of {balanced.name} have the weight 0"
        walk.note("targets", UNKNOWN, balanced.name, said, ask="who set the weights of the listener")
        return
    found = [(weight / whole, list(_steps(walk, balanced, arn))) for arn, weight in weights.items() if weight]
    outcomes = {step.outcome if (step := decisive(steps)) is not None else ALLOWED for _, steps in found}
    steps = [step for _, own in found for step in own]
    if outcomes != {BLOCKED}:
        clear = UNKNOWN not in outcomes
        steps = [_weighed(step, part, clear=clear) for part, own in found for step in own]
    walk.way.steps += steps if balanced.is_network else [_by_default(walk, listener, step) for step in steps]


def _by_default(walk: Walk, listener: Record, step: Step) -> Step:
    """An application load balancer's rules look at host and path: what stops at the default action may match another."""
    if step.outcome not in (BLOCKED, SHARE):
        return step
    try:
        rules = walk.inventory.details("Rules", text(listener, "ListenerArn"))
    except MissingError as missing:
        return replace(
            step, outcome=UNKNOWN, share=None, text=f"{step.text}; other rules: {missing.what}", ask=missing.ask
        )
    others = sum(each["IsDefault"] is False for each in rules)
    if not others:
        return step
    said = f"{step.text}; that is the default action, and the listener has other rules: {others}"
    return replace(step, outcome=UNKNOWN, share=None, text=said, ask="which of its rules the job's host and path match")


def _weights(listener: Record) -> dict[str, int]:
    """Of the default action's target groups. One alone gets everything."""
    for action in dicts(listener, "DefaultActions"):
        forward = action.get("ForwardConfig")
        listed = dicts(forward, "TargetGroups") if isinstance(forward, dict) else []
        told = {text(each, "TargetGroupArn"): number(each, "Weight") for each in listed}
        weights = {arn: 1 if weight is None else weight for arn, weight in told.items() if arn}
        alone = text(action, "TargetGroupArn")
        if weights or alone:
            return weights or {alone: 1}
    return {}


def _weighed(step: Step, part: float, *, clear: bool) -> Step:
    """A group that gets a part of the connections stops no more than these; and which others pass may be unknown."""
    if step.outcome not in (BLOCKED, SHARE) or part == 1:
        return step
    said = f"{step.text}; {part:.0%} of the connections go there"
    if not clear:
        return replace(step, outcome=UNKNOWN, share=None, text=said, ask="what was not read of the other target groups")
    return replace(step, outcome=SHARE, share=1 - part * (1 - (step.share or 0)), text=said)


def _steps(walk: Walk, balanced: Balanced, arn: str) -> Iterator[Step]:
    """Of one group: its health, and whether its able targets let the client in."""
    short = _short(arn)
    try:
        health = walk.inventory.details("TargetHealthDescriptions", arn)
        step = _health(balanced, short, health)
    except MissingError as missing:
        yield Step("targets", UNKNOWN, short, missing.what, ask=missing.ask)
        return
    yield step
    if step.outcome == ALLOWED and balanced.is_network:
        try:
            yield _admission(walk, balanced, arn, [each for each in health if _is_able(each)])
        except MissingError as missing:
            yield Step("target-security-group-in", UNKNOWN, short, missing.what, ask=missing.ask)


# -------------------------------------------------------------------------------------------------------------- health


def _is_able(described: Record) -> bool:
    state, reason = (text(described, "TargetHealth", name) for name in ("State", "Reason"))
    return state == "healthy" or (state == "unavailable" and reason == _NOT_CHECKED)


def _is_ill(described: Record) -> bool:
    return text(described, "TargetHealth", "State") in _ILL and text(described, "TargetHealth", "Reason") != _ANSWERED


def _health(balanced: Balanced, short: str, health: list[Record]) -> Step:
    answer, cause = ("a reset", "reset-by-peer") if balanced.is_network else ("503", "http-error-status")
    if not health:
        said = f"{short} of {balanced.name} has no target: it answers {answer}"
        return blocked("targets", short, said, "register targets", cause)
    able = sum(map(_is_able, health))
    if able:
        return allowed("targets", short, f"{able} of {len(health)} targets of {short} are healthy, or not checked")
    states = (text(each, "TargetHealth", "State") or "in no known state" for each in health)
    reasons = (text(each, "TargetHealth", "Reason") or text(each, "TargetHealth", "Description") for each in health)
    why = ", ".join(dict.fromkeys([*states, *filter(None, reasons)]))
    said = f"none of the {len(health)} targets of {short} is healthy ({why})"
    if not all(map(_is_ill, health)):
        return Step("targets", UNKNOWN, short, f"{said}, and it is not sure that they do not answer", ask=_HEALTH)
    cause = "connect-timeout" if balanced.is_network else cause
    change = "mend the targets, or their health check"
    return blocked("targets", short, f"{said}; the balancer tries them all the same", change, cause)


# ----------------------------------------------------------------------------------------------------------- admission


def _admission(walk: Walk, balanced: Balanced, arn: str, able: list[Record]) -> Step:
    """Where the client's address is kept, the targets' groups and network ACLs must admit it; no client reaches itself.

    Raises:
        MissingError: what decides was not read.
    """
    name, short = "target-security-group-in", _short(arn)
    group = walk.inventory.one("TargetGroups", "TargetGroupArn", arn)
    if not _keeps_address(walk, group, balanced.sender.address):
        return allowed(name, short, "targets see the balancer's address, as its health checks do")
    steps = [_admits(walk, balanced, group, each) for each in able]
    unclear = next((each for each in steps if each.outcome == UNKNOWN), None)
    if unclear is not None:
        return replace(unclear, name=name, at=short)
    share = sum(1.0 if each.outcome == ALLOWED else each.share or 0.0 for each in steps) / len(steps)
    refusing = [each for each in steps if each.outcome != ALLOWED]
    if not refusing:
        return allowed(name, short, "targets see the client's address, and admit it")
    said = f"{len(refusing)} of {len(steps)} targets of {short}, which see the client's address: {refusing[0].text}"
    change = (
        "admit the client's address in the targets' groups and network ACL, or switch preserve_client_ip.enabled off"
    )
    return Step(name, SHARE if share else BLOCKED, short, said, share=share or None, change=change)


def _keeps_address(walk: Walk, group: Record, client: str) -> bool:
    """preserve_client_ip.enabled, and what holds where it is not set; never from one family of addresses to the other."""
    arn, kind, protocol = (text(group, name) for name in ("TargetGroupArn", "TargetType", "Protocol"))
    if kind not in ("instance", "alb", "ip") or not protocol:
        raise MissingError(f"the type or protocol of the targets of {_short(arn)} is not known", _GROUPS)
    found = address(client)
    if found is not None and (found.version == 6) != (text(group, "IpAddressType") == "ipv6"):
        return False
    if protocol in _DATAGRAMS:
        return True
    told = walk.inventory.attribute("TargetGroupAttributes", arn, "preserve_client_ip.enabled")
    return told == "true" if told else kind != "ip"


def _admits(walk: Walk, balanced: Balanced, group: Record, described: Record) -> Step:
    """What one target makes of the client's packets, and its subnet's network ACL of them and of the answers."""
    identity, sender = text(described, "Target", "Id"), balanced.sender
    port = number(described, "Target", "Port") or number(group, "Port") or walk.question.port
    try:
        there = _interface(walk, balanced, group, identity)
        if there.identity == walk.source.identity:
            said = f"{identity} is the job's own host: a client cannot reach itself through the balancer (hairpin)"
            return blocked("target", identity, said)
        steps = [_groups_admit(walk, balanced, there, port)]
        if there.subnet != balanced.interface.subnet:  # within one subnet no ACL is asked
            inventory, protocol = walk.inventory, walk.question.number
            wanted, whose = Ports(((port, port),)), sender.whose
            steps += [
                acls.judge(inventory, "target", there.subnet, sender.address, protocol, wanted, inbound=True),
                acls.judge(
                    inventory,
                    "target",
                    there.subnet,
                    sender.address,
                    protocol,
                    sender.answers,
                    inbound=False,
                    whose=whose,
                ),
            ]
    except MissingError as missing:
        return Step("target", UNKNOWN, identity, missing.what, ask=missing.ask)
    return decisive(steps) or steps[0]


def _groups_admit(walk: Walk, balanced: Balanced, there: Interface, port: int) -> Step:
    """A rule for the balancer's own groups counts, although the client's address is seen. Of one for the client's groups
    the guide says that it does not, and some say that it does.
    """
    sender, number = balanced.sender, walk.question.number
    if not there.groups:
        return allowed("target", there.identity, f"{there.identity} has no security group")

    def judged(of: frozenset[str]) -> Step:
        other = Other(sender.address, of)
        return groups.judge(walk.inventory, "target", there.groups, other, number, port, inbound=True)

    step = judged(frozenset([*texts(balanced.record, "SecurityGroups"), *balanced.interface.groups]))
    if step.outcome == BLOCKED and sender.private and judged(sender.groups).outcome != BLOCKED:
        said = f"{there.identity} admits the client's group, which may not count behind a network load balancer"
        raise MissingError(
            said, "who runs the targets: a rule for the client's address, or the balancer's group, would be certain"
        )
    return step


def _interface(walk: Walk, balanced: Balanced, group: Record, identity: str) -> Interface:
    """Of a target: an instance's first one, that of an address in the balancer's VPC, or an application load balancer's.

    Raises:
        MissingError: it was not read.
    """
    if address(identity) is not None:
        vpc = text(balanced.record, "VpcId") or text(group, "VpcId")
        there = interfaces.at(walk.inventory, identity, vpc)
    else:
        suffix = identity.partition(":loadbalancer/")[2]

        def fits(each: Record) -> bool:
            if suffix:
                return text(each, "Description") == f"ELB {suffix}"
            first = number(each, "Attachment", "DeviceIndex") in (0, None)
            return first and bool(identity) and text(each, "Attachment", "InstanceId") == identity

        found = walk.inventory.found("NetworkInterfaces", fits)
        there = Interface.of(found) if found is not None else None
    if there is None:
        raise MissingError(f"the interface of target {identity} was not read", "the owner of the target: its groups")
    return there


def _short(arn: str) -> str:
    """arn:...:targetgroup/web/123 -> web."""
    parts = arn.rpartition(":")[2].split("/")
    return parts[1] if len(parts) > 2 else arn
