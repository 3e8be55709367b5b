"""Load balancers: a listener on the port, targets that are healthy, who the targets see, and idle timeouts.

Source: ELB guides: idle_timeout.timeout_seconds (60 s), tcp.idle_timeout.seconds (350 s), preserve_client_ip.enabled,
hairpinning ("clients cannot connect to themselves").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from systrace.cloud.aws import groups, interfaces
from systrace.cloud.aws.calls import LISTS
from systrace.cloud.aws.groups import Other
from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.records import Record, dicts, number, text
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, SHARE, UNKNOWN, Step, allowed, blocked

if TYPE_CHECKING:
    from systrace.cloud.aws.arrival import Sender
    from systrace.cloud.aws.walk import Walk

_APPLICATION_S, _NETWORK_S = 60, 350
_DATAGRAMS = ("UDP", "QUIC")


def arrive(walk: Walk, there: Interface, sender: Sender) -> None:
    """Beyond the filters of its interface, which is described as `ELB app/NAME/ID` or `ELB net/NAME/ID`."""
    suffix = there.description.removeprefix("ELB ")
    if suffix.partition("/")[0] not in ("app", "net"):
        walk.note(
            "load-balancer",
            UNKNOWN,
            there.identity,
            f"{there} is a classic or gateway load balancer",
            ask="its listeners, targets and idle timeout: `aws elb describe-load-balancers`",
        )
        return
    try:
        found = walk.inventory.found("LoadBalancers", lambda each: text(each, "LoadBalancerArn").endswith(f"/{suffix}"))
        if found is None:
            raise MissingError(
                f"{suffix} is not among the load balancers that were read", f"`{LISTS['LoadBalancers'].command}`"
            )
        state = text(found, "State", "Code")
        if state and state not in ("active", "active_impaired"):
            walk.note("load-balancer", BLOCKED, suffix, f"{suffix} is {state}", change="a load balancer that is active")
        listener = _listener(walk, found)
    except MissingError as missing:
        walk.note("load-balancer", UNKNOWN, there.identity, missing.what, ask=missing.ask)
        return
    _limit(walk, found, listener)
    if listener is not None:
        _targets(walk, found, listener, sender)


def _listener(walk: Walk, balancer: Record) -> Record | None:
    """A step of the listener on the port; None where there is none."""
    arn = text(balancer, "LoadBalancerArn")
    name, port = text(balancer, "LoadBalancerName") or arn, walk.question.port
    known = walk.inventory.details("Listeners", arn)
    datagrams = walk.question.protocol == "udp"
    for each in known:
        protocol = text(each, "Protocol")
        fits = "UDP" in protocol or "QUIC" in protocol if datagrams else protocol not in _DATAGRAMS
        if number(each, "Port") == port and fits:
            walk.note("listener", ALLOWED, name, f"{name} listens on {protocol} {port}")
            return each
    ports = ", ".join(f"{text(each, 'Protocol')} {number(each, 'Port')}" for each in known) or "no port"
    walk.note(
        "listener",
        BLOCKED,
        name,
        f"{name} has no listener on {walk.question.service}, but on {ports}",
        change=f"a listener on {port}, or another port in the job",
    )
    return None


def _limit(walk: Walk, balancer: Record, listener: Record | None) -> None:
    arn, name = text(balancer, "LoadBalancerArn"), text(balancer, "LoadBalancerName")
    application = text(balancer, "Type") == "application"
    certain, told = True, ""
    try:
        if application:
            told = walk.inventory.attribute("LoadBalancerAttributes", arn, "idle_timeout.timeout_seconds")
        elif listener is not None:
            told = walk.inventory.attribute(
                "ListenerAttributes", text(listener, "ListenerArn"), "tcp.idle_timeout.seconds"
            )
    except MissingError:
        certain = False
    idle_s = int(told) if told.isdecimal() and len(told) < 7 else _APPLICATION_S if application else _NETWORK_S
    if application:
        walk.limit(name, "Application Load Balancer", idle_s, "fin", certain=certain)
    elif walk.question.protocol == "tcp":
        walk.limit(name, "Network Load Balancer", idle_s, "reset", certain=certain)


def _targets(walk: Walk, balancer: Record, listener: Record, sender: Sender) -> None:
    name = text(balancer, "LoadBalancerName")
    arns = _target_groups(listener)
    if not arns:
        kinds = ", ".join(text(each, "Type") for each in dicts(listener, "DefaultActions")) or "nothing"
        walk.note("targets", ALLOWED, name, f"the listener answers by itself ({kinds})")
        return
    for arn in arns:
        health: list[Record] = []

        def judge(arn: str = arn, health: list[Record] = health) -> Step:
            health += walk.inventory.details("TargetHealthDescriptions", arn)
            return _health(name, arn, health, text(balancer, "Type"))

        if walk.run("targets", arn, judge).outcome == ALLOWED and text(balancer, "Type") == "network":
            _seen_by_targets(walk, balancer, arn, health, sender)


def _target_groups(listener: Record) -> list[str]:
    found = []
    for action in dicts(listener, "DefaultActions"):
        found += [text(action, "TargetGroupArn")]
        forward = action.get("ForwardConfig")
        if isinstance(forward, dict):
            found += [text(each, "TargetGroupArn") for each in dicts(forward, "TargetGroups")]
    return list(dict.fromkeys(each for each in found if each))


def _health(name: str, arn: str, health: list[Record], kind: str) -> Step:
    group = _short(arn)
    answer = "503" if kind == "application" else "a reset"
    if not health:
        return blocked(
            "targets",
            group,
            f"{group} of {name} has no target: it answers {answer}",
            change="register targets",
            cause="http-error-status" if kind == "application" else "reset-by-peer",
        )
    states = [text(each, "TargetHealth", "State") for each in health]
    good = states.count("healthy")
    if good:
        return allowed("targets", group, f"{good} of {len(states)} targets of {group} are healthy")
    reasons = (text(each, "TargetHealth", "Reason") or text(each, "TargetHealth", "Description") for each in health)
    why = ", ".join(dict.fromkeys([*states, *filter(None, reasons)]))
    said = f"none of the {len(states)} targets of {group} is healthy ({why}); the balancer tries them all the same"
    cause = "http-error-status" if kind == "application" else "connect-timeout"
    return blocked("targets", group, said, "mend the targets, or their health check", cause)


def _seen_by_targets(walk: Walk, balancer: Record, arn: str, health: list[Record], sender: Sender) -> None:
    """A network load balancer may keep the client's address: then the targets' groups must admit it, and no client reaches
    itself.
    """
    short = _short(arn)

    def judge() -> Step:
        if not _keeps_address(walk, arn, health):
            return allowed(
                "target-security-group-in", short, "targets see the balancer's address, as its health checks do"
            )
        verdicts = [_admits(walk, each, sender) for each in health]
        refused = [said for good, said in verdicts if not good]
        share = 1 - len(refused) / len(verdicts)
        if not refused:
            return allowed("target-security-group-in", short, "targets see the client's address, and admit it")
        said = f"{len(refused)} of {len(verdicts)} targets of {short}, which see the client's address: {refused[0]}"
        change = "admit the client's address in the targets' groups, or switch preserve_client_ip.enabled off"
        outcome = SHARE if share else BLOCKED
        return Step("target-security-group-in", outcome, short, said, share=share if share else None, change=change)

    walk.run("target-security-group-in", short, judge)


def _keeps_address(walk: Walk, arn: str, health: list[Record]) -> bool:
    """preserve_client_ip.enabled; where it is not set: for targets by instance, and for UDP."""
    told = walk.inventory.attribute("TargetGroupAttributes", arn, "preserve_client_ip.enabled")
    if told:
        return told == "true"
    by_instance = all(text(each, "Target", "Id").startswith("i-") for each in health)
    return by_instance or walk.question.protocol == "udp"


def _admits(walk: Walk, described: Record, sender: Sender) -> tuple[bool, str]:
    """Whether one target takes the client's packets, and why not."""
    identity, port = text(described, "Target", "Id"), number(described, "Target", "Port") or walk.question.port
    found = walk.inventory.found(
        "NetworkInterfaces",
        lambda each: (
            interfaces.Interface.of(each).has(identity)
            or (
                text(each, "Attachment", "InstanceId") == identity
                and number(each, "Attachment", "DeviceIndex") in (0, None)
            )
        ),
    )
    if found is None:
        raise MissingError(f"the interface of target {identity} was not read", "the owner of the target: its groups")
    there = interfaces.Interface.of(found)
    if there.identity == walk.source.identity:
        return False, f"{identity} is the job's own host: a client cannot reach itself through the balancer (hairpin)"
    other = Other(sender.address, sender.groups, sender.private)
    step = groups.judge(walk.inventory, "target", there.groups, other, walk.question.number, port, inbound=True)
    if step.outcome == UNKNOWN:
        raise MissingError(step.text, step.ask)
    return step.outcome == ALLOWED, step.text


def _short(arn: str) -> str:
    """arn:...:targetgroup/web/123 -> web."""
    parts = arn.rpartition(":")[2].split("/")
    return parts[1] if len(parts) > 2 else arn
